#include "calib/packet_builder.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "calib/exact_choice.h"
#include "text/chat_template.h"

namespace karat::calib {

using base::ErrorKind;
using base::fail;
using base::Json;
using base::printable;
using base::strf;

namespace {

// Documents are tokenized, in their seeded order, until there are this many times the tokens wanted
// and some more: enough to choose from.
constexpr int64_t kChoiceFactor = 4, kChoiceMore = 1 << 16;
constexpr size_t kTokenizedAtOnce = 64;
// What a chat template that asks for the time hears: 1 January 2026, 0:00 UTC.
constexpr int64_t kClock = 1767225600;

struct Candidate {
  const Document* document = nullptr;
  size_t domain = 0, source = 0;
  std::string sha256;  // of the content
  uint64_t order = 0;
  std::optional<OverlapHit> hit;  // of its strings
};

struct Sequence {
  const Candidate* candidate = nullptr;
  int64_t piece = 0;  // of a document that was cut, from 1; 0: whole
  std::vector<int32_t> tokens;
  uint64_t order = 0;
  std::optional<OverlapHit> hit;  // of its strings, or of its decoded ids
};

uint64_t mixed(uint64_t a, uint64_t b) { return base::Rng(base::Rng(a).next() ^ b).next(); }

std::string content_hash(const Document& document) {
  base::Sha256 hash;
  // A conversation's numbers and structure count, too.
  const std::vector<std::string> conversation = {document.messages.dump(), document.tools.dump()};
  for (const std::string& text : document.is_chat() ? conversation : document.texts) {
    const uint64_t size = text.size();
    hash.update(std::as_bytes(std::span(&size, 1)));
    hash.update(std::as_bytes(std::span(text)));
  }
  return hash.hex();
}

uint64_t leading_bits(const std::string& sha256) {
  uint64_t bits = 0;
  std::from_chars(sha256.data(), sha256.data() + 16, bits, 16);
  return bits;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : "\n") + text;
  return out;
}

std::string place_of(const Candidate& candidate) {
  return printable(candidate.document->file) + ":" + std::to_string(candidate.document->number);
}

std::string hit_text(const OverlapHit& hit) {
  return strf("%s of '%s' item %lld: \"%s\"", hit.filter, printable(hit.set).c_str(),
              static_cast<long long>(hit.item), printable(hit.match, 120).c_str());
}

template <class T>
void sort_by_order(std::vector<T>& list, std::string (*hash)(const T&)) {
  std::sort(list.begin(), list.end(), [hash](const T& a, const T& b) {
    return a.order != b.order ? a.order < b.order : hash(a) < hash(b);
  });
}

class Builder {
 public:
  Builder(const PacketRecipe& recipe, const text::Tokenizer& tokenizer,
          const std::string& chat_template, base::ThreadPool& pool)
      : recipe_(recipe), tokenizer_(tokenizer), pool_(pool) {
    if (!chat_template.empty()) template_.emplace(chat_template);
    add_input(recipe.file);
  }

  BuiltPacket run() {
    read_evaluations();
    read_sources();
    filter_documents();
    const std::vector<int64_t> budgets = recipe_.budgets();
    for (size_t domain = 0; domain < recipe_.domains.size(); ++domain) {
      choose(domain, budgets[domain]);
    }
    assemble();
    check_packet();
    report();
    return std::move(out_);
  }

 private:
  struct SourceCount {
    // Documents, and of them: copies, removed whole, too long, in the packet (in part, too).
    int64_t documents = 0, duplicates = 0, removed = 0, left_out = 0, used = 0;
    int64_t removed_pieces = 0, sequences = 0, tokens = 0;
    Json files = Json::array();
  };

  const PacketSource& source_of(const Candidate& candidate) const {
    return recipe_.domains[candidate.domain].sources[candidate.source];
  }
  SourceCount& count_of(const Candidate& candidate) {
    return counts_[{candidate.domain, candidate.source}];
  }

  // The file as the report names it: no folder of this machine in front.
  std::string reported(const std::string& file) const {
    const std::string front = recipe_.folder.empty() ? "" : recipe_.folder + "/";
    return base::starts_with(file, front) ? file.substr(front.size()) : file;
  }

