#include "cli/calibrate_report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "base/file.h"
#include "format/imatrix.h"

namespace karat::cli {
namespace {

const std::string kGoldens = std::string(KARAT_ROOT) + "/tests/fixtures/goldens/imatrix/";

// The same text, where numbers may differ: by one in the last digit, since llama-imatrix computed
// from sums that the file rounded, or by the 13 single-precision additions of its layers' sums.
void expect_same_table(const std::string& ours, const std::string& golden) {
  ASSERT_EQ(ours.size(), golden.size());
  std::istringstream left(ours), right(golden);
  std::string a, b;
  while (left >> a && right >> b) {
    if (a == b) continue;
    EXPECT_EQ(left.tellg(), right.tellg()) << a << " " << b;
    char* end = nullptr;
    const double x = std::strtod(a.c_str(), &end), y = std::atof(b.c_str());
    EXPECT_STREQ(end, "") << a << " " << b;
    EXPECT_NEAR(x, y, std::max(1.01e-4, 13 * 0x1p-24 * y)) << a << " " << b;
  }
}

// Everything that llama-imatrix --show-statistics printed, but for its log.
TEST(CalibrateReport, StatisticsAreLlamaImatrixsTables) {
  const std::string golden = base::read_file(kGoldens + "show-statistics.txt");
  const size_t log = golden.find("\n\n\n");
  ASSERT_NE(log, std::string::npos);
  base::ThreadPool pool(2);
  const tensor::Importance importance = format::read_imatrix(kGoldens + "tiny-f32.imatrix.gguf");
  expect_same_table(statistics_text("tiny-f32.imatrix.gguf", importance, pool),
                    golden.substr(0, log + 1));
}

TEST(CalibrateReport, JsonHasNullWhereAFigureIsUndefined) {
  base::ThreadPool pool(1);
  const tensor::Importance importance = format::read_imatrix(kGoldens + "tiny-f32.imatrix.gguf");
  const base::Json json = base::parse_json(statistics_json(importance, pool).dump());
  ASSERT_EQ(json.at("tensors").as_array().size(), importance.entries.size());
  EXPECT_EQ(json.at("layers").as_array().size(), 5u);
  const base::Json& last = json.at("tensors").as_array().back();
  EXPECT_EQ(last.at("tensor").as_string(), "output.weight");
  EXPECT_TRUE(last.at("layer").is_null() && last.at("gain").is_null());
  EXPECT_NEAR(last.at("sum_sq").as_double(), 66.4723, 5e-5);
}

TEST(CalibrateReport, CoverageCountsColdMatrices) {
  tensor::Importance importance;
  importance.chunk_count = 2;
  importance.chunk_size = 8;
  importance.entries["blk.0.ffn_down_exps.weight"] = {1, 3, {0, 1, 0}, {}, {0, 4, 0}};
  EXPECT_EQ(coverage_text("x.gguf", importance),
            "x.gguf: 1 entries from 2 chunks of 8 tokens; 2 of 3 matrices without data\n");
  const base::Json json = coverage_json("x.gguf", importance);
  EXPECT_EQ(json.at("tokens").as_int(), 16);
  EXPECT_EQ(json.at("matrices_without_data").as_int(), 2);
}

}  // namespace
}  // namespace karat::cli
