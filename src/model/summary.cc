#include "model/summary.h"

#include <algorithm>
#include <map>
#include <span>

#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "model/names.h"

namespace karat::model {

using base::both_units;
using base::Json;
using base::printable;
using base::strf;
using tensor::TensorInfo;

namespace {

std::string type_name(tensor::DType type) { return std::string(tensor::info(type).name); }

// 565096 -> "565,096".
std::string grouped(int64_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return digits;
}

std::string template_hash(const OpenedModel& model) {
  return base::sha256_hex(std::as_bytes(std::span(model.chat_template)));
}

int64_t attention_layers(const Config& config) {
  return std::count(config.mixers.begin(), config.mixers.end(), Mixer::attention);
}

int64_t active_params(const TensorInfo& tensor, const Config& config) {
  if (layer_of(tensor.name) >= config.layers()) return 0;
  if (tensor.name == kTokenEmbd && !config.tied_embeddings) return tensor.shape.cols();
  if (tensor.name.find("_exps.") == std::string::npos) return tensor.shape.elements();
  return tensor.shape.elements() / tensor.shape.experts() *
         std::min(config.experts_used, tensor.shape.experts());
}

std::string line(const char* label, const std::string& text) {
  return strf("  %-14s%s\n", label, text.c_str());
}

std::string config_lines(const Config& c) {
  const auto n = [](int64_t value) { return static_cast<long long>(value); };
  std::string out;
  out += line("architecture", "qwen35moe (qwen3_5_moe)");
  out += line("layers", strf("%lld (%lld gated DeltaNet, %lld gated attention)%s", n(c.layers()),
                             n(c.layers() - attention_layers(c)), n(attention_layers(c)),
                             c.mtp_layers > 0 ? " + MTP block" : ", no MTP block"));
  out += line("hidden", strf("%lld, vocabulary %lld, context %lld", n(c.hidden), n(c.vocab),
                             n(c.context_max)));
  out += line("experts", strf("%lld, %lld per token, width %lld; shared expert of width %lld",
                              n(c.experts), n(c.experts_used), n(c.expert_ffn), n(c.shared_ffn)));
  out += line("attention",
              strf("%lld heads x %lld, %lld KV heads, %lld rotary dimensions, base %g%s",
                   n(c.heads), n(c.head_dim), n(c.kv_heads), n(c.rope.dims), c.rope.theta,
                   c.rope.scaling == "yarn" ? strf(", YaRN x %g", c.rope.factor).c_str() : ""));
  out += line("DeltaNet", strf("%lld key and %lld value heads x %lld, convolution of %lld",
                               n(c.key_heads), n(c.value_heads), n(c.key_dim), n(c.conv_taps)));
  return out;
}

std::string tokenizer_line(const OpenedModel& model) {
  if (!model.tokenizer) return "none";
  const text::TokenizerSpec& spec = *model.tokenizer;
  return strf("%s/%s, %zu tokens, %zu merges, %zu added tokens", printable(spec.model).c_str(),
              printable(spec.pre).c_str(), spec.tokens.size(), spec.merges.size(),
              spec.added.size());
}

std::string tensor_line(const TensorInfo& tensor) {
  return strf("%-40s %-6s %-20s %s\n", printable(tensor.name).c_str(),
              type_name(tensor.dtype).c_str(), tensor.shape.str().c_str(),
              grouped(tensor.bytes()).c_str());
}

Json json_int(int64_t value) { return Json(value); }

Json config_json(const Config& c) {
  Json out = Json::object();
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, int64_t>>{
           {"layers", c.layers()},
           {"attention_layers", attention_layers(c)},
           {"mtp_layers", c.mtp_layers},
           {"hidden", c.hidden},
           {"vocab", c.vocab},
           {"context_max", c.context_max},
           {"heads", c.heads},
           {"kv_heads", c.kv_heads},
           {"head_dim", c.head_dim},
           {"rope_dims", c.rope.dims},
           {"key_heads", c.key_heads},
           {"value_heads", c.value_heads},
           {"key_dim", c.key_dim},
           {"value_dim", c.value_dim},
           {"conv_taps", c.conv_taps},
           {"experts", c.experts},
           {"experts_used", c.experts_used},
           {"expert_ffn", c.expert_ffn},
           {"shared_ffn", c.shared_ffn}}) {
    out.set(key, json_int(value));
  }
  out.set("rope_theta", c.rope.theta);
  out.set("rope_scaling", c.rope.scaling);
  if (c.rope.scaling == "yarn") out.set("rope_factor", c.rope.factor);
  out.set("rms_eps", static_cast<double>(c.rms_eps));
  out.set("tied_embeddings", c.tied_embeddings);
  out.set("vision", c.vision.has_value());
  return out;
}

Json tokenizer_json(const OpenedModel& model) {
  if (!model.tokenizer) return {};
  const text::TokenizerSpec& spec = *model.tokenizer;
  Json out = Json::object();
  out.set("model", spec.model);
  out.set("pre", spec.pre);
  out.set("tokens", static_cast<int64_t>(spec.tokens.size()));
  out.set("merges", static_cast<int64_t>(spec.merges.size()));
  out.set("added_tokens", static_cast<int64_t>(spec.added.size()));
  Json ends = Json::array();
  for (const uint32_t id : spec.end_ids) ends.push(static_cast<int64_t>(id));
  out.set("end_ids", std::move(ends));
  return out;
}

Json tensors_json(const OpenedModel& model) {
  Json out = Json::array();
  for (const TensorInfo& tensor : model.source->tensors()) {
    Json row = Json::object(), shape = Json::array();
    for (const int64_t dim : tensor.shape.dims()) shape.push(dim);
    row.set("name", tensor.name);
    row.set("type", type_name(tensor.dtype));
    row.set("shape", std::move(shape));
    row.set("bytes", tensor.bytes());
    out.push(std::move(row));
  }
  return out;
}

}  // namespace