  void add_input(const std::string& file) {
    if (!inputs_.insert(file).second) return;
    const std::filesystem::path name = reported(file);
    const bool below =
        name.is_relative() && std::find(name.begin(), name.end(), "..") == name.end();
    out_.inputs.push_back(file);
    out_.input_names.push_back(below ? name.lexically_normal().string() : base::file_name(file));
  }

  Json file_json(const std::string& file) {
    add_input(file);
    Json out = Json::object();
    out.set("path", reported(file));
    out.set("bytes", base::File(file).size());
    out.set("sha256", base::sha256_of_file(file));
    return out;
  }

  void read_evaluations() {
    for (const EvaluationSet& set : recipe_.evaluations) {
      Json files = Json::array();
      const int64_t items = index_.items(), too_short = index_.items_too_short();
      int64_t offset = 0;
      for (const std::string& file : list_files(recipe_.path_of(set.path))) {
        files.push(file_json(file));
        int64_t last = 0;
        for (const Document& item : read_documents(file, set.form, set.fields)) {
          index_.add(set.name, offset + item.number, item.texts);
          last = item.number;
        }
        offset += last;
      }
      if (index_.items() == items) {
        throw fail(ErrorKind::bad_input, "%s: evaluation set '%s': %s has no texts%s",
                   printable(recipe_.file).c_str(), printable(set.name).c_str(),
                   printable(set.path).c_str(), set.fields.empty() ? "" : " in these fields");
      }
      Json json = Json::object();
      json.set("name", set.name);
      json.set("files", std::move(files));
      json.set("items", index_.items() - items);
      json.set("items_too_short", index_.items_too_short() - too_short);
      evaluations_.push(std::move(json));
    }
    index_.finish();
    if (recipe_.evaluations.empty()) {
      base::warn("%s: names no [[evaluation]] set, so no overlap is looked for",
                 printable(recipe_.file).c_str());
    }
  }

  void read_sources() {
    for (size_t d = 0; d < recipe_.domains.size(); ++d) {
      for (size_t s = 0; s < recipe_.domains[d].sources.size(); ++s) {
        const PacketSource& source = recipe_.domains[d].sources[s];
        for (const std::string& file : list_files(recipe_.path_of(source.path))) {
          counts_[{d, s}].files.push(file_json(file));
          for (Document& document : read_documents(file, source.form, source.fields)) {
            documents_.push_back(std::make_unique<Document>(std::move(document)));
            candidates_.push_back({documents_.back().get(), d, s, {}, 0, {}});
          }
        }
      }
    }
    pool_.for_each(static_cast<int64_t>(candidates_.size()), [&](int64_t i, int) {
      base::stop_if_interrupted();
      Candidate& candidate = candidates_[static_cast<size_t>(i)];
      candidate.sha256 = content_hash(*candidate.document);
      candidate.order = mixed(recipe_.seed, leading_bits(candidate.sha256));
    });
    std::set<std::string> seen;
    std::vector<Candidate> kept;
    for (Candidate& candidate : candidates_) {
      ++count_of(candidate).documents;
      if (seen.insert(candidate.sha256).second) {
        kept.push_back(std::move(candidate));
      } else {
        ++count_of(candidate).duplicates;
      }
    }
    candidates_ = std::move(kept);
  }

  // All documents as their strings are. Those that may be cut stay: their pieces are looked at when
  // it is known what they are.
  void filter_documents() {
    base::Progress progress("overlap", "documents", static_cast<double>(candidates_.size()));
    pool_.for_each(static_cast<int64_t>(candidates_.size()), [&](int64_t i, int) {
      base::stop_if_interrupted();
      Candidate& candidate = candidates_[static_cast<size_t>(i)];
      candidate.hit = index_.find(joined(candidate.document->texts));
      progress.add(1);
    });
    std::vector<Candidate> kept;
    for (Candidate& candidate : candidates_) {
      if (candidate.hit && (recipe_.refuse_overlap || !source_of(candidate).cut)) {
        remove(candidate, 0, *candidate.hit);
      } else {
        kept.push_back(std::move(candidate));
      }
    }
    candidates_ = std::move(kept);
    sort_by_order<Candidate>(candidates_, [](const Candidate& c) { return c.sha256; });
  }

