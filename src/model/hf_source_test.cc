#include "model/hf_source.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "format/gguf.h"
#include "model/hf_names.h"
#include "model/names.h"
#include "support/checkpoint.h"

namespace karat::model {
namespace {

using base::Error;
using base::ErrorKind;
using tensor::TensorInfo;
using tensor::TensorSource;
using test::begins;
using test::kSplitCheckpoint;
using test::kTinyCheckpoint;
using test::MemorySource;
using test::renamed;
using test::replaced;

Config tiny_config() {
  const std::string path = kTinyCheckpoint + "/config.json";
  return config_from_hf(base::parse_json(base::read_file(path)), path);
}

std::string same(const std::string& name) { return name; }

std::string hash_of(const TensorSource& source, const TensorInfo& info) {
  std::vector<std::byte> bytes(static_cast<size_t>(info.bytes()));
  source.read(info, bytes);
  return base::sha256_hex(bytes);
}

// Messages sent to the log while it lives.
class Warnings {
 public:
  Warnings() {
    base::set_log_sink([this](base::LogLevel level, const std::string& text) {
      if (level == base::LogLevel::warning) all.push_back(text);
    });
  }
  ~Warnings() { base::set_log_sink({}); }
  std::vector<std::string> all;
};

// The tensors of a source equal the reference converter's, in its order.
void expect_golden(const TensorSource& source, const std::string& name) {
  const base::Json golden =
      base::parse_json(base::read_file(test::kFixtures + "goldens/gguf/" + name + ".json"));
  const base::Json::Array& want = golden.at("tensors").as_array();
  ASSERT_EQ(source.tensors().size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    const TensorInfo& info = source.tensors()[i];
    EXPECT_EQ(info.name, want[i].at("name").as_string());
    EXPECT_EQ(hash_of(source, info), want[i].at("sha256").as_string()) << info.name;
  }
}

struct Naming {
  const char* what;
  std::string folder;
  test::Rename rename;
  const char* golden;
  bool with_vision;
};

TEST(HfSource, AcceptsEveryNamingOfTheFamily) {
  const auto text_only = [](const std::string& name) {
    return begins(name, "model.visual.") ? "" : replaced(name, "model.language_model.", "model.");
  };
  const Naming namings[] = {
      {"as published", kTinyCheckpoint, same, "tiny-bf16", true},
      {"split experts", kSplitCheckpoint, same, "tiny-bf16", true},
      {"text only", kTinyCheckpoint, text_only, "tiny-bf16", false},
      {"text only, split experts", kSplitCheckpoint, text_only, "tiny-bf16", false},
      {"model.mtp", kTinyCheckpoint,
       [](const std::string& name) { return replaced(name, "mtp.", "model.mtp."); }, "tiny-bf16",
       true},
      {"experts with .weight", kTinyCheckpoint,
       [](const std::string& name) {
         const bool expert = name.find("mlp.experts.") != std::string::npos;
         return expert ? name + ".weight" : name;
       },
       "tiny-bf16", true},
      {"no MTP", kTinyCheckpoint,
       [](const std::string& name) { return begins(name, "mtp.") ? "" : name; }, "tiny-bf16-nomtp",
       true},
      {"text only without MTP", kSplitCheckpoint,
       [&](const std::string& name) { return begins(name, "mtp.") ? "" : text_only(name); },
       "tiny-bf16-nomtp", false},
  };
  for (const Naming& naming : namings) {
    SCOPED_TRACE(naming.what);
    Config config = tiny_config();
    if (!naming.with_vision) config.vision.reset();
    Warnings warnings;
    const auto source = make_hf_source(renamed(naming.folder, naming.rename), config, "folder");
    expect_golden(*source, naming.golden);
    const bool mtp = std::string(naming.golden) == "tiny-bf16";
    EXPECT_EQ(config.mtp_layers, mtp ? 1 : 0);
    EXPECT_EQ(warnings.all.size(), mtp ? 0u : 1u);
  }
}

TEST(HfSource, FusesGateAndUpOfEitherLayout) {
  for (const std::string& folder : {kTinyCheckpoint, kSplitCheckpoint}) {
    Config config = tiny_config();
    const auto source =
        make_hf_source(renamed(folder, same), config, "folder", {.gate_up = GateUp::fused});
    expect_golden(*source, "tiny-bf16-fused");
  }
}

TEST(HfSource, ReadsAnyRangeOfRowsAndEveryExpert) {
  for (const std::string& folder : {kTinyCheckpoint, kSplitCheckpoint}) {
    Config config = tiny_config();
    const auto source = make_hf_source(renamed(folder, same), config, "folder");
    for (const TensorInfo& info : source->tensors()) {
      std::vector<std::byte> whole(static_cast<size_t>(info.bytes()));
      source->read(info, whole);
      const auto row_bytes = static_cast<size_t>(info.row_bytes());
      const int64_t rows = info.shape.rows();
      for (const int64_t step : {int64_t{1}, int64_t{7}, rows}) {
        for (int64_t row = 0; row < rows; row += step) {
          const int64_t count = std::min(step, rows - row);
          std::vector<std::byte> part(static_cast<size_t>(count) * row_bytes);
          source->read_rows(info, row, count, part);
          ASSERT_TRUE(std::equal(part.begin(), part.end(),
                                 whole.begin() + row * static_cast<int64_t>(row_bytes)))
              << info.name << " row " << row;
        }
      }
      source->will_read(info, 0, rows);
    }
  }
}

TEST(HfSource, LeavesOutTheHeadOfTiedEmbeddings) {
  Config config = tiny_config();
  config.tied_embeddings = true;
  const auto without_head = [](const std::string& name) {
    return name == "lm_head.weight" ? "" : name;
  };
  const auto source = make_hf_source(renamed(kTinyCheckpoint, without_head), config, "folder");
  EXPECT_EQ(source->find(kOutput), nullptr);
  EXPECT_EQ(source->tensors().front().name, kTokenEmbd);
  config = tiny_config();
  EXPECT_THROW(make_hf_source(renamed(kTinyCheckpoint, without_head), config, "folder"), Error);
}

TEST(HfSource, WarnsOnceOfTensorsNothingUses) {
  auto raw = renamed(kTinyCheckpoint, same);
  raw->add({"model.language_model.rotary.inv_freq", tensor::DType::f32, {4}},
           std::vector<std::byte>(16));
  raw->add({"score.weight", tensor::DType::f32, {4}}, std::vector<std::byte>(16));
  Config config = tiny_config();
  Warnings warnings;
  expect_golden(*make_hf_source(raw, config, "folder"), "tiny-bf16");
  ASSERT_EQ(warnings.all.size(), 1u);
  EXPECT_NE(warnings.all[0].find("2 tensors"), std::string::npos) << warnings.all[0];
  EXPECT_NE(warnings.all[0].find("inv_freq"), std::string::npos) << warnings.all[0];
}

struct Contradiction {
  const char* what;  // part of the message
  std::function<void(Config&)> change;
};

TEST(HfSource, NamesTheTensorThatContradictsTheConfiguration) {
  const Contradiction contradictions[] = {
      {"'lm_head.weight' has shape [512, 64], but by the configuration it should be [512, 65]",
       [](Config& c) { c.hidden = 65; }},
      {"'model.language_model.layers.3.input_layernorm.weight' contradicts the configuration's "
       "'num_hidden_layers' 3",
       [](Config& c) { c.mixers.pop_back(); }},
      {"'model.language_model.layers.4.input_layernorm.weight' is missing",
       [](Config& c) { c.mixers.push_back(Mixer::attention); }},
      {"layers.3.linear_attn.A_log' is missing", [](Config& c) { c.mixers[3] = Mixer::delta_net; }},
      {"down_proj' has shape [8, 64, 32], but by the configuration it should be [8, 64, 16]",
       [](Config& c) { c.expert_ffn = 16; }},
      {"down_proj' has shape [8, 64, 32], but by the configuration it should be [7, 64, 32]",
       [](Config& c) { c.experts = 7; }},
      {"conv1d.weight' has shape [128, 1, 4]", [](Config& c) { c.conv_taps = 3; }},
      {"layers.0.linear_attn.A_log' has shape [4], but by the configuration it should be [8]",
       [](Config& c) { c.value_heads = 8, c.value_dim = 8; }},
  };
  for (const Contradiction& contradiction : contradictions) {
    Config config = tiny_config();
    contradiction.change(config);
    try {
      make_hf_source(renamed(kTinyCheckpoint, same), config, "folder");
      ADD_FAILURE() << contradiction.what;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_input);
      EXPECT_NE(std::string(error.what()).find(contradiction.what), std::string::npos)
          << error.what();
    }
  }
}

TEST(HfSource, RefusesExpertsBeyondTheConfiguration) {
  Config config = tiny_config();
  config.experts = 7;
  auto raw = renamed(kSplitCheckpoint, [](const std::string& name) {
    return name.find("mlp.gate.weight") != std::string::npos ? "" : name;
  });
  for (const char* block :
       {"model.language_model.layers.0.", "model.language_model.layers.1.",
        "model.language_model.layers.2.", "model.language_model.layers.3.", "mtp.layers.0."}) {
    raw->add({std::string(block) + "mlp.gate.weight", tensor::DType::bf16, {7, 64}},
             std::vector<std::byte>(7 * 64 * 2));
  }
  try {
    make_hf_source(raw, config, "folder");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("'num_experts' 7"), std::string::npos) << error.what();
  }
}

