#include "recipe/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "codec/codec.h"
#include "format/gguf.h"
#include "support/files.h"
#include "support/memory_source.h"

namespace karat::recipe {
namespace {

using tensor::DType;

std::vector<float> values(int64_t count, int seed) {
  std::vector<float> out;
  for (int64_t i = 0; i < count; ++i) {
    out.push_back(std::sin(static_cast<float>(i * 13 + seed)) * (1 + static_cast<float>(i % 7)));
  }
  return out;
}

// Two experts of 40 x 256 (more than one chunk is not needed to cross from expert to expert).
struct Model {
  Model() {
    source.add_f32("token_embd.weight", {6, 256}, values(6 * 256, 1));
    source.add_f32("output.weight", {6, 256}, values(6 * 256, 2));
    source.add_f32("blk.0.ffn_up_exps.weight", {2, 40, 256}, values(2 * 40 * 256, 3));
    source.add_f32("blk.0.attn_norm.weight", {256}, values(256, 4));
    config.mixers.assign(1, model::Mixer::attention);
    config.experts = 2;
  }
  test::MemorySource source;
  model::Config config;
};

tensor::Importance importance(bool second_is_cold) {
  tensor::Importance all;
  tensor::ImportanceEntry entry;
  entry.cols = 256, entry.mats = 2;
  for (int i = 0; i < 512; ++i)
    entry.in_sum2.push_back(second_is_cold && i >= 256 ? 0 : 1 + i % 91 * 4);
  entry.counts = {10, second_is_cold ? 0 : 20};
  all.entries.emplace("blk.0.ffn_up_exps.weight", entry);
  return all;
}

std::string bytes_with(const Model& m, const char* preset, const tensor::Importance* weights,
                       int threads) {
  const test::TempDir folder;
  base::ThreadPool pool(threads);
  const QuantizePlan plan = plan_quantize(m.source, m.config, preset_named(preset), {}, weights);
  format::Metadata metadata;
  metadata.set("general.architecture", "qwen35moe");
  run_quantize(m.source, plan, weights, {.out = folder.path("out.gguf"), .metadata = metadata},
               pool);
  EXPECT_EQ(folder.file_count(), 1u);
  const std::string bytes = test::read_bytes(folder.path("out.gguf"));
  EXPECT_EQ(bytes.size(), quantized_layout(plan, metadata).file_bytes());
  return bytes;
}

TEST(Quantize, BytesDoNotDependOnThreads) {
  const Model m;
  const auto weights = importance(false);
  const std::string one = bytes_with(m, "Q4_K_M", &weights, 1);
  EXPECT_EQ(one, bytes_with(m, "Q4_K_M", &weights, 7));
  EXPECT_NE(one, bytes_with(m, "Q4_K_M", nullptr, 1));
}

TEST(Quantize, EachExpertIsEncodedWithItsOwnImportance) {
  const Model m;
  const auto weights = importance(false);
  const test::TempDir folder;
  const std::string path = folder.write("out.gguf", bytes_with(m, "Q5_K_S", &weights, 2));
  const format::GgufSource out(path);
  const tensor::TensorInfo& tensor = out.at("blk.0.ffn_up_exps.weight");
  ASSERT_EQ(tensor.dtype, DType::q5_k);
  const codec::Codec& codec = codec::codec_for(DType::q5_k);
  std::vector<std::byte> expected(static_cast<size_t>(tensor.row_bytes())), found(expected.size());
  const auto& entry = weights.entries.begin()->second;
  for (const int64_t row : {0, 39, 40, 79}) {
    std::vector<float> x(256), w(256);
    m.source.read_rows(m.source.tensors()[2], row, 1, std::as_writable_bytes(std::span(x)));
    const size_t expert = row < 40 ? 0 : 1;
    for (size_t c = 0; c < 256; ++c) {
      w[c] = static_cast<float>(entry.in_sum2[expert * 256 + c] /
                                static_cast<double>(entry.counts[expert]));
    }
    codec.encode_row(x, w, expected);
    out.read_rows(tensor, row, 1, found);
    EXPECT_EQ(found, expected) << row;
  }
}

TEST(Quantize, AColdExpertGetsItsLayersMean) {
  const Model m;
  const auto cold = importance(true);
  // With only expert 0 seen, the pooled mean is expert 0's own.
  tensor::Importance same = cold;
  tensor::ImportanceEntry& entry = same.entries.begin()->second;
  std::copy(entry.in_sum2.begin(), entry.in_sum2.begin() + 256, entry.in_sum2.begin() + 256);
  entry.counts[1] = entry.counts[0];
  EXPECT_EQ(bytes_with(m, "Q4_K_S", &cold, 2), bytes_with(m, "Q4_K_S", &same, 2));
  const QuantizePlan plan = plan_quantize(m.source, m.config, preset_named("Q4_K_S"), {}, &cold);
  int64_t cold_experts = 0;
  for (const TensorPlan& tensor : plan.tensors) cold_experts += tensor.cold_experts;
  EXPECT_EQ(cold_experts, 1);
  EXPECT_EQ(plan.uncovered, (std::vector<std::string>{"output.weight", "token_embd.weight"}));
}

std::string plan_error(const Model& m, const tensor::Importance& weights) {
  try {
    plan_quantize(m.source, m.config, preset_named("Q4_K_M"), {}, &weights);
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::bad_input);
    return error.what();
  }
  return "";
}

TEST(Quantize, ImportanceOfAnotherModelIsRefusedUpFront) {
  const Model m;
  auto weights = importance(false);
  weights.entries.begin()->second.cols = 128;
  EXPECT_NE(plan_error(m, weights).find("blk.0.ffn_up_exps.weight"), std::string::npos);
  tensor::Importance other;
  other.entries.emplace("blk.7.attn_q.weight", tensor::ImportanceEntry{});
  EXPECT_NE(plan_error(m, other).find("another model"), std::string::npos);
}

TEST(Quantize, NamesTensorRowAndColumnOfABadValue) {
  Model m;
  std::vector<float> rows = values(3 * 256, 5);
  rows[2 * 256 + 17] = std::numeric_limits<float>::infinity();
  m.source.add_f32("blk.0.attn_q.weight", {3, 256}, rows);
  const test::TempDir folder;
  base::ThreadPool pool(2);
  const auto plan = plan_quantize(m.source, m.config, preset_named("Q8_0"), {}, nullptr);
  try {
    run_quantize(m.source, plan, nullptr, {.out = folder.path("out.gguf")}, pool);
    FAIL();
  } catch (const base::Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("tensor 'blk.0.attn_q.weight': row 2, column 17"), std::string::npos)
        << message;
  }
  EXPECT_EQ(folder.file_count(), 0u);
}

