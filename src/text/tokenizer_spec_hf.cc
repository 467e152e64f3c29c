// TokenizerSpec from the files of a Hugging Face folder.
#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "text/pretokenizer.h"
#include "text/tokenizer_spec.h"
#include "text/tokenizer_tables.h"

namespace karat::text {

using base::ErrorKind;
using base::fail;
using base::Json;
using base::printable;

namespace {

// Three times the largest tokenizer.json of the family; what parsing makes of it is bounded by
// that.
constexpr uint64_t kFileBytesMax = uint64_t{64} << 20;

// A value of a JSON file together with where it stands ("dir/tokenizer.json: model.vocab"), so that
// every message can say it.
class Place {
 public:
  Place(const Json* value, std::string name) : value_(value), name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  bool is_null() const { return value_ == nullptr || value_->is_null(); }

  Place operator[](std::string_view key) const {
    return member(key, is_null() ? nullptr : object_json().find(key));
  }
  Place member(std::string_view key, const Json* value) const {
    return {value, name_ + (name_.ends_with(": ") ? "" : ".") + printable(key)};
  }

  const Json::Object& object() const { return object_json().as_object(); }
  const Json::Array& array() const {
    if (is_null() || !value_->is_array()) throw wrong("a list");
    return value_->as_array();
  }
  Place item(size_t i) const { return {&array()[i], name_ + "[" + std::to_string(i) + "]"}; }
  const std::string& string() const {
    if (is_null() || !value_->is_string()) throw wrong("a string");
    return value_->as_string();
  }
  bool boolean(bool if_absent) const {
    if (is_null()) return if_absent;
    if (!value_->is_bool()) throw wrong("true or false");
    return value_->as_bool();
  }
  // A token id or a count of tokens.
  uint32_t integer() const {
    if (is_null() || !value_->is_integer() || value_->as_double() < 0 ||
        value_->as_double() > static_cast<double>(kTokensMax)) {
      throw wrong(("an integer from 0 to " + std::to_string(kTokensMax)).c_str());
    }
    return static_cast<uint32_t>(value_->as_uint());
  }
  bool is_string() const { return !is_null() && value_->is_string(); }
  bool is_integer() const { return !is_null() && value_->is_integer(); }
  bool is_array() const { return !is_null() && value_->is_array(); }
  bool is_object() const { return !is_null() && value_->is_object(); }
  bool is_bool() const { return !is_null() && value_->is_bool(); }

  base::Error wrong(const char* expected) const {
    return fail(ErrorKind::bad_input, "%s: %s expected", name_.c_str(), expected);
  }
  base::Error unsupported(const std::string& what) const {
    return fail(ErrorKind::unsupported, "%s: %s", name_.c_str(), what.c_str());
  }

 private:
  const Json& object_json() const {
    if (is_null() || !value_->is_object()) throw wrong("an object");
    return *value_;
  }

  const Json* value_;
  std::string name_;
};

// The values of one JSON file; null if it is absent.
class Document {
 public:
  Document(const std::string& folder, const char* name, const std::optional<std::string>& text)
      : name_(path_in(folder, name)) {
    if (!text) return;
    check_size(name_, *text);
    json_ = base::parse_json(*text, {.name = name_});
    if (!json_.is_object()) throw fail(ErrorKind::bad_input, "%s: not an object", name_.c_str());
  }
  Place root() const { return {&json_, name_ + ": "}; }

  static std::string path_in(const std::string& folder, const char* name) {
    return folder.empty() ? name : folder + "/" + name;
  }
  static void check_size(const std::string& name, const std::string& text) {
    if (text.size() <= kFileBytesMax) return;
    throw fail(ErrorKind::bad_input, "%s: %zu bytes; at most %zu are possible", name.c_str(),
               text.size(), static_cast<size_t>(kFileBytesMax));
  }

