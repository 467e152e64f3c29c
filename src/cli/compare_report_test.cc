#include "cli/compare_report.h"

#include <gtest/gtest.h>

#include <cmath>

namespace karat::cli {
namespace {

class Report : public testing::Test {
 protected:
  Report() {
    comparison_.a = {"base", 2, 64, 128, 200};
    comparison_.b = {"ours.gguf", 2, 64, 40, 90};
    comparison_.table.only_a = {"gone"};
    comparison_.metadata = {{"key", "1", ""}};
    for (const tensor::TensorInfo& tensor : bf16_) {
      eval::TensorPair pair;
      pair.a = &tensor;
      pair.b = &q8_;
      comparison_.table.pairs.push_back(pair);
    }
  }

  void measure(size_t i, double error, double against) {
    eval::TensorPair& pair = comparison_.table.pairs[i];
    comparison_.measured = true;
    comparison_.against = {"theirs.gguf", 2, 64, 40, 80};
    pair.against = &q8_;
    pair.error = eval::TensorError{.error_sq = error * error, .norm_sq = 1};
    pair.against_error = eval::TensorError{.error_sq = against * against, .norm_sq = 1};
  }

  std::vector<tensor::TensorInfo> bf16_ = {{"x", tensor::DType::bf16, {2, 32}},
                                           {"y", tensor::DType::bf16, {2, 32}}};
  tensor::TensorInfo q8_ = {"x", tensor::DType::q8_0, {2, 32}};
  Comparison comparison_;
};

TEST_F(Report, TellsWhatDiffersWithoutWeights) {
  const std::string text = comparison_text(comparison_);
  for (const char* part : {"only in A 1: gone", "bf16     -> q8_0         2 tensors", "-68.750 %",
                           "not like for like", "key: 1 -> absent"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  }
  EXPECT_EQ(text.find("rel. RMS"), std::string::npos);
  EXPECT_EQ(comparison_json(comparison_).find("relative_rms"), nullptr);
}

TEST_F(Report, TheLargestRatioDecides) {
  measure(0, 0.5, 1);
  measure(1, 0.3, 0.2);
  EXPECT_DOUBLE_EQ(max_ratio(comparison_.table), 1.5);
  const std::string text = comparison_text(comparison_);
  EXPECT_NE(text.find("at most 1.500000; 1 below 1, 0 equal, 1 above"), std::string::npos) << text;
  const base::Json json = comparison_json(comparison_);
  EXPECT_DOUBLE_EQ(json.at("max_ratio").as_double(), 1.5);
  EXPECT_DOUBLE_EQ(json.at("tensors").as_array()[0].at("ratio").as_double(), 0.5);
  EXPECT_TRUE(json.at("like_for_like").as_bool());
}

TEST_F(Report, TheGateNamesWhatItRefuses) {
  measure(0, 0.5, 1);
  measure(1, 0.3, 0.2);
  const auto expect_fault = [&](double limit, const char* part) {
    const std::string fault = ratio_fault(comparison_.table, limit);
    EXPECT_NE(fault.find(part), std::string::npos) << fault;
  };
  expect_fault(2, "lacks tensor 'gone'");
  comparison_.table.only_a.clear();
  EXPECT_EQ(ratio_fault(comparison_.table, 1.6), "");
  expect_fault(1.4, "'y' is 1.5");
  measure(0, std::nan(""), 1);  // the pairs after it are fine
  EXPECT_TRUE(std::isnan(max_ratio(comparison_.table)));
  EXPECT_TRUE(comparison_json(comparison_).at("max_ratio").is_null());
  expect_fault(2, "'x' holds NaN");
  comparison_.table.pairs[0].error.reset();
  expect_fault(2, "'x' cannot be judged");
  comparison_.table.other_shapes.push_back(comparison_.table.pairs[0]);
  expect_fault(2, "'x' has another shape");
}

TEST_F(Report, TwoExactTensorsHaveNoRatio) {
  measure(0, 0, 0);
  EXPECT_EQ(max_ratio(comparison_.table), 0);
  EXPECT_TRUE(comparison_json(comparison_).at("tensors").as_array()[0].at("ratio").is_null());
}

TEST(LikeForLike, IsATenthOfAPercent) {
  EXPECT_TRUE(like_for_like(1001, 1000));
  EXPECT_TRUE(like_for_like(999, 1000));
  EXPECT_FALSE(like_for_like(1002, 1000));
  EXPECT_FALSE(like_for_like(998, 1000));
  EXPECT_TRUE(like_for_like(0, 0));
}

}  // namespace
}  // namespace karat::cli
