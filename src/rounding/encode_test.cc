#include "rounding/encode.h"

#include <gtest/gtest.h>

#include "rounding/testing.h"

namespace karat::rounding {
namespace {

class EncodeRows : public testing::Test {
 protected:
  static constexpr int64_t kColumns = 512, kRows = 70;  // more than one task
  std::vector<std::byte> plain(const codec::Codec& codec) const {
    const auto row_bytes = static_cast<size_t>(tensor::row_bytes(codec.type(), kColumns));
    std::vector<std::byte> out(kRows * row_bytes);
    std::vector<float> importance(kColumns);
    for (size_t i = 0; i < kColumns; ++i) importance[i] = q_.hessian[i * kColumns + i];
    for (size_t r = 0; r < kRows; ++r) {
      codec.encode_row({w_.data() + r * kColumns, kColumns}, importance,
                       std::span(out).subspan(r * row_bytes, row_bytes));
    }
    return out;
  }
  base::ThreadPool one_{1}, three_{3};
  std::vector<float> w_ = random_values(kRows * kColumns, 13);
  Quadratic q_ = make_quadratic(random_hessian(kColumns, 300, 14), kColumns, 0.03, one_);
};

TEST_F(EncodeRows, CutsTheOutputsErrorOfEveryKindOfFormat) {
  using tensor::DType;
  for (const DType type : {DType::q4_k, DType::q6_k, DType::q8_0, DType::iq4_xs, DType::iq2_s}) {
    const codec::Codec& codec = codec::codec_for(type);
    const std::vector<std::byte> before = plain(codec);
    std::vector<std::byte> after(before.size());
    encode_rows(codec, q_, w_, after, three_);
    EXPECT_LT(output_error(codec, q_.hessian, kColumns, w_, after, three_),
              0.8 * output_error(codec, q_.hessian, kColumns, w_, before, three_))
        << codec.info().name;
  }
}

TEST_F(EncodeRows, BytesDoNotDependOnThreads) {
  const codec::Codec& codec = codec::codec_for(tensor::DType::q3_k);
  std::vector<std::byte> a = plain(codec), b = a;
  encode_rows(codec, q_, w_, a, one_);
  encode_rows(codec, q_, w_, b, three_);
  EXPECT_EQ(a, b);
}

TEST_F(EncodeRows, TheErrorIsTheSumOverRows) {
  const codec::Codec& codec = codec::codec_for(tensor::DType::q4_k);
  const std::vector<std::byte> bytes = plain(codec);
  std::vector<float> e(w_.size());
  codec.decode(bytes, e);
  for (size_t i = 0; i < e.size(); ++i) e[i] = w_[i] - e[i];
  std::vector<double> rows(kRows);
  output_errors(q_.hessian, kColumns, e.data(), kRows, rows.data());
  double sum = 0;
  for (const double x : rows) sum += x;
  EXPECT_EQ(output_error(codec, q_.hessian, kColumns, w_, bytes, three_), sum);
}

}  // namespace
}  // namespace karat::rounding
