#include "rounding/feedback.h"

#include <gtest/gtest.h>

#include <array>

#include "rounding/testing.h"

namespace karat::rounding {
namespace {

std::vector<const codec::Codec*> quantized_codecs() {
  std::vector<const codec::Codec*> out;
  for (const codec::Codec* codec : codec::codecs()) {
    if (codec->info().quantized()) out.push_back(codec);
  }
  return out;
}

// Without correlation there is nothing to make up for: the format's own three steps.
TEST(Feedback, OfTheIdentityIsTheFormatsOwnRounding) {
  base::ThreadPool pool(1);
  constexpr int64_t n = 512, rows = 3;
  const Quadratic q = make_quadratic(std::vector<double>(n * n), n, 0, pool);
  const std::vector<float> w = random_values(rows * n, 5);
  const std::vector<float> ones(n, 1.0F);
  for (const codec::Codec* codec : quantized_codecs()) {
    CodedRows coded(*codec, w.data(), rows, n);
    round_with_feedback(q, coded);
    std::array<codec::Code, codec::kBlockElemsMax> codes;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t b = 0; b < coded.blocks; ++b) {
        const float* x = w.data() + r * n + b * codec->block_elems();
        const codec::Grid grid = codec->choose_grid(x, ones.data());
        ASSERT_EQ(grid.step, coded.grid(r, b).step) << codec->info().name;
        codec->round_block(grid, x, ones.data(), codes.data());
        for (int i = 0; i < codec->block_elems(); ++i) {
          ASSERT_EQ(codes[static_cast<size_t>(i)], coded.codes_of(r)[b * codec->block_elems() + i])
              << codec->info().name << " row " << r << " column " << i;
        }
      }
    }
  }
}

// The identity that the method rests on: the form is the sum of D times what is left of each
// column's target, and rounding to the nearest code leaves at most half a step of that.
TEST(Feedback, ResidualsOfScalarCodesAreAtMostHalfAStep) {
  base::ThreadPool pool(1);
  constexpr int64_t n = 256;
  const Quadratic q = make_quadratic(random_hessian(n, 2 * n, 6), n, 0.01, pool);
  const std::vector<float> w = random_values(n, 8);
  const codec::Codec& codec = codec::codec_for(tensor::DType::q8_0);
  CodedRows coded(codec, w.data(), 1, n);
  round_with_feedback(q, coded);
  int inside = 0;
  for (int64_t i = 0; i < n; ++i) {
    double residual = 0;
    for (int64_t k = 0; k <= i; ++k) {
      residual += static_cast<double>(q.feedback[static_cast<size_t>(i * n + k)]) *
                  static_cast<double>(coded.errors_of(0)[k]);
    }
    const double step = static_cast<double>(coded.grid(0, i / 32).step[0]);
    const codec::Code code = coded.codes_of(0)[i];
    if (code == 127 || code == -128) continue;  // the target lies beyond the range
    EXPECT_LE(std::fabs(residual), 0.501 * std::fabs(step)) << i;
    ++inside;
  }
  EXPECT_GT(inside, 200);
}

TEST(Feedback, LowersTheOutputsErrorInEveryFormat) {
  base::ThreadPool pool(1);
  constexpr int64_t n = 512, rows = 17;  // one lane more than go side by side
  const Quadratic q = make_quadratic(random_hessian(n, 300, 9), n, 0.01, pool);
  const std::vector<float> w = random_values(rows * n, 10);
  for (const codec::Codec* codec : quantized_codecs()) {
    CodedRows plain(*codec, w.data(), rows, n), coded(*codec, w.data(), rows, n);
    std::vector<std::byte> bytes(static_cast<size_t>(tensor::row_bytes(codec->type(), n)));
    std::vector<float> diagonal(n);
    for (size_t i = 0; i < n; ++i) diagonal[i] = q.hessian[i * n + i];
    for (int64_t r = 0; r < rows; ++r) {
      codec->encode_row({w.data() + r * n, n}, diagonal, bytes);
      plain.unpack_row(r, bytes);
    }
    round_with_feedback(q, coded);
    std::vector<double> before(rows), after(rows);
    output_errors(q.hessian, n, plain.errors.data(), rows, before.data());
    output_errors(q.hessian, n, coded.errors.data(), rows, after.data());
    double ratio = 0;
    for (size_t r = 0; r < rows; ++r) ratio += after[r] / before[r] / rows;
    EXPECT_LT(ratio, 0.9) << codec->info().name;
  }
}

}  // namespace
}  // namespace karat::rounding