TEST(Quantize, F16RangeOffersBf16) {
  Model m;
  m.source.add_f32("blk.0.attn_q.weight", {2, 256}, std::vector<float>(512, 70000.0f));
  const test::TempDir folder;
  base::ThreadPool pool(1);
  const auto plan = plan_quantize(m.source, m.config, preset_named("F16"), {}, nullptr);
  try {
    run_quantize(m.source, plan, nullptr, {.out = folder.path("out.gguf")}, pool);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::gate);
    EXPECT_NE(std::string(error.what()).find("512 values"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("choose BF16"), std::string::npos) << error.what();
  }
}

std::string obstacle_to(const Model& m, const char* preset, const tensor::Importance* weights,
                        bool allow_requantize = false) {
  MixtureOptions options;
  options.imatrix = weights != nullptr;
  const auto plan = plan_quantize(m.source, m.config, preset_named(preset), options, weights);
  const auto found = obstacle(m.source, plan, allow_requantize);
  return found ? found->what() : "";
}

TEST(Quantize, WhatIsAlreadyQuantizedIsAnObstacle) {
  Model m;
  EXPECT_EQ(obstacle_to(m, "Q8_0", nullptr), "");
  m.source.add("blk.0.attn_q.weight", DType::q4_k, {2, 256});
  EXPECT_NE(obstacle_to(m, "Q8_0", nullptr).find("already q4_K"), std::string::npos);
  EXPECT_EQ(obstacle_to(m, "Q8_0", nullptr, true), "");
}

TEST(Quantize, TypesThatNeedStatisticsAreAnObstacleWithout) {
  const Model m;
  const auto weights = importance(false);
  const std::string without = obstacle_to(m, "Q2_K_S", nullptr);
  EXPECT_NE(without.find("blk.0.ffn_up_exps.weight"), std::string::npos) << without;
  EXPECT_NE(without.find("--imatrix"), std::string::npos) << without;
  EXPECT_EQ(obstacle_to(m, "Q2_K_S", &weights).find("statistics"), std::string::npos);
}

TEST(Quantize, MetadataOrderIsLlamaQuantizes) {
  format::Metadata input, extra;
  input.set("general.file_type", uint32_t{32});
  input.set("general.name", "x");
  extra.set("quantize.imatrix.file", "i");
  const auto out = quantized_metadata(input, preset_named("Q4_K_M"), extra);
  ASSERT_EQ(out.size(), 4u);
  EXPECT_EQ(out.entries()[0].key, "general.name");
  EXPECT_EQ(out.entries()[1].key, "general.quantization_version");
  EXPECT_EQ(out.get_int("general.file_type"), 15);
  EXPECT_EQ(out.entries()[3].key, "quantize.imatrix.file");
}

}  // namespace
}  // namespace karat::recipe
