// What a checkpoint of the qwen3_5_moe family says about itself: every dimension, nothing assumed.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "format/gguf.h"

namespace karat::model {

enum class Mixer { delta_net, attention };

struct RopeConfig {
  int64_t dims = 64;  // rotated dimensions of each head
  double theta = 1e7;
  std::array<int32_t, 4> sections{11, 11, 10, 0};  // frequencies per position axis (T, H, W, -)
  std::string scaling = "default";                 // "default" or "yarn"
  double factor = 1;                               // YaRN only, MODEL.md section 9
  int64_t original_context = 0;
};

struct VisionConfig {
  int64_t depth = 0, hidden = 0, heads = 0, intermediate = 0, positions = 0, out_hidden = 0;
  int64_t channels = 3, patch = 16, temporal_patch = 2, merge = 2;
};

struct Config {
  int64_t hidden = 0;  // H
  int64_t vocab = 0;   // rows of the embedding, padding included
  int64_t context_max = 0;
  float rms_eps = 1e-6f;
  std::vector<Mixer> mixers;  // one per trunk layer
  int64_t full_attention_interval = 4;
  int64_t mtp_layers = 0;  // 0 or 1; MTP blocks are attention blocks numbered after the trunk
  bool tied_embeddings = false;

  // attention: q and gate [heads, 2, head_dim] interleaved per head, k, v [kv_heads, head_dim]
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  RopeConfig rope;

  // gated DeltaNet: key width key_heads*key_dim, value width value_heads*value_dim
  int64_t key_heads = 0, value_heads = 0, key_dim = 0, value_dim = 0, conv_taps = 4;

  // mixture of experts
  int64_t experts = 0, experts_used = 0, expert_ffn = 0, shared_ffn = 0;

  std::optional<VisionConfig> vision;

  int64_t layers() const { return static_cast<int64_t>(mixers.size()); }
  int64_t blocks() const { return layers() + mtp_layers; }  // GGUF's block_count
  int64_t key_width() const { return key_heads * key_dim; }
  int64_t value_width() const { return value_heads * value_dim; }
  int64_t conv_channels() const { return 2 * key_width() + value_width(); }
  int64_t query_width() const { return heads * head_dim; }
  int64_t kv_width() const { return kv_heads * head_dim; }
};

// Parses config.json of an HF checkpoint. `where` (the path) is used in messages. Errors:
// {unsupported} naming model_type/architecture if it is another family or an already quantized
// checkpoint; {bad_input} naming the key if a value is missing, of the wrong type or out of range
// (every dimension is bounded and consistent: heads divide, experts_used <= experts, ...).
Config config_from_hf(const base::Json& config, std::string_view where);

// The same from the metadata of a GGUF file of architecture qwen35moe. The vocabulary is the size
// of the token list, or 0 if there is none: open_model() then takes it from token_embd.weight, and
// it sets tied_embeddings if there is no output.weight.
Config config_from_gguf(const format::Metadata& metadata, std::string_view where);

}  // namespace karat::model