  void remove(const Candidate& candidate, int64_t piece, const OverlapHit& hit) {
    if (recipe_.refuse_overlap) {
      throw fail(ErrorKind::gate, "%s: shares a %s; nothing is written",
                 place_of(candidate).c_str(), hit_text(hit).c_str());
    }
    ++(piece > 0 ? count_of(candidate).removed_pieces : count_of(candidate).removed);
    Json json = document_json(candidate, piece);
    json.set("filter", hit.filter);
    json.set("evaluation", hit.set);
    json.set("item", hit.item);
    json.set("match", hit.match);
    removed_.push(std::move(json));
  }

  Json document_json(const Candidate& candidate, int64_t piece) const {
    Json json = Json::object();
    json.set("domain", recipe_.domains[candidate.domain].name);
    json.set("file", reported(candidate.document->file));
    json.set("document", candidate.document->number);
    if (piece > 0) json.set("piece", piece);
    json.set("sha256", candidate.sha256);
    return json;
  }

  std::vector<int32_t> tokens_of(const Candidate& candidate) const {
    const Document& document = *candidate.document;
    std::vector<uint32_t> ids;
    if (document.is_chat()) {
      if (!template_) {
        throw fail(ErrorKind::bad_input, "%s: a conversation, but the model has no chat template",
                   place_of(candidate).c_str());
      }
      text::RenderOptions options;
      options.add_generation_prompt = false;
      options.enable_thinking = source_of(candidate).thinking;
      options.preserve_thinking = true;
      options.place = place_of(candidate);
      options.clock = kClock;
      const text::RenderedPrompt prompt = template_->render_marked(
          text::parse_tool_arguments(document.messages), document.tools, options);
      ids = tokenizer_.encode(prompt.text, {.parse_special = true, .ordinary = prompt.input});
    } else {
      ids = tokenizer_.encode(joined(document.texts),
                              {.parse_special = source_of(candidate).special});
    }
    return {ids.begin(), ids.end()};
  }

  // The candidate's sequences: itself, or its pieces; none if it is too long.
  std::vector<Sequence> sequences_of(const Candidate& candidate) const {
    std::vector<int32_t> tokens = tokens_of(candidate);
    const auto context = static_cast<size_t>(recipe_.context);
    std::vector<Sequence> out;
    if (tokens.size() <= context) {
      if (!tokens.empty()) {
        out.push_back({&candidate, 0, std::move(tokens), candidate.order, candidate.hit});
      }
    } else if (source_of(candidate).cut) {
      for (size_t begin = 0; begin < tokens.size(); begin += context) {
        const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(begin);
        const auto count = static_cast<std::ptrdiff_t>(std::min(context, tokens.size() - begin));
        const auto piece = static_cast<int64_t>(out.size()) + 1;
        out.push_back({&candidate,
                       piece,
                       {first, first + count},
                       mixed(candidate.order, static_cast<uint64_t>(piece)),
                       {}});
      }
    }
    for (Sequence& sequence : out) {
      if (!sequence.hit) sequence.hit = index_.find(decoded(sequence.tokens));
    }
    return out;
  }

  std::string decoded(std::span<const int32_t> tokens) const {
    const std::vector<uint32_t> ids(tokens.begin(), tokens.end());
    return tokenizer_.decode(ids);
  }

  // Sequences of the domain in their seeded order, enough for the budget if there are.
  std::vector<Sequence> sequences_for(size_t domain, int64_t budget) {
    std::vector<const Candidate*> list;
    for (const Candidate& candidate : candidates_) {
      if (candidate.domain == domain) list.push_back(&candidate);
    }
    std::vector<Sequence> out;
    int64_t tokens = 0;
    for (size_t begin = 0; begin < list.size() && tokens < kChoiceFactor * budget + kChoiceMore;
         begin += kTokenizedAtOnce) {
      base::stop_if_interrupted();
      const size_t count = std::min(kTokenizedAtOnce, list.size() - begin);
      std::vector<std::vector<Sequence>> found(count);
      pool_.for_each(static_cast<int64_t>(count), [&](int64_t i, int) {
        const auto index = static_cast<size_t>(i);
        found[index] = sequences_of(*list[begin + index]);
      });
      for (size_t i = 0; i < count; ++i) {
        if (found[i].empty()) leave_out(*list[begin + i]);
        for (Sequence& sequence : found[i]) {
          if (sequence.hit) {
            remove(*sequence.candidate, sequence.piece, *sequence.hit);
            continue;
          }
          tokens += static_cast<int64_t>(sequence.tokens.size());
          out.push_back(std::move(sequence));
        }
      }
    }
    sort_by_order<Sequence>(out, [](const Sequence& s) { return s.candidate->sha256; });
    return out;
  }

