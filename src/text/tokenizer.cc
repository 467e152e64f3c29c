#include "text/tokenizer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "text/bpe.h"
#include "text/pretokenizer.h"
#include "text/tokenizer_tables.h"
#include "text/unicode.h"

namespace karat::text {

namespace {

using Ordinary = std::span<const TextSpan>;

bool touches(Ordinary ordinary, size_t begin, size_t end) {
  const auto span = std::ranges::upper_bound(ordinary, begin, {}, &TextSpan::end);
  return span != ordinary.end() && span->begin < end;
}

// Finds a fixed set of texts.
class Matcher {
 public:
  struct Match {
    size_t begin, end;
    uint32_t id;
  };

  void add(std::string content, uint32_t id) { entries_.push_back({std::move(content), id}); }
  void finish() {
    std::ranges::sort(entries_, {}, &Entry::content);
    for (const Entry& entry : entries_) starts_[static_cast<uint8_t>(entry.content[0])] = true;
  }
  bool empty() const { return entries_.empty(); }

  // The first match at or after `begin`, and the longest there, among those that do not touch
  // `ordinary`.
  std::optional<Match> find(std::string_view text, size_t begin, Ordinary ordinary) const {
    for (size_t i = begin; i < text.size(); ++i) {
      if (!starts_[static_cast<uint8_t>(text[i])]) continue;
      if (const auto match = match_at(text, i, ordinary)) return match;
    }
    return std::nullopt;
  }

 private:
  struct Entry {
    std::string content;
    uint32_t id;
  };

  std::optional<Match> match_at(std::string_view text, size_t begin, Ordinary ordinary) const {
    std::optional<Match> best;
    std::span<const Entry> open = entries_;  // those that agree with the text so far
    for (size_t depth = 0; begin + depth < text.size(); ++depth) {
      const auto byte_at_depth = [depth](const Entry& entry) {
        return depth < entry.content.size() ? static_cast<uint8_t>(entry.content[depth]) : -1;
      };
      const int byte = static_cast<uint8_t>(text[begin + depth]);
      const auto first = std::ranges::lower_bound(open, byte, {}, byte_at_depth);
      open = {first, std::ranges::upper_bound(open, byte, {}, byte_at_depth)};
      if (open.empty()) break;
      const size_t end = begin + depth + 1;
      if (open.front().content.size() == depth + 1 && !touches(ordinary, begin, end)) {
        best = Match{begin, end, open.front().id};
      }
    }
    return best;
  }

  std::vector<Entry> entries_;
  std::array<bool, 256> starts_{};
};

// Bytes of all tokens in one string.
class TokenBytes {
 public:
  explicit TokenBytes(const TokenizerSpec& spec) {
    ends_.reserve(spec.tokens.size());
    for (size_t id = 0; id < spec.tokens.size(); ++id) {
      append(spec.tokens[id], spec.types[id]);
      ends_.push_back(bytes_.size());
    }
  }
  std::string_view operator[](size_t id) const {
    const size_t begin = id == 0 ? 0 : ends_[id - 1];
    return std::string_view(bytes_).substr(begin, ends_[id] - begin);
  }

 private:
  void append(const std::string& token, TokenType type) {
    if (type == TokenType::unused) return;
    const bool is_spelled = type == TokenType::normal || type == TokenType::byte;
    // A token outside the alphabet stands for its own text, as in the reference.
    bytes_ += is_spelled ? alphabet_to_bytes(token).value_or(token) : token;
  }

  std::string bytes_;
  std::vector<size_t> ends_;
};

Bpe make_bpe(const TokenizerSpec& spec) {
  const BpeTables tables = resolve(spec);
  return Bpe(tables.byte_ids, tables.merges);
}

}  // namespace

struct Tokenizer::State {
  explicit State(TokenizerSpec checked)
      : spec(std::move(checked)), bytes(spec), bpe(make_bpe(spec)), is_special(spec.tokens.size()) {
    for (const AddedToken& token : spec.added) {
      CHECK(token.id < spec.tokens.size());
      (token.normalized ? normalized : raw).add(normal_form(token), token.id);
      is_special[token.id] = token.special;
    }
    raw.finish();
    normalized.finish();
  }

  std::string normal_form(const AddedToken& token) const {
    return token.normalized && spec.nfc ? nfc(token.content) : token.content;
  }

  // Text without added tokens.
  void encode_plain(std::string_view text, std::vector<uint32_t>& out) const {
    for (const std::string_view piece : split(text)) bpe.encode(piece, out);
  }

  // Text without added tokens of the raw kind, before NFC.
  void encode_raw(std::string_view text, bool parse_special, std::vector<uint32_t>& out) const {
    std::string repaired, normal;
    if (!base::is_utf8(text)) text = repaired = repair_utf8(text);
    if (spec.nfc) text = normal = nfc(text);
    size_t begin = 0;
    while (parse_special && !normalized.empty()) {
      const auto match = normalized.find(text, begin, {});
      if (!match) break;
      encode_plain(text.substr(begin, match->begin - begin), out);
      out.push_back(match->id);
      begin = match->end;
    }
    encode_plain(text.substr(begin), out);
  }

  TokenizerSpec spec;
  TokenBytes bytes;
  Bpe bpe;
  Matcher raw, normalized;
  std::vector<bool> is_special;
};

Tokenizer::Tokenizer(TokenizerSpec spec) : state_(std::make_unique<State>(std::move(spec))) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&& other) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&& other) noexcept = default;

const TokenizerSpec& Tokenizer::spec() const { return state_->spec; }

std::vector<uint32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<uint32_t> ids;
  if (!options.parse_special) {
    state_->encode_raw(text, false, ids);
    return ids;
  }
  const auto encode_between = [&](size_t begin, size_t end) {
    if (begin == end) return;
    state_->encode_raw(text.substr(begin, end - begin), !touches(options.ordinary, begin, end),
                       ids);
  };
  size_t begin = 0;
  while (const auto match = state_->raw.find(text, begin, options.ordinary)) {
    encode_between(begin, match->begin);
    ids.push_back(match->id);
    begin = match->end;
  }
  encode_between(begin, text.size());
  return ids;
}

std::string Tokenizer::decode(std::span<const uint32_t> ids, DecodeOptions options) const {
  IncrementalDecoder decoder(*this, options);
  std::string text;
  for (const uint32_t id : ids) text += decoder.push(id);
  return text + decoder.flush();
}

std::string_view Tokenizer::token_bytes(uint32_t id) const {
  if (id >= vocab_size()) {
    throw base::fail(base::ErrorKind::bad_input, "token id %u, but the vocabulary has %zu entries",
                     id, vocab_size());
  }
  return state_->bytes[id];
}

std::string Tokenizer::token_text(uint32_t id) const {
  const std::string_view bytes = token_bytes(id);
  return spec().types[id] == TokenType::unused ? spec().tokens[id] : repair_utf8(bytes);
}

std::optional<uint32_t> Tokenizer::added_id(std::string_view content) const {
  const auto token = std::ranges::find(spec().added, content, &AddedToken::content);
  return token == spec().added.end() ? std::nullopt : std::optional(token->id);
}

bool Tokenizer::is_special(uint32_t id) const {
  return id < vocab_size() && state_->is_special[id];
}

bool Tokenizer::is_end(uint32_t id) const { return std::ranges::binary_search(spec().end_ids, id); }

}  // namespace karat::text