 private:
  std::string name_;
  Json json_;
};

// Refuses what `place` says unless it is `expected`.
void require(const Place& place, std::string_view expected) {
  if (place.string() == expected) return;
  throw place.unsupported("'" + printable(place.string()) + "' is not supported, only '" +
                          std::string(expected) + "'");
}

void require(const Place& place, bool expected, bool if_absent) {
  if (place.boolean(if_absent) == expected) return;
  throw place.unsupported(expected ? "only true is supported" : "only false is supported");
}

// tokenizer.json's steps before and after the model must be those of the family.
void check_pipeline(const Place& root) {
  require(root["normalizer"]["type"], "NFC");
  const Place pre = root["pre_tokenizer"];
  require(pre["type"], "Sequence");
  const Place steps = pre["pretokenizers"];
  if (steps.array().size() != 2) throw steps.unsupported("only Split and ByteLevel are supported");
  const Place split = steps.item(0), bytes = steps.item(1);
  require(split["type"], "Split");
  require(split["pattern"]["Regex"], kPretokenizerRegex);
  require(split["behavior"], "Isolated");
  require(split["invert"], false, false);
  require(bytes["type"], "ByteLevel");
  require(bytes["add_prefix_space"], false, true);
  require(bytes["use_regex"], false, true);
  if (!root["post_processor"].is_null()) require(root["post_processor"]["type"], "ByteLevel");
  if (!root["decoder"].is_null()) require(root["decoder"]["type"], "ByteLevel");
}

void check_model(const Place& model) {
  require(model["type"], "BPE");
  require(model["byte_fallback"], false, false);
  require(model["ignore_merges"], false, false);
  if (!model["dropout"].is_null()) throw model["dropout"].unsupported("dropout is not supported");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model[affix].is_null()) require(model[affix], "");
  }
}

AddedToken parse_added(const Place& place, uint32_t id) {
  for (const char* flag : {"lstrip", "rstrip", "single_word"}) require(place[flag], false, false);
  const bool special = place["special"].boolean(false);
  return {id, place["content"].string(), special, place["normalized"].boolean(!special)};
}

// The spec under construction, and which id is taken by what.
class Assembly {
 public:
  void add_base_token(const std::string& token, const Place& id_place) {
    const uint32_t id = id_place.integer();
    if (!base_.emplace(id, token).second) {
      throw fail(ErrorKind::bad_input, "%s: id %u is already '%s'", id_place.name().c_str(), id,
                 printable(base_[id]).c_str());
    }
    base_ids_.emplace(token, id);
  }

  // Where both files have a token, the first call counts; they must agree on its id and text.
  void add_added_token(const AddedToken& token, const Place& place) {
    const auto known = added_.find(token.id);
    if (known != added_.end() && known->second.content == token.content) return;
    const auto base = base_.find(token.id);
    if (known != added_.end() || (base != base_.end() && base->second != token.content)) {
      const std::string& other = known != added_.end() ? known->second.content : base->second;
      throw fail(ErrorKind::bad_input, "%s: id %u is already '%s'", place.name().c_str(), token.id,
                 printable(other).c_str());
    }
    const auto [same_text, is_new] = added_ids_.emplace(token.content, token.id);
    const auto base_id = base_ids_.find(token.content);
    if (!is_new || (base_id != base_ids_.end() && base_id->second != token.id)) {
      throw fail(ErrorKind::bad_input, "%s: '%s' is already token %u", place.name().c_str(),
                 printable(token.content).c_str(), is_new ? base_id->second : same_text->second);
    }
    added_.emplace(token.id, token);
  }

  std::optional<uint32_t> added_id(const std::string& content) const {
    const auto entry = added_ids_.find(content);
    return entry == added_ids_.end() ? std::nullopt : std::optional(entry->second);
  }

  // Fills the rows up to `vocab_size` (null: as many as there are).
  void fill(TokenizerSpec& spec, const Place& vocab_size) const {
    uint32_t count = 0;
    if (!base_.empty()) count = base_.rbegin()->first + 1;
    if (!added_.empty()) count = std::max(count, added_.rbegin()->first + 1);
    if (!vocab_size.is_null()) {
      const uint32_t rows = vocab_size.integer();
      if (rows < count) {
        throw fail(ErrorKind::bad_input, "%s: %u, but the tokenizer's ids go up to %u",
                   vocab_size.name().c_str(), rows, count - 1);
      }
      count = rows;
    }
    spec.tokens.resize(count);
    spec.types.assign(count, TokenType::unused);
    for (const auto& [id, token] : base_) {
      spec.tokens[id] = token;
      spec.types[id] = TokenType::normal;
    }
    for (const auto& [id, token] : added_) {
      spec.tokens[id] = token.content;
      spec.types[id] = token.special || looks_special(token.content) ? TokenType::control
                                                                     : TokenType::user_defined;
      spec.added.push_back(token);
    }
    for (uint32_t id = 0; id < count; ++id) {
      if (spec.types[id] == TokenType::unused) spec.tokens[id] = base::strf("[PAD%u]", id);
    }
  }

