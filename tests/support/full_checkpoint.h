// A checkpoint folder of the full shape, Qwen3.6-35B-A3B's: all headers, and holes for weights.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "model/config.h"
#include "model/hf_names.h"
#include "support/files.h"

namespace karat::test {

// The published configuration, as changes to the tiny model's.
inline base::Json full_config() {
  base::Json config = base::parse_json(
      base::read_file(std::string(KARAT_ROOT) + "/tests/fixtures/tiny-random/config.json"));
  const auto change = [](base::Json& in, const std::vector<std::pair<const char*, int>>& values) {
    for (const auto& [key, value] : values) in.set(key, value);
  };
  base::Json text = config.at("text_config"), vision = config.at("vision_config");
  change(text, {{"head_dim", 256},
                {"hidden_size", 2048},
                {"linear_key_head_dim", 128},
                {"linear_num_key_heads", 16},
                {"linear_num_value_heads", 32},
                {"linear_value_head_dim", 128},
                {"moe_intermediate_size", 512},
                {"num_attention_heads", 16},
                {"num_experts", 256},
                {"num_experts_per_tok", 8},
                {"num_hidden_layers", 40},
                {"num_key_value_heads", 2},
                {"shared_expert_intermediate_size", 512},
                {"vocab_size", 248320}});
  base::Json layers = base::Json::array();
  for (int i = 0; i < 40; ++i) layers.push(i % 4 == 3 ? "full_attention" : "linear_attention");
  text.set("layer_types", std::move(layers));
  base::Json rope = text.at("rope_parameters");
  rope.set("mrope_section", base::Json(base::Json::Array{11, 11, 10}));
  text.set("rope_parameters", std::move(rope));
  change(vision, {{"depth", 27},
                  {"hidden_size", 1152},
                  {"intermediate_size", 4304},
                  {"num_heads", 16},
                  {"num_position_embeddings", 2304},
                  {"out_hidden_size", 2048}});
  config.set("text_config", std::move(text));
  config.set("vision_config", std::move(vision));
  return config;
}

using NamedShape = std::pair<std::string, tensor::Shape>;

// The tensors of one block, with the experts' matrices fused and stacked or each by itself.
inline void add_block(std::vector<NamedShape>& out, const std::string& prefix,
                      const model::Config& config, model::Mixer mixer, bool split_experts) {
  for (const model::TensorRule& rule : model::block_rules(config, mixer, true)) {
    const std::string name = prefix + std::string(rule.hf);
    if (rule.experts == model::ExpertPart::none || !split_experts) {
      out.emplace_back(name, rule.hf_shape);
      continue;
    }
    const std::string experts = prefix + "mlp.experts.";
    for (int64_t e = 0; e < config.experts; ++e) {
      const std::string one = experts + std::to_string(e) + ".";
      if (rule.experts == model::ExpertPart::down) {
        out.emplace_back(one + "down_proj.weight", tensor::Shape{config.hidden, config.expert_ffn});
      } else {
        for (const char* part : {"gate_proj.weight", "up_proj.weight"}) {
          out.emplace_back(one + part, tensor::Shape{config.expert_ffn, config.hidden});
        }
      }
    }
  }
}

inline std::vector<NamedShape> full_tensors(const model::Config& config, bool split_experts) {
  std::vector<NamedShape> out;
  const auto add = [&](const std::string& prefix, const std::vector<model::TensorRule>& rules) {
    for (const auto& rule : rules) out.emplace_back(prefix + std::string(rule.hf), rule.hf_shape);
  };
  add("model.language_model.", {model::token_embd_rule(config), model::output_norm_rule(config)});
  add("", {model::output_rule(config)});
  for (int64_t layer = 0; layer < config.layers(); ++layer) {
    add_block(out, "model.language_model.layers." + std::to_string(layer) + ".", config,
              config.mixers[static_cast<size_t>(layer)], split_experts);
  }
  add("mtp.", model::mtp_rules_before(config));
  add_block(out, "mtp.layers.0.", config, model::Mixer::attention, split_experts);
  add("mtp.", model::mtp_rules_after(config));
  for (int64_t block = 0; block < config.vision->depth; ++block) {
    add("model.visual.blocks." + std::to_string(block) + ".", model::vision_block_rules(config));
  }
  add("model.visual.", model::vision_merger_rules(config));
  add("model.visual.", model::vision_embedding_rules(config));
  return out;
}

// Writes `shards` files, all BF16, about equally large, and config.json.
inline void write_full_checkpoint(const std::string& folder, bool split_experts, size_t shards) {
  const base::Json json = full_config();
  base::write_file(folder + "/config.json", json.dump(2));
  const model::Config config = model::config_from_hf(json, "config.json");
  const std::vector<NamedShape> tensors = full_tensors(config, split_experts);
  int64_t total = 0;
  for (const NamedShape& tensor : tensors) total += 2 * tensor.second.elements();
  base::Json::Object map;
  size_t next = 0;
  for (size_t shard = 0; shard < shards; ++shard) {
    const std::string name = base::strf("model-%05zu-of-%05zu.safetensors", shard + 1, shards);
    std::string head = "{";
    int64_t at = 0;
    const int64_t share = total / static_cast<int64_t>(shards);
    const size_t left = shards - shard - 1;
    while (next < tensors.size() && (left == 0 || at < share) && tensors.size() - next > left) {
      const auto& [tensor, shape] = tensors[next++];
      const int64_t end = at + 2 * shape.elements();
      head += base::strf("%s\"%s\":{\"dtype\":\"BF16\",\"shape\":%s,\"data_offsets\":[%lld,%lld]}",
                         head.size() > 1 ? "," : "", tensor.c_str(), shape.str().c_str(),
                         static_cast<long long>(at), static_cast<long long>(end));
      map.emplace_back(tensor, name);
      at = end;
    }
    head += "}";
    const std::string path = folder + "/" + name;
    base::write_file(path, raw(static_cast<uint64_t>(head.size())) + head);
    std::filesystem::resize_file(path, 8 + head.size() + static_cast<uint64_t>(at));
  }
  base::Json index = base::Json::object();
  index.set("weight_map", std::move(map));
  base::write_file(folder + "/model.safetensors.index.json", index.dump());
}

}  // namespace karat::test