TEST(HfSource, RefusesQuantizedAndOddTypes) {
  for (const char* name : {"weight_scale_inv", "weight_scale", "qweight", "weight_packed"}) {
    auto raw = renamed(kTinyCheckpoint, same);
    raw->add({std::string("model.language_model.layers.0.mlp.experts.0.up_proj.") + name,
              tensor::DType::f32,
              {1}},
             std::vector<std::byte>(4));
    Config config = tiny_config();
    try {
      make_hf_source(raw, config, "folder");
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::unsupported);
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("quantized"), std::string::npos) << error.what();
    }
  }
  auto raw = renamed(kTinyCheckpoint,
                     [](const std::string& name) { return name == "lm_head.weight" ? "" : name; });
  raw->add({"lm_head.weight", tensor::DType::f64, {512, 64}}, std::vector<std::byte>(512 * 64 * 8));
  Config config = tiny_config();
  EXPECT_THROW(make_hf_source(raw, config, "folder"), Error);
}

TEST(HfSource, KeepsF32OfOtherMembersOfTheFamily) {
  // A_log and the gated norm are F32 in some checkpoints.
  auto raw = renamed(kTinyCheckpoint, [](const std::string& name) {
    return name == "model.language_model.layers.0.linear_attn.A_log" ? "" : name;
  });
  const std::vector<float> logs{0.1F, -2.5F, 1.75F, 0};
  std::vector<std::byte> bytes(16);
  std::memcpy(bytes.data(), logs.data(), 16);
  raw->add({"model.language_model.layers.0.linear_attn.A_log", tensor::DType::f32, {4}}, bytes);
  Config config = tiny_config();
  const auto source = make_hf_source(raw, config, "folder");
  std::vector<float> got(4);
  source->read(source->at("blk.0.ssm_a"), std::as_writable_bytes(std::span(got)));
  // Two key heads with two value heads each: tiled order 0, 2, 1, 3.
  const std::vector<float> want{logs[0], logs[2], logs[1], logs[3]};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(got[i], -static_cast<float>(std::exp(static_cast<double>(want[i]))));
  }
}

