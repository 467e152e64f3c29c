#include "model/config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "format/gguf.h"

namespace karat::model {
namespace {

using base::Error;
using base::ErrorKind;
using base::Json;

const std::string kFixtures = std::string(KARAT_ROOT) + "/tests/fixtures/";

Json tiny() { return base::parse_json(base::read_file(kFixtures + "tiny-random/config.json")); }

// A member of the text configuration, set in place.
void set_text(Json& config, const std::string& key, Json value) {
  Json text = config.at("text_config");
  text.set(key, std::move(value));
  config.set("text_config", std::move(text));
}

void set_rope(Json& config, const std::string& key, Json value) {
  Json rope = config.at("text_config").at("rope_parameters");
  rope.set(key, std::move(value));
  set_text(config, "rope_parameters", std::move(rope));
}

void remove_text(Json& config, const std::string& key) {
  Json text = config.at("text_config");
  std::erase_if(text.as_object(), [&](const Json::Member& member) { return member.first == key; });
  config.set("text_config", std::move(text));
}

// The message of the error that `parse` throws, which must be of that kind.
std::string message_of(ErrorKind kind, const std::function<void()>& parse) {
  try {
    parse();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

void expect_tiny(const Config& c) {
  EXPECT_EQ(c.hidden, 64);
  EXPECT_EQ(c.vocab, 512);
  EXPECT_EQ(c.context_max, 262144);
  EXPECT_EQ(c.rms_eps, 1e-6F);
  const std::vector<Mixer> mixers{Mixer::delta_net, Mixer::delta_net, Mixer::delta_net,
                                  Mixer::attention};
  EXPECT_EQ(c.mixers, mixers);
  EXPECT_EQ(c.full_attention_interval, 4);
  EXPECT_EQ(c.mtp_layers, 1);
  EXPECT_EQ(c.blocks(), 5);
  EXPECT_EQ(c.heads, 4);
  EXPECT_EQ(c.kv_heads, 2);
  EXPECT_EQ(c.head_dim, 32);
  EXPECT_EQ(c.rope.dims, 8);
  EXPECT_EQ(c.rope.theta, 1e7);
  EXPECT_EQ(c.rope.sections, (std::array<int32_t, 4>{2, 1, 1, 0}));
  EXPECT_EQ(c.rope.scaling, "default");
  EXPECT_EQ(c.key_heads, 2);
  EXPECT_EQ(c.value_heads, 4);
  EXPECT_EQ(c.key_dim, 16);
  EXPECT_EQ(c.value_dim, 16);
  EXPECT_EQ(c.conv_taps, 4);
  EXPECT_EQ(c.conv_channels(), 128);
  EXPECT_EQ(c.experts, 8);
  EXPECT_EQ(c.experts_used, 2);
  EXPECT_EQ(c.expert_ffn, 32);
  EXPECT_EQ(c.shared_ffn, 32);
}

TEST(ConfigFromHf, ReadsEveryDimension) {
  const Config c = config_from_hf(tiny(), "config.json");
  expect_tiny(c);
  EXPECT_FALSE(c.tied_embeddings);
  ASSERT_TRUE(c.vision.has_value());
  EXPECT_EQ(c.vision->depth, 2);
  EXPECT_EQ(c.vision->hidden, 32);
  EXPECT_EQ(c.vision->positions, 64);
  EXPECT_EQ(c.vision->out_hidden, 64);
}

TEST(ConfigFromHf, ReadsTextOnlyClassWithDimensionsOnTop) {
  Json flat = tiny().at("text_config");
  flat.set("architectures", Json::Array{"Qwen3_5MoeForCausalLM"});
  flat.set("auto_map", Json::object());
  expect_tiny(config_from_hf(flat, "config.json"));
  EXPECT_FALSE(config_from_hf(flat, "config.json").vision.has_value());
}

TEST(ConfigFromHf, DerivesLayersFromTheInterval) {
  Json config = tiny();
  remove_text(config, "layer_types");
  expect_tiny(config_from_hf(config, "config.json"));
  set_text(config, "full_attention_interval", 2);
  const std::vector<Mixer> mixers{Mixer::delta_net, Mixer::attention, Mixer::delta_net,
                                  Mixer::attention};
  EXPECT_EQ(config_from_hf(config, "config.json").mixers, mixers);
}

TEST(ConfigFromHf, ReadsYarn) {
  Json config = tiny();
  set_rope(config, "rope_type", "yarn");
  set_rope(config, "factor", 4.0);
  set_rope(config, "original_max_position_embeddings", 262144);
  const Config c = config_from_hf(config, "config.json");
  EXPECT_EQ(c.rope.scaling, "yarn");
  EXPECT_EQ(c.rope.factor, 4);
  EXPECT_EQ(c.rope.original_context, 262144);
  set_rope(config, "attention_factor", 0.1 * std::log(4.0) + 1);
  EXPECT_NO_THROW(config_from_hf(config, "config.json"));
  set_rope(config, "beta_fast", 16);
  const std::string message =
      message_of(ErrorKind::unsupported, [&] { config_from_hf(config, "config.json"); });
  EXPECT_NE(message.find("beta_fast"), std::string::npos) << message;
}

struct Mutation {
  const char* key;  // that the message must name
  Json value;
  ErrorKind kind;
};

TEST(ConfigFromHf, NamesTheKeyThatIsWrong) {
  const Mutation mutations[] = {
      {"num_attention_heads", 0, ErrorKind::bad_input},
      {"num_attention_heads", -4, ErrorKind::bad_input},
      {"num_attention_heads", "4", ErrorKind::bad_input},
      {"num_attention_heads", 4.5, ErrorKind::bad_input},
      {"num_hidden_layers", 1000000000, ErrorKind::bad_input},
      {"num_hidden_layers", uint64_t{18446744073709551615U}, ErrorKind::bad_input},
      {"layer_types", Json::Array{"full_attention"}, ErrorKind::bad_input},
      {"layer_types", Json::Array{"x", "x", "x", "x"}, ErrorKind::bad_input},
      {"num_experts_per_tok", 9, ErrorKind::bad_input},
      {"num_experts_per_tok", 0, ErrorKind::bad_input},
      {"num_key_value_heads", 3, ErrorKind::bad_input},
      {"linear_num_key_heads", 3, ErrorKind::bad_input},
      {"linear_conv_kernel_dim", 0, ErrorKind::bad_input},
      {"hidden_size", int64_t{1} << 40, ErrorKind::bad_input},
      {"vocab_size", 0, ErrorKind::bad_input},
      {"rms_norm_eps", 0, ErrorKind::bad_input},
      {"partial_rotary_factor", 0.3, ErrorKind::bad_input},
      {"mrope_section", Json::Array{3, 1, 1}, ErrorKind::bad_input},
      {"linear_value_head_dim", 32, ErrorKind::unsupported},
      {"mtp_num_hidden_layers", 2, ErrorKind::unsupported},
      {"hidden_act", "gelu", ErrorKind::unsupported},
      {"attention_bias", true, ErrorKind::unsupported},
      {"attn_output_gate", false, ErrorKind::unsupported},
      {"norm_topk_prob", false, ErrorKind::unsupported},
      {"mtp_use_dedicated_embeddings", true, ErrorKind::unsupported},
      {"quantization_config", Json::object(), ErrorKind::unsupported},
  };
  for (const Mutation& mutation : mutations) {
    Json config = tiny();
    const std::string key = mutation.key;
    if (key == "mrope_section" || key == "partial_rotary_factor") {
      set_rope(config, key, mutation.value);
    } else {
      set_text(config, key, mutation.value);
    }
    const std::string message =
        message_of(mutation.kind, [&] { config_from_hf(config, "some/config.json"); });
    EXPECT_NE(message.find(key), std::string::npos) << message;
    EXPECT_EQ(message.rfind("some/config.json: ", 0), 0u) << message;
  }
}

TEST(ConfigFromHf, NamesTheKeyThatIsMissing) {
  for (const char* key :
       {"hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads", "head_dim",
        "linear_num_value_heads", "num_experts", "moe_intermediate_size",
        "shared_expert_intermediate_size", "max_position_embeddings"}) {
    Json config = tiny();
    remove_text(config, key);
    const std::string message =
        message_of(ErrorKind::bad_input, [&] { config_from_hf(config, "config.json"); });
    EXPECT_NE(message.find("key 'text_config." + std::string(key) + "' is missing"),
              std::string::npos)
        << message;
  }
}

TEST(ConfigFromHf, RefusesOtherFamiliesByName) {
  Json config = tiny();
  config.set("model_type", "qwen3_next");
  std::string message =
      message_of(ErrorKind::unsupported, [&] { config_from_hf(config, "config.json"); });
  EXPECT_NE(message.find("qwen3_next"), std::string::npos) << message;
  config = tiny();
  config.set("architectures", Json::Array{"Qwen3_5MoeForSequenceClassification"});
  message = message_of(ErrorKind::unsupported, [&] { config_from_hf(config, "config.json"); });
  EXPECT_NE(message.find("Qwen3_5MoeForSequenceClassification"), std::string::npos) << message;
  message_of(ErrorKind::bad_input, [&] { config_from_hf(Json::object(), "config.json"); });
  message_of(ErrorKind::bad_input, [&] { config_from_hf(Json::array(), "config.json"); });
}

TEST(ConfigFromHf, RefusesQuantizedCheckpointsByMethod) {
  Json config = tiny();
  Json method = Json::object();
  method.set("quant_method", "fp8");
  config.set("quantization_config", method);
  const std::string message =
      message_of(ErrorKind::unsupported, [&] { config_from_hf(config, "config.json"); });
  EXPECT_NE(message.find("fp8"), std::string::npos) << message;
}

TEST(ConfigFromHf, ChecksTheVisionTower) {
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, Json>>{
           {"out_hidden_size", 65},
           {"num_heads", 3},
           {"num_position_embeddings", 63},
           {"depth", 0},
           {"deepstack_visual_indexes", Json::Array{1}}}) {
    Json config = tiny(), vision = config.at("vision_config");
    vision.set(key, value);
    config.set("vision_config", vision);
    try {
      config_from_hf(config, "config.json");
      ADD_FAILURE() << key;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(key), std::string::npos) << error.what();
    }
  }
}

format::Metadata tiny_metadata() {
  return format::GgufSource(kFixtures + "goldens/gguf/tiny-bf16.gguf").metadata();
}

TEST(ConfigFromGguf, ReadsWhatTheConverterWrote) {
  expect_tiny(config_from_gguf(tiny_metadata(), "tiny.gguf"));
}

TEST(ConfigFromGguf, ReadsYarnAndRecurrentLayers) {
  format::Metadata metadata = tiny_metadata();
  metadata.set("qwen35moe.rope.scaling.type", "yarn");
  metadata.set("qwen35moe.rope.scaling.factor", 2.0F);
  metadata.set("qwen35moe.rope.scaling.original_context_length", uint32_t{4096});
  metadata.set("qwen35moe.attention.recurrent_layers",
               std::vector<bool>{true, false, true, false, false});
  const Config c = config_from_gguf(metadata, "tiny.gguf");
  EXPECT_EQ(c.rope.factor, 2);
  EXPECT_EQ(c.rope.original_context, 4096);
  const std::vector<Mixer> mixers{Mixer::delta_net, Mixer::attention, Mixer::delta_net,
                                  Mixer::attention};
  EXPECT_EQ(c.mixers, mixers);
}

TEST(ConfigFromGguf, NamesTheKeyThatIsWrong) {
  const std::pair<const char*, format::Value> mutations[] = {
      {"attention.head_count", uint32_t{0}},
      {"attention.head_count", "four"},
      {"attention.head_count_kv", uint32_t{3}},
      {"block_count", uint32_t{1000000000}},
      {"block_count", uint32_t{1}},
      {"expert_used_count", uint32_t{9}},
      {"expert_count", uint32_t{0}},
      {"attention.value_length", uint32_t{16}},
      {"ssm.inner_size", uint32_t{65}},
      {"ssm.group_count", uint32_t{3}},
      {"rope.dimension_count", uint32_t{7}},
      {"rope.dimension_sections", std::vector<int32_t>{1, 1, 1, 0}},
      {"rope.dimension_sections", std::vector<int32_t>{1, -1, 4, 0}},
      {"rope.dimension_sections", std::vector<int32_t>{}},
      {"rope.freq_base", std::numeric_limits<float>::quiet_NaN()},
      {"rope.scaling.type", "longrope"},
      {"nextn_predict_layers", uint32_t{2}},
      {"full_attention_interval", uint32_t{0}},
      {"attention.recurrent_layers", std::vector<bool>{true}},
  };
  for (const auto& [key, value] : mutations) {
    format::Metadata metadata = tiny_metadata();
    const std::string full = std::string("qwen35moe.") + key;
    metadata.set(full, value);
    try {
      config_from_gguf(metadata, "tiny.gguf");
      ADD_FAILURE() << key << " = " << value.str();
    } catch (const Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::bad_input || error.kind() == ErrorKind::unsupported);
      EXPECT_NE(std::string(error.what()).find(full), std::string::npos) << error.what();
    }
  }
}

TEST(ConfigFromGguf, RefusesOtherArchitecturesByName) {
  for (const char* name : {"llama", "qwen3next", "clip"}) {
    format::Metadata metadata = tiny_metadata();
    metadata.set("general.architecture", name);
    const std::string message =
        message_of(ErrorKind::unsupported, [&] { config_from_gguf(metadata, "tiny.gguf"); });
    EXPECT_NE(message.find(name), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace karat::model
