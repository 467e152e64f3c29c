#include "export/gguf_metadata.h"

#include <array>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "export/general_keys.h"

namespace karat::exporting {

using base::ErrorKind;
using base::fail;
using base::Json;
using base::printable;
using format::Metadata;
using model::Config;
using model::Mixer;
using tensor::TensorInfo;

namespace {

constexpr uint32_t kQuantizationVersion = 2;  // GGML_QNT_VERSION

uint32_t u32(int64_t value) { return static_cast<uint32_t>(value); }

void append_rope(const model::RopeConfig& rope, const std::string& prefix, Metadata& out) {
  if (rope.scaling == "yarn") {
    out.append(prefix + "rope.scaling.type", "yarn");
    out.append(prefix + "rope.scaling.factor", static_cast<float>(rope.factor));
    out.append(prefix + "rope.scaling.original_context_length", u32(rope.original_context));
  }
  out.append(prefix + "rope.dimension_sections",
             std::vector<int32_t>(rope.sections.begin(), rope.sections.end()));
  out.append(prefix + "rope.freq_base", static_cast<float>(rope.theta));
}

// True if layer i is attention exactly where the interval says so, as loaders assume.
bool follows_interval(const Config& config) {
  for (int64_t i = 0; i < config.layers(); ++i) {
    const bool attention = (i + 1) % config.full_attention_interval == 0;
    if (attention != (config.mixers[static_cast<size_t>(i)] == Mixer::attention)) return false;
  }
  return true;
}

void append_dimensions(const Config& c, FileType type, Metadata& out) {
  const std::string p = "qwen35moe.";
  out.append(p + "block_count", u32(c.blocks()));
  out.append(p + "context_length", u32(c.context_max));
  out.append(p + "embedding_length", u32(c.hidden));
  out.append(p + "attention.head_count", u32(c.heads));
  out.append(p + "attention.head_count_kv", u32(c.kv_heads));
  append_rope(c.rope, p, out);
  out.append(p + "attention.layer_norm_rms_epsilon", c.rms_eps);
  out.append(p + "expert_count", u32(c.experts));
  out.append(p + "expert_used_count", u32(c.experts_used));
  out.append(p + "attention.key_length", u32(c.head_dim));
  out.append(p + "attention.value_length", u32(c.head_dim));
  out.append("general.file_type", static_cast<uint32_t>(type));
  out.append(p + "expert_feed_forward_length", u32(c.expert_ffn));
  out.append(p + "expert_shared_feed_forward_length", u32(c.shared_ffn));
  if (c.mtp_layers > 0) out.append(p + "nextn_predict_layers", u32(c.mtp_layers));
  out.append(p + "ssm.conv_kernel", u32(c.conv_taps));
  out.append(p + "ssm.state_size", u32(c.key_dim));
  out.append(p + "ssm.group_count", u32(c.key_heads));
  out.append(p + "ssm.time_step_rank", u32(c.value_heads));
  out.append(p + "ssm.inner_size", u32(c.value_width()));
  out.append(p + "full_attention_interval", u32(c.full_attention_interval));
  if (!follows_interval(c)) {
    std::vector<bool> recurrent;
    for (const Mixer mixer : c.mixers) recurrent.push_back(mixer == Mixer::delta_net);
    recurrent.resize(static_cast<size_t>(c.blocks()), false);
    out.append(p + "attention.recurrent_layers", recurrent);
  }
  out.append(p + "rope.dimension_count", u32(c.rope.dims));
  out.append("general.quantization_version", kQuantizationVersion);
}

void append_tokenizer(const text::TokenizerSpec& spec, const std::string& chat_template,
                      Metadata& out) {
  const std::string p = "tokenizer.ggml.";
  out.append(p + "model", spec.model);
  out.append(p + "pre", spec.pre);
  out.append(p + "tokens", spec.tokens);
  std::vector<int32_t> types;
  for (const text::TokenType type : spec.types) types.push_back(static_cast<int32_t>(type));
  out.append(p + "token_type", types);
  out.append(p + "merges", spec.merges);
  for (const text::SpecialId& special : spec.special_ids) {
    out.append(p + special.name + "_token_id", special.id);
  }
  if (spec.add_bos) out.append(p + "add_bos_token", *spec.add_bos);
  if (spec.add_eos) out.append(p + "add_eos_token", *spec.add_eos);
  if (!chat_template.empty()) out.append("tokenizer.chat_template", chat_template);
}

// image_mean or image_std of the image processor; CLIP's where nothing says.
std::vector<float> normalization(const std::string& folder, const char* key,
                                 const std::array<float, 3>& otherwise) {
  for (const char* name : {"/preprocessor_config.json", "/processor_config.json"}) {
    const std::string path = folder + name;
    if (!base::file_exists(path)) continue;
    const Json json = base::parse_json(base::read_file(path, 1 << 20), {.name = path});
    const Json* nested = json.find("image_processor");
    const Json* value = (nested == nullptr ? json : *nested).find(key);
    if (value == nullptr) continue;
    std::vector<float> out;
    const bool array = value->is_array();
    for (const Json& entry : array ? value->as_array() : Json::Array{}) {
      if (!entry.is_number()) break;
      out.push_back(static_cast<float>(entry.as_double()));
    }
    if (!array || out.empty() || out.size() != value->as_array().size()) {
      throw fail(ErrorKind::bad_input, "%s: key '%s' must be an array of numbers",
                 printable(path).c_str(), key);
    }
    return out;
  }
  return {otherwise.begin(), otherwise.end()};
}

}  // namespace

Metadata text_metadata(const model::OpenedModel& model, const std::vector<TensorInfo>& tensors,
                       FileType type) {
  if (!model.tokenizer) {
    throw fail(ErrorKind::bad_input,
               "%s: no tokenizer.json (or vocab.json with merges.txt); a GGUF file needs the "
               "tokenizer",
               printable(model.path).c_str());
  }
  Metadata out;
  append_general_keys(model.path, "qwen35moe", "model", tensors, out);
  append_dimensions(model.config, type, out);
  append_tokenizer(*model.tokenizer, model.chat_template, out);
  return out;
}

Metadata vision_metadata(const model::OpenedModel& model, const std::vector<TensorInfo>& tensors,
                         FileType type) {
  const model::VisionConfig& v = *model.config.vision;
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(v.positions))));
  Metadata out;
  append_general_keys(model.path, "clip", "mmproj", tensors, out);
  out.append("general.file_type", static_cast<uint32_t>(type));
  out.append("clip.has_vision_encoder", true);
  const std::string p = "clip.vision.";
  out.append(p + "projection_dim", u32(v.out_hidden));
  out.append(p + "image_size", u32(side * v.patch));
  out.append(p + "patch_size", u32(v.patch));
  out.append(p + "embedding_length", u32(v.hidden));
  out.append(p + "feed_forward_length", u32(v.intermediate));
  out.append(p + "block_count", u32(v.depth));
  out.append(p + "attention.head_count", u32(v.heads));
  out.append(p + "image_mean",
             normalization(model.path, "image_mean", {0.48145466F, 0.4578275F, 0.40821073F}));
  out.append(p + "image_std",
             normalization(model.path, "image_std", {0.26862954F, 0.26130258F, 0.27577711F}));
  out.append("clip.projector_type", "qwen3vl_merger");
  out.append("clip.use_gelu", true);
  out.append(p + "spatial_merge_size", u32(v.merge));
  out.append(p + "attention.layer_norm_epsilon", model.config.rms_eps);
  out.append(p + "is_deepstack_layers", std::vector<bool>(static_cast<size_t>(v.depth), false));
  out.append("general.quantization_version", kQuantizationVersion);
  return out;
}

}  // namespace karat::exporting
