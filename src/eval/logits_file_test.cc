#include "eval/logits_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "eval/scorer.h"

namespace karat::eval {
namespace {

std::string temp(const char* name) {
  return (std::filesystem::path(::testing::TempDir()) / name).string();
}

std::vector<float> row_of(int64_t vocab, int seed) {
  std::vector<float> row;
  for (int64_t i = 0; i < vocab; ++i)
    row.push_back(6.0f * std::sin(static_cast<float>(i * 7 + seed)));
  row[2] = -40;  // beyond the 16 that are kept
  return row;
}

class LogitsFile : public ::testing::TestWithParam<int64_t> {};

// A stored log-probability is floor + scale * code with code the nearest of 65536 steps over at
// most 16: half a step of (max - max(min, max - 16)) / 65535, plus the rounding of the sum of three
// floats of magnitude below 64 (3 half-ulps of 2^-18).
TEST_P(LogitsFile, KeepsLogProbabilitiesToHalfAStep) {
  const int64_t vocab = GetParam();
  const std::string path = temp("logits_file_test.kld");
  const LogitsHeader header{8, vocab, 2, std::vector<int32_t>(16, 1)};
  ASSERT_EQ(scored_per_chunk(8), 3);
  LogitsWriter writer(path, header);
  for (int64_t row = 5; row >= 0; --row)
    writer.write_row(row, row_of(vocab, static_cast<int>(row)));
  writer.commit();

  const LogitsReader reader(path);
  EXPECT_EQ(reader.header().n_ctx, 8);
  EXPECT_EQ(reader.header().n_vocab, vocab);
  EXPECT_EQ(reader.header().tokens, header.tokens);
  EXPECT_EQ(std::filesystem::file_size(path),
            20u + 16 * 4 + 6 * static_cast<size_t>(2 * ((vocab + 1) / 2) + 4) * 2);
  for (int64_t row = 0; row < 6; ++row) {
    const std::vector<float> logits = row_of(vocab, static_cast<int>(row));
    std::vector<float> stored(static_cast<size_t>(vocab));
    reader.read_row(row, stored);
    const double norm = log_sum_exp(logits);
    const float high = *std::max_element(logits.begin(), logits.end());
    const double step = 16.0 / 65535;
    for (size_t i = 0; i < logits.size(); ++i) {
      const double wanted = static_cast<double>(std::max(logits[i], high - 16)) - norm;
      EXPECT_NEAR(static_cast<double>(stored[i]), wanted, step / 2 + 3 * 0x1p-18)
          << row << " " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, LogitsFile, ::testing::Values(5, 64, 511));

std::string error_of(const std::string& path) {
  try {
    LogitsReader reader(path);
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::bad_input);
    return error.what();
  }
  return "";
}

TEST(LogitsFileErrors, RefusesWhatIsNotOne) {
  const std::string path = temp("not_logits.kld");
  std::ofstream(path) << "some text that is long enough to be a header";
  EXPECT_NE(error_of(path).find("not a logits file"), std::string::npos);
  std::ofstream(path) << "_lo";
  EXPECT_NE(error_of(path).find("not a logits file"), std::string::npos);
}

TEST(LogitsFileErrors, EveryPrefixIsRefused) {
  const std::string path = temp("whole.kld"), cut = temp("cut.kld");
  LogitsWriter writer(path, {4, 3, 2, std::vector<int32_t>(8, 0)});
  for (int64_t row = 0; row < 2; ++row) writer.write_row(row, std::vector<float>{0, 1, 2});
  writer.commit();
  std::string bytes;
  {
    std::ifstream in(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  ASSERT_EQ(error_of(path), "");
  for (size_t length = 0; length < bytes.size(); ++length) {
    std::ofstream(cut, std::ios::binary) << bytes.substr(0, length);
    EXPECT_NE(error_of(cut), "") << length;
  }
}

}  // namespace
}  // namespace karat::eval