 private:
  // The texts that the reference converter (convert_hf_to_gguf.py, does_token_look_special) takes
  // for control tokens whatever their flag says.
  static bool looks_special(const std::string& text) {
    static constexpr std::array<std::string_view, 4> kTexts = {"<pad>", "<mask>", "<2mass>",
                                                               "[@BOS@]"};
    const auto between = [&](std::string_view begin, std::string_view end) {
      return text.starts_with(begin) && text.ends_with(end);
    };
    return std::ranges::find(kTexts, text) != kTexts.end() || between("<|", "|>") ||
           between("<\uFF5C", "\uFF5C>") || between("<unused", ">");
  }

  std::map<uint32_t, std::string> base_;
  std::unordered_map<std::string, uint32_t> base_ids_;
  std::map<uint32_t, AddedToken> added_;
  std::unordered_map<std::string, uint32_t> added_ids_;
};

void read_vocabulary(const Place& vocab, Assembly& assembly) {
  for (const auto& [token, id] : vocab.object()) {
    assembly.add_base_token(token, vocab.member(token, &id));
  }
}

// A list of "left right" or ["left", "right"].
void read_merges(const Place& merges, TokenizerSpec& spec) {
  const size_t count = merges.array().size();
  for (size_t i = 0; i < count; ++i) {
    const Place merge = merges.item(i);
    if (merge.is_string()) {
      spec.merges.push_back(merge.string());
      continue;
    }
    if (merge.array().size() != 2) throw merge.wrong("a pair of tokens");
    spec.merges.push_back(merge.item(0).string() + " " + merge.item(1).string());
  }
}

// merges.txt: one "left right" per line, after a line "#version: ..." if there is one.
void read_merges_txt(const std::string& name, const std::string& text, TokenizerSpec& spec) {
  Document::check_size(name, text);
  size_t begin = text.starts_with("#version") ? text.find('\n') : 0;
  if (begin == std::string::npos) return;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) spec.merges.push_back(std::move(line));
    begin = end + 1;
  }
}

void read_added_list(const Place& list, Assembly& assembly) {
  if (list.is_null()) return;
  for (size_t i = 0; i < list.array().size(); ++i) {
    const Place item = list.item(i);
    assembly.add_added_token(parse_added(item, item["id"].integer()), item);
  }
}

// tokenizer_config.json's object of tokens by id.
void read_added_object(const Place& object, Assembly& assembly) {
  if (object.is_null()) return;
  for (const auto& [key, value] : object.object()) {
    const Place item = object.member(key, &value);
    const bool is_id = !key.empty() && key.size() <= 7 &&
                       std::ranges::all_of(key, [](char c) { return c >= '0' && c <= '9'; });
    if (!is_id || std::stoul(key) >= kTokensMax) throw item.wrong("a token id as the name");
    assembly.add_added_token(parse_added(item, static_cast<uint32_t>(std::stoul(key))), item);
  }
}

// Roles in the order of the reference converter (gguf-py, SpecialVocab): their name in the files,
// and in the keys of GGUF.
constexpr std::array<std::pair<const char*, const char*>, 7> kRoles = {{{"bos", "bos"},
                                                                        {"eos", "eos"},
                                                                        {"unk", "unknown"},
                                                                        {"sep", "seperator"},
                                                                        {"pad", "padding"},
                                                                        {"cls", "cls"},
                                                                        {"mask", "mask"}}};

void set_role(TokenizerSpec& spec, const char* name, uint32_t id, const Place& place) {
  if (spec.special_id(name)) return;
  if (id >= spec.tokens.size()) {
    throw fail(ErrorKind::bad_input, "%s: id %u, but there are only %zu tokens",
               place.name().c_str(), id, spec.tokens.size());
  }
  spec.special_ids.push_back({name, id});
}

