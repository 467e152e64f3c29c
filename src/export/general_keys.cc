#include "export/general_keys.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "export/model_card.h"
#include "export/model_name.h"

namespace karat::exporting {

using base::ErrorKind;
using base::fail;
using base::Json;
using base::printable;
using format::Metadata;
using tensor::TensorInfo;

namespace {

constexpr uint64_t kFileBytesMax = 16 << 20;

Json read_json(const std::string& path) {
  if (!base::file_exists(path)) return {};
  return base::parse_json(base::read_file(path, kFileBytesMax), {.name = path});
}

// The last component of the folder's real path: what "." and "models/x/" are called.
std::string folder_name(const std::string& folder) {
  char* resolved = realpath(folder.c_str(), nullptr);
  std::string path = resolved == nullptr ? folder : resolved;
  std::free(resolved);
  return path.substr(path.rfind('/') + 1);
}

void append_sampling(const std::string& folder, Metadata& out) {
  const std::string path = folder + "/generation_config.json";
  const Json config = read_json(path);
  enum class Type { text, integer, real };
  struct Key {
    const char *json, *gguf;
    Type type;
  };
  for (const Key& key :
       {Key{"sequence", "sequence", Type::text}, Key{"top_k", "top_k", Type::integer},
        Key{"top_p", "top_p", Type::real}, Key{"min_p", "min_p", Type::real},
        Key{"xtc_probability", "xtc_probability", Type::real},
        Key{"xtc_threshold", "xtc_threshold", Type::real}, Key{"temperature", "temp", Type::real},
        Key{"penalty_last_n", "penalty_last_n", Type::integer},
        Key{"penalty_repeat", "penalty_repeat", Type::real},
        Key{"mirostat", "mirostat", Type::integer}, Key{"mirostat_tau", "mirostat_tau", Type::real},
        Key{"mirostat_eta", "mirostat_eta", Type::real}}) {
    const Json* value = config.find(key.json);
    if (value == nullptr || value->is_null()) continue;
    const std::string name = std::string("general.sampling.") + key.gguf;
    if (key.type == Type::text && value->is_string()) {
      out.append(name, value->as_string());
    } else if (key.type == Type::integer && value->is_integer() &&
               std::fabs(value->as_double()) <= 2147483647) {
      out.append(name, static_cast<int32_t>(value->as_int()));
    } else if (key.type == Type::real && value->is_number()) {
      out.append(name, static_cast<float>(value->as_double()));
    } else {
      throw fail(ErrorKind::bad_input, "%s: key '%s' has the wrong type: %s",
                 printable(path).c_str(), key.json, printable(value->dump(), 60).c_str());
    }
  }
}

// What is in `more` and not yet in `parts`.
void complete(NameParts& parts, const NameParts& more) {
  const auto take = [](std::optional<std::string>& to, const std::optional<std::string>& from) {
    if (!to) to = from;
  };
  if (parts.name.empty()) parts.name = title_of(more.name);
  if (!parts.organization && more.organization) parts.organization = title_of(*more.organization);
  take(parts.basename, more.basename);
  take(parts.finetune, more.finetune);
  take(parts.version, more.version);
  take(parts.size_label, more.size_label);
}

void append_if(const char* key, const std::optional<std::string>& value, Metadata& out) {
  if (value) out.append(std::string("general.") + key, *value);
}

// general.base_model.* or general.dataset.*: what the card says this was made from.
void append_sources(const ModelCard& card, std::initializer_list<const char*> card_keys,
                    const std::string& prefix, int64_t total_params, Metadata& out) {
  const auto found = std::find_if(card_keys.begin(), card_keys.end(),
                                  [&](const char* key) { return card.contains(key); });
  if (found == card_keys.end()) return;
  const std::vector<std::string>& ids = card.at(*found);
  out.append("general." + prefix + ".count", static_cast<uint32_t>(ids.size()));
  constexpr std::string_view kHub = "https://huggingface.co/";
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::string key = "general." + prefix + "." + std::to_string(i) + ".";
    std::string id = ids[i];
    const bool url = base::starts_with(id, "http://") || base::starts_with(id, "https://") ||
                     base::starts_with(id, "ssh://");
    const bool hub = url && base::starts_with(id, kHub);
    if (hub) id.erase(0, kHub.size());
    if (url && (!hub || std::count(id.begin(), id.end(), '/') != 1)) {
      out.append(key + "repo_url", ids[i]);
      continue;
    }
    const NameParts parts = split_model_name(id, total_params);
    out.append(key + "name", title_of(parts.name));
    if (parts.version) out.append(key + "version", *parts.version);
    if (parts.organization) out.append(key + "organization", title_of(*parts.organization));
    if (parts.organization || url) {
      out.append(key + "repo_url", url ? ids[i] : std::string(kHub) + id);
    }
  }
}

std::vector<std::string> card_values(const ModelCard& card,
                                     std::initializer_list<const char*> keys) {
  std::vector<std::string> out;
  for (const char* key : keys) {
    if (const auto found = card.find(key); found != card.end()) {
      out.insert(out.end(), found->second.begin(), found->second.end());
    }
  }
  return out;
}

int64_t total_params(const std::vector<TensorInfo>& tensors) {
  int64_t total = 0;
  for (const TensorInfo& tensor : tensors) total += tensor.shape.elements();
  return total;
}

}  // namespace

