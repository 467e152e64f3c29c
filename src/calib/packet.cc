#include "calib/packet.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/text.h"
#include "calib/exact_choice.h"
#include "format/safetensors.h"

namespace karat::calib {

using base::ErrorKind;
using base::fail;
using base::printable;

namespace {

constexpr const char* kFormat = "karat.packet.1";

template <class T>
std::vector<T> read_vector(const format::SafetensorsSource& file, const std::string& path,
                           const char* name, tensor::DType type) {
  const tensor::TensorInfo* found = file.find(name);
  if (found == nullptr || found->dtype != type || found->shape.rank() != 1) {
    throw fail(ErrorKind::bad_input, "%s: a packet has a tensor '%s' [n] of %s", path.c_str(), name,
               std::string(tensor::info(type).name).c_str());
  }
  std::vector<T> out(static_cast<size_t>(found->shape.elements()));
  file.read(*found, std::as_writable_bytes(std::span(out)));
  return out;
}

template <class T>
format::SafetensorsItem item_of(const char* name, tensor::DType type, const std::vector<T>& data) {
  return {{name, type, {static_cast<int64_t>(data.size())}}, std::as_bytes(std::span(data))};
}

void hash_text(base::Sha256& hash, const std::string& text) {
  const uint64_t size = text.size();
  hash.update(std::as_bytes(std::span(&size, 1)));
  hash.update(std::as_bytes(std::span(text)));
}

}  // namespace

std::string tokenizer_hash(const text::TokenizerSpec& spec) {
  base::Sha256 hash;
  hash_text(hash, spec.pre);
  for (const auto* list : {&spec.tokens, &spec.merges}) {
    hash_text(hash, std::to_string(list->size()));
    for (const std::string& entry : *list) hash_text(hash, entry);
  }
  for (const text::AddedToken& token : spec.added) {
    hash_text(hash, std::to_string(token.id) + (token.normalized ? "n" : "") + token.content);
  }
  return hash.hex();
}

void write_packet(base::OutputFile& file, const Packet& packet) {
  base::Json::Array names(packet.domain_names.begin(), packet.domain_names.end());
  const std::vector<format::SafetensorsItem> items = {
      item_of("ends", tensor::DType::i64, packet.ends),
      item_of("domains", tensor::DType::i32, packet.domains),
      item_of("tokens", tensor::DType::i32, packet.tokens)};
  format::write_safetensors(file, items,
                            {{"format", kFormat},
                             {"domain_names", base::Json(std::move(names)).dump()},
                             {"tokenizer_sha256", packet.tokenizer}});
}

bool is_packet(const std::string& path) {
  if (!base::file_exists(path) || base::is_directory(path)) return false;
  const base::File file(path);
  std::string head(std::min<uint64_t>(file.size(), 1 << 16), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(head)));
  const std::string mark = std::string("\"format\": \"") + kFormat + "\"";
  return head.size() > 8 && head[8] == '{' && head.find(mark) != std::string::npos;
}

Packet packet_of(const Corpus& corpus, const text::TokenizerSpec& tokenizer) {
  Packet packet;
  packet.tokens.assign(corpus.tokens.begin(), corpus.tokens.begin() + corpus.tokens_used());
  packet.ends = corpus.all_ends();
  packet.domains.assign(packet.ends.size(), 0);
  packet.domain_names = {"text"};
  packet.tokenizer = tokenizer_hash(tokenizer);
  return packet;
}

Packet read_packet(const std::string& path) {
  const std::string name = printable(path);
  const format::SafetensorsSource file(path);
  const auto& metadata = file.metadata();
  const auto refusal = [&](const char* problem) {
    return fail(ErrorKind::bad_input, "%s: %s; make the packet again", name.c_str(), problem);
  };
  for (const char* key : {"format", "domain_names", "tokenizer_sha256"}) {
    if (metadata.find(key) == metadata.end()) throw refusal("not a calibration packet");
  }
  if (metadata.at("format") != kFormat) throw refusal("a packet of another version");
  Packet packet;
  packet.ends = read_vector<int64_t>(file, name, "ends", tensor::DType::i64);
  packet.domains = read_vector<int32_t>(file, name, "domains", tensor::DType::i32);
  packet.tokens = read_vector<int32_t>(file, name, "tokens", tensor::DType::i32);
  packet.tokenizer = metadata.at("tokenizer_sha256");
  const base::Json names = base::parse_json(metadata.at("domain_names"), {.name = name});
  if (!names.is_array()) throw refusal("domain_names are no list");
  for (const base::Json& domain : names.as_array()) {
    if (!domain.is_string()) throw refusal("a domain's name is no text");
    packet.domain_names.push_back(domain.as_string());
  }
  const bool sized = packet.ends.size() == packet.domains.size() && !packet.ends.empty() &&
                     packet.ends.back() == static_cast<int64_t>(packet.tokens.size());
  if (!sized) throw refusal("its sequences are not its tokens");
  for (size_t i = 0; i < packet.ends.size(); ++i) {
    if (packet.ends[i] <= (i == 0 ? 0 : packet.ends[i - 1])) throw refusal("an empty sequence");
    const int32_t domain = packet.domains[i];
    if (domain < 0 || static_cast<size_t>(domain) >= packet.domain_names.size()) {
      throw refusal("a sequence of no domain");
    }
  }
  return packet;
}

Corpus corpus_of(const Packet& packet, const std::string& path,
                 const text::TokenizerSpec& tokenizer, const PacketChoice& choice,
                 int64_t chunk_size) {
  const std::string name = printable(path);
  if (packet.tokenizer != tokenizer_hash(tokenizer)) {
    throw fail(ErrorKind::bad_input,
               "%s: its ids are of another tokenizer than the model's; make the packet again with "
               "this model",
               name.c_str());
  }
  const auto total = static_cast<int64_t>(packet.tokens.size());
  const int64_t budget = choice.tokens < 0 ? total : choice.tokens;
  if (budget < 1 || budget > total) {
    throw fail(ErrorKind::usage, "%s: has %lld tokens, %lld cannot be chosen", name.c_str(),
               static_cast<long long>(total), static_cast<long long>(budget));
  }
  // A seeded order, of which a prefix (filled up to the token) is kept in the packet's order.
  std::vector<size_t> order(packet.ends.size());
  std::iota(order.begin(), order.end(), size_t{0});
  base::Rng rng(choice.seed);
  if (budget < total) rng.shuffle(order);
  std::vector<int64_t> lengths;
  for (const size_t i : order) lengths.push_back(static_cast<int64_t>(packet.sequence(i).size()));
  const ExactChoice chosen = choose_exactly(lengths, budget);
  std::vector<int64_t> taken(order.size());  // tokens of each sequence of the packet
  for (const size_t i : chosen.whole) taken[order[i]] = lengths[i];
  int64_t missing = chosen.missing;
  for (size_t i = 0; i < order.size() && missing > 0; ++i) {
    if (taken[order[i]] > 0) continue;
    taken[order[i]] = std::min(missing, lengths[i]);
    missing -= taken[order[i]];
  }
  Corpus corpus;
  corpus.chunk_size = chunk_size;
  for (size_t i = 0; i < taken.size(); ++i) {
    if (taken[i] == 0) continue;
    const auto ids = packet.sequence(i).first(static_cast<size_t>(taken[i]));
    corpus.tokens.insert(corpus.tokens.end(), ids.begin(), ids.end());
    corpus.ends.push_back(static_cast<int64_t>(corpus.tokens.size()));
  }
  corpus.chunks = static_cast<int64_t>(corpus.ends.size());
  return corpus;
}

}  // namespace karat::calib