// tokenizer_config.json names tokens by their text; config.json, for the roles left, by their id.
void read_roles(const Place& tokenizer_config, const Place& config, const Assembly& assembly,
                TokenizerSpec& spec) {
  for (const auto& [role, name] : kRoles) {
    const Place entry = tokenizer_config[std::string(role) + "_token"];
    if (entry.is_null()) continue;
    const std::string& content = entry.is_object() ? entry["content"].string() : entry.string();
    const auto id = assembly.added_id(content);
    if (id) {
      set_role(spec, name, *id, entry);
    } else if (std::string_view(role) == "eos") {
      throw fail(ErrorKind::bad_input, "%s: '%s' is not among the added tokens",
                 entry.name().c_str(), printable(content).c_str());
    }
  }
  for (const auto& [role, name] : kRoles) {
    const std::string key = std::string(role) + "_token_id";
    const Place outer = config[key];
    const Place id = outer.is_null() ? config["text_config"][key] : outer;
    if (id.is_integer()) set_role(spec, name, id.integer(), id);
  }
  const Place add_bos = tokenizer_config["add_bos_token"],
              add_eos = tokenizer_config["add_eos_token"];
  if (add_bos.is_bool()) spec.add_bos = add_bos.boolean(false);
  if (add_eos.is_bool()) spec.add_eos = add_eos.boolean(false);
}

void read_end_ids(const Place& ends, TokenizerSpec& spec) {
  const auto add = [&](const Place& place) {
    const uint32_t id = place.integer();
    if (id >= spec.tokens.size()) {
      throw fail(ErrorKind::bad_input, "%s: id %u, but there are only %zu tokens",
                 place.name().c_str(), id, spec.tokens.size());
    }
    spec.end_ids.push_back(id);
  };
  if (ends.is_null()) return;
  if (!ends.is_array()) return add(ends);
  for (size_t i = 0; i < ends.array().size(); ++i) add(ends.item(i));
}

}  // namespace

HfTokenizerFiles read_hf_tokenizer_files(const std::string& folder) {
  const auto read = [&](const char* name) -> std::optional<std::string> {
    const std::string path = Document::path_in(folder, name);
    if (!base::file_exists(path)) return std::nullopt;
    return base::read_file(path, kFileBytesMax);
  };
  HfTokenizerFiles files;
  files.folder = folder;
  files.tokenizer_json = read("tokenizer.json");
  files.tokenizer_config = read("tokenizer_config.json");
  if (!files.tokenizer_json) {
    files.vocab_json = read("vocab.json");
    files.merges_txt = read("merges.txt");
  }
  files.config = read("config.json");
  files.generation_config = read("generation_config.json");
  return files;
}

TokenizerSpec spec_from_hf(const HfTokenizerFiles& files) {
  const Document tokenizer(files.folder, "tokenizer.json", files.tokenizer_json);
  const Document tokenizer_config(files.folder, "tokenizer_config.json", files.tokenizer_config);
  const Document vocab(files.folder, "vocab.json", files.vocab_json);
  const Document config(files.folder, "config.json", files.config);
  const Document generation(files.folder, "generation_config.json", files.generation_config);
  const Place root = tokenizer.root(), settings = tokenizer_config.root();

  TokenizerSpec spec;
  Assembly assembly;
  SpecPlaces places;
  if (files.tokenizer_json) {
    check_pipeline(root);
    check_model(root["model"]);
    places = {root["model"]["vocab"].name(), root["model"]["merges"].name(),
              root["added_tokens"].name()};
    read_vocabulary(root["model"]["vocab"], assembly);
    read_merges(root["model"]["merges"], spec);
    read_added_list(root["added_tokens"], assembly);
  } else if (files.vocab_json && files.merges_txt) {
    if (!settings["pretokenize_regex"].is_null()) {
      require(settings["pretokenize_regex"], kPretokenizerRegex);
    }
    places = {vocab.root().name() + "vocabulary",
              Document::path_in(files.folder, "merges.txt") + ": merges",
              settings["added_tokens_decoder"].name()};
    read_vocabulary(vocab.root(), assembly);
    read_merges_txt(Document::path_in(files.folder, "merges.txt"), *files.merges_txt, spec);
  } else {
    throw fail(ErrorKind::bad_input, "%s: neither tokenizer.json nor vocab.json with merges.txt",
               files.folder.c_str());
  }
  read_added_object(settings["added_tokens_decoder"], assembly);
  const Place vocab_size = config.root()["text_config"]["vocab_size"];
  assembly.fill(spec, vocab_size.is_null() ? config.root()["vocab_size"] : vocab_size);
  read_roles(settings, config.root(), assembly, spec);
  read_end_ids(generation.root()["eos_token_id"], spec);
  add_end_ids(spec);
  resolve(spec, places);
  return spec;
}

}  // namespace karat::text