TEST(VisionSource, EqualsTheReferenceConverters) {
  for (const char* prefix : {"model.visual.", "visual."}) {
    const auto source = make_vision_source(
        renamed(kTinyCheckpoint,
                [&](const std::string& name) { return replaced(name, "model.visual.", prefix); }),
        tiny_config(), "folder");
    expect_golden(*source, "mmproj-tiny-bf16");
  }
  Config config = tiny_config();
  config.vision.reset();
  EXPECT_THROW(make_vision_source(renamed(kTinyCheckpoint, same), config, "folder"), Error);
}

TEST(HfNames, RulesCoverTheRealModel) {
  Config c = tiny_config();
  c.mixers.clear();
  for (int i = 0; i < 40; ++i) c.mixers.push_back(i % 4 == 3 ? Mixer::attention : Mixer::delta_net);
  size_t count = 3;  // model.md section 6.2: 733 tensors without MTP, 753 with
  size_t f32 = 1;    // 301 of the 733 are F32 in 16-bit files
  for (const Mixer mixer : c.mixers) {
    for (const TensorRule& rule : block_rules(c, mixer, false)) {
      ++count;
      if (always_f32(rule.canonical, rule.shape)) ++f32;
    }
  }
  EXPECT_EQ(count, 733u);
  EXPECT_EQ(f32, 301u);
  count += block_rules(c, Mixer::attention, false).size() + mtp_rules_before(c).size() +
           mtp_rules_after(c).size();
  EXPECT_EQ(count, 753u);
}

}  // namespace
}  // namespace karat::model
