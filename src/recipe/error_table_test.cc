#include "recipe/error_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "codec/distortion.h"
#include "support/files.h"
#include "support/memory_source.h"

namespace karat::recipe {
namespace {

using tensor::DType;

const std::string kName = "blk.0.ffn_up_exps.weight";

class ErrorTable : public testing::Test {
 protected:
  ErrorTable() {
    for (int i = 0; i < 2 * 8 * 64; ++i) {
      values_.push_back(std::sin(static_cast<float>(i * 13)) * (1 + static_cast<float>(i % 7)));
    }
    source_.add_f32(kName, {2, 8, 64}, values_);
    entry_.cols = 64, entry_.mats = 2, entry_.counts = {10, 30};
    for (int i = 0; i < 128; ++i) entry_.in_sum2.push_back(1 + i % 11 * 5);
    weights_.columns = &entry_;
    weights_.experts = {1, 4};
  }

  TensorErrors measure(const ErrorWeights& weights, int threads = 1,
                       const std::string& cache = "") const {
    base::ThreadPool pool(threads);
    return measure_errors(source_, source_.at(kName), {DType::q8_0, DType::q4_0}, weights, {},
                          PlanCache(cache), pool);
  }

  std::vector<float> values_;
  test::MemorySource source_;
  tensor::ImportanceEntry entry_;
  ErrorWeights weights_;
};

// The same by hand: all rows, which is what a small tensor's sample is.
TEST_F(ErrorTable, IsTheWeightedErrorOfTheEncoderByTheSignal) {
  const TensorErrors errors = measure(weights_, 3);
  const codec::Codec& codec = codec::codec_for(DType::q4_0);
  double error = 0, signal = 0, noise = 0;
  std::vector<std::byte> bytes(36);
  for (size_t row = 0; row < 16; ++row) {
    const auto x = std::span<const float>(values_).subspan(row * 64, 64);
    const std::vector<float> w = tensor::mean_squares(entry_, static_cast<int64_t>(row / 8));
    codec.encode_row(x, w, bytes);
    const codec::Distortion d = codec::distortion(codec, x, bytes, w);
    error += weights_.experts[row / 8] * d.error;
    signal += weights_.experts[row / 8] * d.signal;
    for (size_t block = 0; block < 64; block += 32) {
      double squares = 0, weight = 0;
      for (size_t i = block; i < block + 32; ++i) {
        squares += static_cast<double>(x[i]) * x[i] / 32, weight += w[i];
      }
      noise += weights_.experts[row / 8] * squares * weight;
    }
  }
  ASSERT_EQ(errors.types.size(), 2u);
  EXPECT_NEAR(errors.types[1], error / signal, 1e-9 * error / signal);
  EXPECT_NEAR(errors.noise, noise / signal, 1e-5 * noise / signal);
  EXPECT_LT(errors.types[0], errors.types[1] / 50);
}

TEST_F(ErrorTable, ThreadsChangeNothingExpertsAndColumnsDo) {
  const TensorErrors one = measure(weights_, 1), four = measure(weights_, 4);
  EXPECT_EQ(one.types, four.types);
  EXPECT_EQ(one.noise, four.noise);
  ErrorWeights alike = weights_;
  alike.experts = {1, 1};
  EXPECT_NE(measure(alike).types, one.types);
  EXPECT_NE(measure({}).types, one.types);
}

TEST_F(ErrorTable, IsKeptByContent) {
  const test::TempDir folder;
  const TensorErrors first = measure(weights_, 1, folder.path("cache"));
  EXPECT_EQ(measure(weights_, 1, folder.path("cache")).types, first.types);
  // Other statistics are another key.
  entry_.in_sum2[3] *= 2;
  EXPECT_NE(measure(weights_, 1, folder.path("cache")).types, first.types);
}

TEST_F(ErrorTable, ValuesThatAreNotFiniteAreNamed) {
  values_[70] = std::numeric_limits<float>::infinity();
  test::MemorySource bad;
  bad.add_f32(kName, {2, 8, 64}, values_);
  base::ThreadPool pool(2);
  try {
    measure_errors(bad, bad.at(kName), {DType::q8_0}, {}, {}, PlanCache(""), pool);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::bad_input);
    EXPECT_NE(std::string(error.what()).find(kName + "': row 1 "), std::string::npos)
        << error.what();
  }
}

TEST_F(ErrorTable, ExpertsCountByTheirGates) {
  calib::Routing routing;
  routing.experts = 2;
  routing.layers[0].counts = {4, 0};
  routing.layers[0].gate_mass = {2, 0};
  tensor::Importance importance;
  importance.entries[kName] = entry_;
  const ErrorWeights weights = error_weights(source_.at(kName), &importance, &routing);
  // One more row of the mean gate 0.5 each: (2.5)^2 / 5 and 0.5^2 / 1.
  EXPECT_EQ(weights.experts, (std::vector<double>{1.25, 0.25}));
  EXPECT_NE(weights.columns, nullptr);
  importance.entries[kName].cols = 32;
  EXPECT_EQ(error_weights(source_.at(kName), &importance, nullptr).columns, nullptr);
}

}  // namespace
}  // namespace karat::recipe