ModelSummary summarize(const OpenedModel& model) {
  ModelSummary out;
  std::map<tensor::DType, TypeShare> types;
  for (const TensorInfo& tensor : model.source->tensors()) {
    const int64_t params = tensor.shape.elements();
    const auto bytes = static_cast<uint64_t>(tensor.bytes());
    TypeShare& share = types[tensor.dtype];
    share.type = tensor.dtype;
    ++share.tensors, ++out.tensors;
    share.params += params, out.params += params;
    share.bytes += bytes, out.bytes += bytes;
    out.active_params += active_params(tensor, model.config);
    if (layer_of(tensor.name) >= model.config.layers()) out.mtp_params += params;
  }
  for (const auto& [type, share] : types) out.types.push_back(share);
  std::stable_sort(out.types.begin(), out.types.end(),
                   [](const TypeShare& a, const TypeShare& b) { return a.bytes > b.bytes; });
  if (model.raw != nullptr) {
    for (const TensorInfo& tensor : model.raw->tensors()) {
      ++out.stored_tensors;
      out.stored_params += tensor.shape.elements();
    }
  }
  for (const std::string& file : model.files) out.file_bytes += base::File(file).size();
  return out;
}

std::string summary_text(const OpenedModel& model, bool with_tensors) {
  const ModelSummary s = summarize(model);
  std::string out = printable(model.path) + "\n";
  out += line("format", strf("%s, %zu file%s, %s",
                             model.is_gguf ? "GGUF" : "Hugging Face checkpoint", model.files.size(),
                             model.files.size() == 1 ? "" : "s", both_units(s.file_bytes).c_str()));
  if (model.raw != nullptr) {
    out += line("stored", grouped(s.stored_tensors) + " tensors, " + grouped(s.stored_params) +
                              " parameters, vision included");
  }
  out += config_lines(model.config);
  out += line("parameters",
              grouped(s.params) + ", " + grouped(s.active_params) + " active per token" +
                  (s.mtp_params > 0 ? ", " + grouped(s.mtp_params) + " in the MTP block" : ""));
  out += line("weights",
              strf("%lld tensors, %s, %.3f bits per weight", static_cast<long long>(s.tensors),
                   both_units(s.bytes).c_str(), s.bits_per_weight()));
  for (const TypeShare& share : s.types) {
    out += line("", strf("%-6s %4lld tensors, %s parameters, %s", type_name(share.type).c_str(),
                         static_cast<long long>(share.tensors), grouped(share.params).c_str(),
                         both_units(share.bytes).c_str()));
  }
  out += line("tokenizer", tokenizer_line(model));
  out += line("chat template", model.chat_template.empty()
                                   ? "none"
                                   : strf("%zu bytes, SHA-256 %s", model.chat_template.size(),
                                          template_hash(model).c_str()));
  if (!model.is_gguf) {
    out += line("vision", model.config.vision ? "configured; convert --mmproj writes it" : "none");
  }
  if (with_tensors) {
    out += "\n";
    for (const TensorInfo& tensor : model.source->tensors()) out += tensor_line(tensor);
  }
  return out;
}

Json summary_json(const OpenedModel& model, bool with_tensors) {
  const ModelSummary s = summarize(model);
  Json out = Json::object();
  out.set("path", model.path);
  out.set("format", model.is_gguf ? "gguf" : "hf");
  Json files = Json::array();
  for (const std::string& file : model.files) files.push(file);
  out.set("files", std::move(files));
  out.set("file_bytes", s.file_bytes);
  if (model.raw != nullptr) {
    out.set("stored_tensors", s.stored_tensors);
    out.set("stored_params", s.stored_params);
  }
  out.set("architecture", "qwen35moe");
  out.set("config", config_json(model.config));
  out.set("tensors_count", s.tensors);
  out.set("params", s.params);
  out.set("active_params", s.active_params);
  out.set("mtp_params", s.mtp_params);
  out.set("bytes", s.bytes);
  out.set("bits_per_weight", s.bits_per_weight());
  Json types = Json::array();
  for (const TypeShare& share : s.types) {
    Json row = Json::object();
    row.set("type", type_name(share.type));
    row.set("tensors", share.tensors);
    row.set("params", share.params);
    row.set("bytes", share.bytes);
    types.push(std::move(row));
  }
  out.set("types", std::move(types));
  out.set("tokenizer", tokenizer_json(model));
  out.set("chat_template_sha256",
          model.chat_template.empty() ? Json() : Json(template_hash(model)));
  if (model.metadata) {
    Json metadata = Json::object();
    for (const format::Metadata::Entry& entry : model.metadata->entries()) {
      metadata.set(entry.key, entry.value.str());
    }
    out.set("metadata", std::move(metadata));
  }
  if (with_tensors) out.set("tensors", tensors_json(model));
  return out;
}

}  // namespace karat::model