std::string size_label(const std::vector<TensorInfo>& tensors) {
  int64_t shared = 0, one_expert_each = 0, experts = 0, stacks = 0;
  for (const TensorInfo& tensor : tensors) {
    const int64_t elements = tensor.shape.elements();
    if (tensor.name.find("_exps.") == std::string::npos) {
      shared += elements;
      continue;
    }
    one_expert_each += elements / tensor.shape.experts();
    experts += tensor.shape.experts();
    ++stacks;
  }
  const std::string size = rounded_count(static_cast<double>(shared + one_expert_each));
  return stacks == 0 ? size : std::to_string(experts / stacks) + "x" + size;
}

void append_general_keys(const std::string& folder, const std::string& architecture,
                         const std::string& type, const std::vector<TensorInfo>& tensors,
                         Metadata& out) {
  out.append("general.architecture", architecture);
  out.append("general.type", type);
  append_sampling(folder, out);

  ModelCard card;
  if (const std::string readme = folder + "/README.md"; base::file_exists(readme)) {
    card = parse_model_card(base::read_file(readme, kFileBytesMax));
  }
  const int64_t total = total_params(tensors);
  const auto card_text =
      [&](std::initializer_list<const char*> keys) -> std::optional<std::string> {
    for (const char* key : keys) {
      if (card.contains(key)) return card.at(key).front();
    }
    return std::nullopt;
  };
  NameParts parts;
  parts.name = card_text({"name", "model_name"}).value_or("");
  parts.version = card_text({"version", "model_version"});
  parts.organization = card_text({"organization", "model_organization"});
  parts.finetune = card_text({"finetune", "model_finetune"});
  parts.basename = card_text({"basename", "model_basename", "model_type"});
  parts.size_label = card_text({"size_label", "model_size_label"});
  const Json config = read_json(folder + "/config.json");
  if (const Json* id = config.find("_name_or_path"); id != nullptr && id->is_string()) {
    const std::string& text = id->as_string();
    // More than one slash is a path on somebody's disk.
    if (!text.empty() && std::count(text.begin(), text.end(), '/') <= 1) {
      complete(parts, split_model_name(text, total));
    }
  }
  complete(parts, split_model_name(folder_name(folder), total));

  out.append("general.name", parts.name);
  append_if("author", card_text({"author", "model_author", "model_creator"}), out);
  append_if("version", parts.version, out);
  append_if("organization", parts.organization, out);
  append_if("finetune", parts.finetune, out);
  append_if("basename", parts.basename, out);
  append_if("description", card_text({"description", "model_description"}), out);
  out.append("general.size_label", parts.size_label.value_or(size_label(tensors)));
  append_if("license", card_text({"license"}), out);
  append_if("license.name", card_text({"license_name"}), out);
  append_if("license.link", card_text({"license_link"}), out);
  append_sources(card, {"base_model", "base_models", "base_model_sources"}, "base_model", total,
                 out);
  append_sources(card, {"datasets", "dataset", "dataset_sources"}, "dataset", total, out);
  if (auto tags = card_values(card, {"tags", "pipeline_tag"}); !tags.empty()) {
    out.append("general.tags", tags);
  }
  if (auto languages = card_values(card, {"languages", "language"}); !languages.empty()) {
    out.append("general.languages", languages);
  }
}

}  // namespace karat::exporting