  void leave_out(const Candidate& candidate) {
    ++count_of(candidate).left_out;
    left_out_.push(document_json(candidate, 0));
  }

  void choose(size_t domain, int64_t budget) {
    std::vector<Sequence> from = sequences_for(domain, budget);
    std::vector<int64_t> lengths;
    for (const Sequence& sequence : from) {
      lengths.push_back(static_cast<int64_t>(sequence.tokens.size()));
    }
    const ExactChoice choice = choose_exactly(lengths, budget);
    std::vector<bool> taken(from.size());
    for (const size_t i : choice.whole) taken[i] = true;
    if (choice.missing > 0) {
      const std::optional<size_t> cut = cuttable(from, taken, choice.missing);
      if (!cut) throw too_few(domain, budget, choice.missing, lengths);
      taken[*cut] = true;
      Json json = document_json(*from[*cut].candidate, from[*cut].piece);
      json.set("tokens", choice.missing);
      json.set("of", lengths[*cut]);
      cut_.push(std::move(json));
      from[*cut].tokens.resize(static_cast<size_t>(choice.missing));
    }
    for (size_t i = 0; i < from.size(); ++i) {
      if (taken[i]) chosen_.push_back(std::move(from[i]));
    }
  }

  // The first text that is left and longer than what is missing.
  static std::optional<size_t> cuttable(const std::vector<Sequence>& from,
                                        const std::vector<bool>& taken, int64_t missing) {
    for (size_t i = 0; i < from.size(); ++i) {
      const bool longer = static_cast<int64_t>(from[i].tokens.size()) > missing;
      if (!taken[i] && longer && !from[i].candidate->document->is_chat()) return i;
    }
    return {};
  }

  base::Error too_few(size_t domain, int64_t budget, int64_t missing,
                      const std::vector<int64_t>& lengths) {
    int64_t there = 0, removed = 0, pieces = 0;
    for (const int64_t length : lengths) there += length;
    for (const auto& [place, count] : counts_) {
      if (place.first != domain) continue;
      removed += count.removed;
      pieces += count.removed_pieces;
    }
    const std::string name = printable(recipe_.domains[domain].name);
    if (there < budget) {
      return fail(removed + pieces > 0 ? ErrorKind::gate : ErrorKind::usage,
                  "%s: domain '%s' has %lld of %lld tokens%s; give more text, fewer tokens or a "
                  "smaller share",
                  printable(recipe_.file).c_str(), name.c_str(), static_cast<long long>(there),
                  static_cast<long long>(budget),
                  removed + pieces == 0
                      ? ""
                      : strf(" without the %lld documents and %lld pieces that overlap evaluation "
                             "sets",
                             static_cast<long long>(removed), static_cast<long long>(pieces))
                            .c_str());
    }
    return fail(ErrorKind::usage,
                "%s: no whole conversations of domain '%s' add up to %lld tokens (%lld can be "
                "reached); change the share, or add a text that may be cut short",
                printable(recipe_.file).c_str(), name.c_str(), static_cast<long long>(budget),
                static_cast<long long>(budget - missing));
  }

  // All domains' sequences in one seeded order: a packet is no file after the other.
  void assemble() {
    sort_by_order<Sequence>(chosen_, [](const Sequence& s) { return s.candidate->sha256; });
    Packet& packet = out_.packet;
    packet.tokenizer = tokenizer_hash(tokenizer_.spec());
    for (const PacketDomain& domain : recipe_.domains) packet.domain_names.push_back(domain.name);
    std::set<const Candidate*> used;
    for (const Sequence& sequence : chosen_) {
      SourceCount& count = count_of(*sequence.candidate);
      count.used += used.insert(sequence.candidate).second ? 1 : 0;
      ++count.sequences;
      count.tokens += static_cast<int64_t>(sequence.tokens.size());
      packet.tokens.insert(packet.tokens.end(), sequence.tokens.begin(), sequence.tokens.end());
      packet.ends.push_back(static_cast<int64_t>(packet.tokens.size()));
      packet.domains.push_back(static_cast<int32_t>(sequence.candidate->domain));
    }
    CHECK(static_cast<int64_t>(packet.tokens.size()) == recipe_.tokens);
  }

