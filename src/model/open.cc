#include "model/open.h"

#include <dirent.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "model/hf_names.h"
#include "model/names.h"

namespace karat::model {

using base::ErrorKind;
using base::fail;
using base::Json;
using base::printable;
using tensor::TensorInfo;

namespace {

constexpr uint64_t kConfigBytesMax = 16 << 20;

std::vector<std::string> list_folder(const std::string& folder) {
  std::vector<std::string> names;
  DIR* dir = opendir(folder.c_str());
  if (dir == nullptr) return names;
  while (const dirent* entry = readdir(dir)) names.emplace_back(entry->d_name);
  closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

bool is_pickle(std::string_view name) {
  for (const char* suffix : {".bin", ".pt", ".pth", ".ckpt"}) {
    if (base::ends_with(name, suffix)) return true;
  }
  return false;
}

// A folder that cannot be opened as a checkpoint: says what it seems to be instead.
void check_folder(const std::string& folder) {
  const std::vector<std::string> names = list_folder(folder);
  const auto first = [&](auto predicate) -> const std::string* {
    const auto found = std::find_if(names.begin(), names.end(), predicate);
    return found == names.end() ? nullptr : &*found;
  };
  const bool safetensors =
      first([](const std::string& n) { return base::ends_with(n, ".safetensors"); }) != nullptr;
  if (const std::string* pickle = first(is_pickle); pickle != nullptr && !safetensors) {
    throw fail(ErrorKind::unsupported,
               "%s: '%s' is a pickle, which can run code and is never opened; convert the "
               "checkpoint to safetensors first",
               printable(folder).c_str(), printable(*pickle).c_str());
  }
  if (std::binary_search(names.begin(), names.end(), "config.json")) return;
  const std::string* gguf = first([](const std::string& n) { return base::ends_with(n, ".gguf"); });
  if (gguf != nullptr) {
    throw fail(ErrorKind::bad_input, "%s: no config.json here; give the file itself, '%s'",
               printable(folder).c_str(), printable(*gguf).c_str());
  }
  throw fail(ErrorKind::bad_input, "%s: not a checkpoint folder: it has no config.json",
             printable(folder).c_str());
}

// The template of one JSON value: a string, or a list of named templates of which "default" counts.
std::string template_of(const Json& value, const std::string& where) {
  if (value.is_string()) return value.as_string();
  if (value.is_null()) return "";
  if (value.is_array()) {
    for (const Json& entry : value.as_array()) {
      const Json* name = entry.find("name");
      const Json* text = entry.find("template");
      if (name != nullptr && *name == Json("default") && text != nullptr && text->is_string()) {
        return text->as_string();
      }
    }
  }
  throw fail(ErrorKind::bad_input,
             "%s: key 'chat_template' must be a string or a list with a template named 'default'",
             printable(where).c_str());
}

// chat_template.jinja, else the key in tokenizer_config.json or chat_template.json.
std::string read_template(const std::string& folder, std::vector<std::string>& files) {
  const std::string jinja = folder + "/chat_template.jinja";
  std::string found;
  if (base::file_exists(jinja)) {
    found = base::read_file(jinja, kConfigBytesMax);
    files.push_back(jinja);
    if (!base::is_utf8(found)) {
      throw fail(ErrorKind::bad_input, "%s: not valid UTF-8", printable(jinja).c_str());
    }
  }
  for (const char* name : {"/tokenizer_config.json", "/chat_template.json"}) {
    const std::string path = folder + name;
    if (!base::file_exists(path)) continue;
    const Json json = base::parse_json(base::read_file(path, kConfigBytesMax), {.name = path});
    const Json* key = json.find("chat_template");
    if (key == nullptr) continue;
    const std::string text = template_of(*key, path);
    if (found.empty()) found = text;
    if (text != found && !text.empty()) {
      base::warn("%s: its chat template differs from chat_template.jinja, which is used",
                 printable(path).c_str());
    }
  }
  return found;
}

void read_hf_text(OpenedModel& model) {
  const text::HfTokenizerFiles files = text::read_hf_tokenizer_files(model.path);
  const bool any = files.tokenizer_json || files.vocab_json;
  if (any) model.tokenizer = text::spec_from_hf(files);
  for (const char* name :
       {"README.md", "chat_template.json", "generation_config.json", "model.safetensors.index.json",
        "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"}) {
    const std::string path = model.path + "/" + name;
    if (base::file_exists(path)) model.files.push_back(path);
  }
  model.chat_template = read_template(model.path, model.files);
}

OpenedModel open_hf(const std::string& folder, const HfOptions& options) {
  HfCheckpoint checkpoint = open_hf_checkpoint(folder);
  OpenedModel model;
  model.path = folder;
  model.config = std::move(checkpoint.config);
  model.source = make_hf_source(checkpoint.raw, model.config, folder, options);
  model.raw = std::move(checkpoint.raw);
  model.files.push_back(folder + "/config.json");
  read_hf_text(model);
  model.files.insert(model.files.end(), checkpoint.files.begin(), checkpoint.files.end());
  return model;
}

// Shapes of the tensors that are there against the configuration. Which of them are there at all is
// for those who bind them: a draft file, for one, has no trunk.
void check_shapes(const tensor::TensorSource& source, const Config& config,
                  const std::string& path) {
  const auto check = [&](const std::string& prefix, const std::vector<TensorRule>& rules) {
    for (const TensorRule& rule : rules) {
      const TensorInfo* info = source.find(prefix + std::string(rule.canonical));
      if (info == nullptr || info->shape == rule.shape) continue;
      // ggml's writer drops leading dimensions of 1.
      if (rule.shape[0] == 1 && info->shape == tensor::Shape{rule.shape.cols()}) continue;
      throw fail(ErrorKind::bad_input,
                 "%s: tensor '%s' has shape %s, but by the metadata it should be %s",
                 printable(path).c_str(), printable(info->name).c_str(), info->shape.str().c_str(),
                 rule.shape.str().c_str());
    }
  };
  for (const TensorInfo& info : source.tensors()) {
    if (layer_of(info.name) < config.blocks()) continue;
    throw fail(ErrorKind::bad_input,
               "%s: tensor '%s' lies beyond the %lld blocks that the metadata announces",
               printable(path).c_str(), printable(info.name).c_str(),
               static_cast<long long>(config.blocks()));
  }
  check("", {token_embd_rule(config), output_norm_rule(config), output_rule(config)});
  for (int64_t layer = 0; layer < config.blocks(); ++layer) {
    const bool mtp = layer >= config.layers();
    const Mixer mixer = mtp ? Mixer::attention : config.mixers[static_cast<size_t>(layer)];
    check(block_name(layer, ""), block_rules(config, mixer, false));
    check(block_name(layer, ""), block_rules(config, mixer, true));
    if (!mtp) continue;
    check(block_name(layer, ""), mtp_rules_before(config));
    check(block_name(layer, ""), mtp_rules_after(config));
  }
}

std::optional<bool> optional_bool(const format::Metadata& metadata, const char* key) {
  if (!metadata.has(key)) return std::nullopt;
  return metadata.get_bool(key);
}

std::optional<text::TokenizerSpec> gguf_tokenizer(const format::Metadata& metadata,
                                                  const std::string& path) {
  if (!metadata.has("tokenizer.ggml.tokens")) return std::nullopt;
  text::GgufTokenizer in;
  in.file = path;
  in.model = metadata.get_string("tokenizer.ggml.model");
  in.pre = metadata.get_string("tokenizer.ggml.pre");
  in.tokens = metadata.get_array<std::string>("tokenizer.ggml.tokens");
  in.types = metadata.get_array<int32_t>("tokenizer.ggml.token_type");
  in.merges = metadata.get_array<std::string>("tokenizer.ggml.merges");
  constexpr std::string_view kStart = "tokenizer.ggml.", kEnd = "_token_id";
  for (const format::Metadata::Entry& entry : metadata.entries()) {
    if (!base::starts_with(entry.key, kStart) || !base::ends_with(entry.key, kEnd)) continue;
    const uint64_t id = metadata.get_uint(entry.key);
    if (id >= in.tokens.size()) {
      throw fail(ErrorKind::bad_input, "%s: key '%s' is %llu, but there are only %zu tokens",
                 printable(path).c_str(), printable(entry.key).c_str(),
                 static_cast<unsigned long long>(id), in.tokens.size());
    }
    const std::string name =
        entry.key.substr(kStart.size(), entry.key.size() - kStart.size() - kEnd.size());
    in.special_ids.push_back({name, static_cast<uint32_t>(id)});
  }
  in.add_bos = optional_bool(metadata, "tokenizer.ggml.add_bos_token");
  in.add_eos = optional_bool(metadata, "tokenizer.ggml.add_eos_token");
  return text::spec_from_gguf(std::move(in));
}

}  // namespace

Config check_gguf(const format::Metadata& metadata, const tensor::TensorSource& source,
                  const std::string& where) {
  Config config = config_from_gguf(metadata, where);
  const TensorInfo* embedding = source.find(kTokenEmbd);
  if (config.vocab == 0 && embedding != nullptr) config.vocab = embedding->shape.rows();
  config.tied_embeddings = source.find(kOutput) == nullptr;
  check_shapes(source, config, where);
  return config;
}

namespace {

OpenedModel open_gguf(const std::string& path) {
  auto source = std::make_unique<format::GgufSource>(path);
  OpenedModel model;
  model.path = path;
  model.is_gguf = true;
  model.files = source->files();
  model.metadata = source->metadata();
  model.config = check_gguf(*model.metadata, *source, path);
  model.tokenizer = gguf_tokenizer(*model.metadata, path);
  model.chat_template = model.metadata->get_string("tokenizer.chat_template", "");
  model.source = std::move(source);
  return model;
}

}  // namespace

HfCheckpoint open_hf_checkpoint(const std::string& folder) {
  check_folder(folder);
  const std::string config_path = folder + "/config.json";
  const Json config =
      base::parse_json(base::read_file(config_path, kConfigBytesMax), {.name = config_path});
  HfCheckpoint out;
  out.config = config_from_hf(config, config_path);
  if (base::file_exists(folder + "/hf_quant_config.json")) {
    throw fail(ErrorKind::unsupported,
               "%s: this checkpoint is already quantized (it has a hf_quant_config.json); start "
               "from the original 16-bit one",
               printable(folder).c_str());
  }
  auto raw = std::make_shared<format::SafetensorsSource>(folder);
  if (!raw->foreign().empty()) raw->refuse(raw->foreign().front());
  out.files = raw->files();
  out.raw = std::move(raw);
  return out;
}

OpenedModel open_model(const std::string& path, const HfOptions& options) {
  if (base::is_directory(path)) return open_hf(path, options);
  if (is_pickle(path)) {
    throw fail(ErrorKind::unsupported,
               "%s: a pickle can run code and is never opened; convert the checkpoint to "
               "safetensors first",
               printable(path).c_str());
  }
  if (base::ends_with(path, ".safetensors") || base::ends_with(path, ".json")) {
    throw fail(ErrorKind::bad_input, "%s: give the folder of the checkpoint, not a file in it",
               printable(path).c_str());
  }
  return open_gguf(path);
}

}  // namespace karat::model