  // What is going to be written, read back as text.
  void check_packet() {
    std::vector<std::optional<OverlapHit>> hits(chosen_.size());
    pool_.for_each(static_cast<int64_t>(chosen_.size()), [&](int64_t i, int) {
      base::stop_if_interrupted();
      const auto index = static_cast<size_t>(i);
      hits[index] = index_.find(decoded(out_.packet.sequence(index)));
    });
    for (size_t i = 0; i < hits.size(); ++i) {
      if (!hits[i]) continue;
      throw fail(ErrorKind::gate, "%s: as it goes into the packet it shares a %s; leave it out",
                 place_of(*chosen_[i].candidate).c_str(), hit_text(*hits[i]).c_str());
    }
  }

  Json domain_json(size_t domain) {
    Json sources = Json::array();
    int64_t sequences = 0, tokens = 0;
    for (size_t s = 0; s < recipe_.domains[domain].sources.size(); ++s) {
      const PacketSource& source = recipe_.domains[domain].sources[s];
      SourceCount& count = counts_[{domain, s}];
      Json json = Json::object();
      json.set("path", source.path);
      json.set("form", form_name(source.form));
      json.set("documents", count.documents);
      json.set("duplicates", count.duplicates);
      json.set("removed", count.removed);
      json.set("left_out", count.left_out);
      json.set("used", count.used);
      json.set("unused",
               count.documents - count.duplicates - count.removed - count.left_out - count.used);
      json.set("removed_pieces", count.removed_pieces);
      json.set("sequences", count.sequences);
      json.set("tokens", count.tokens);
      json.set("files", std::move(count.files));
      sources.push(std::move(json));
      sequences += count.sequences;
      tokens += count.tokens;
    }
    Json json = Json::object();
    json.set("name", recipe_.domains[domain].name);
    json.set("share", recipe_.domains[domain].share);
    json.set("sequences", sequences);
    json.set("tokens", tokens);
    json.set("sources", std::move(sources));
    return json;
  }

  Json samples_json() const {
    Json samples = Json::array();
    for (const Sequence& sequence : chosen_) {
      Json json = document_json(*sequence.candidate, sequence.piece);
      json.set("tokens", static_cast<int64_t>(sequence.tokens.size()));
      samples.push(std::move(json));
    }
    return samples;
  }

  void report() {
    Json domains = Json::array();
    for (size_t d = 0; d < recipe_.domains.size(); ++d) domains.push(domain_json(d));
    Json json = Json::object();
    json.set("schema", 1);
    json.set("recipe", base::file_name(recipe_.file));
    json.set("recipe_sha256", base::sha256_of_file(recipe_.file));
    json.set("tokenizer_sha256", out_.packet.tokenizer);
    json.set(
        "template_sha256",
        template_ ? Json(base::sha256_hex(std::as_bytes(std::span(template_->source())))) : Json());
    json.set("seed", recipe_.seed);
    json.set("context", recipe_.context);
    json.set("tokens", recipe_.tokens);
    json.set("sequences", static_cast<int64_t>(chosen_.size()));
    json.set("domains", std::move(domains));
    json.set("evaluations", std::move(evaluations_));
    json.set("removed", std::move(removed_));
    json.set("left_out", std::move(left_out_));
    json.set("cut_short", std::move(cut_));
    json.set("samples", samples_json());
    out_.report = std::move(json);
  }

  const PacketRecipe& recipe_;
  const text::Tokenizer& tokenizer_;
  base::ThreadPool& pool_;
  std::optional<text::ChatTemplate> template_;
  OverlapIndex index_;
  std::vector<std::unique_ptr<Document>> documents_;
  std::vector<Candidate> candidates_;
  std::vector<Sequence> chosen_;
  std::map<std::pair<size_t, size_t>, SourceCount> counts_;  // by domain and source
  std::set<std::string> inputs_;
  Json evaluations_ = Json::array(), removed_ = Json::array(), left_out_ = Json::array(),
       cut_ = Json::array();
  BuiltPacket out_;
};

}  // namespace

BuiltPacket build_packet(const PacketRecipe& recipe, const text::Tokenizer& tokenizer,
                         const std::string& chat_template, base::ThreadPool& pool) {
  return Builder(recipe, tokenizer, chat_template, pool).run();
}

}  // namespace karat::calib
