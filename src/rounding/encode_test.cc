#include "rounding/encode.h"

#include <gtest/gtest.h>

#include "rounding/coded.h"
#include "rounding/testing.h"

namespace karat::rounding {
namespace {

TEST(EncodeRows, IsNeverWorseThanTheFormatsSearchAndSaysSo) {
  base::ThreadPool pool(2);
  constexpr int64_t n = 256, rows = 70;
  const std::vector<float> w = random_values(rows * n, 11);
  std::vector<float> importance(n);
  const std::vector<double> hessian = random_hessian(n, 300, 12);
  for (size_t i = 0; i < n; ++i) importance[i] = static_cast<float>(hessian[i * n + i]);
  const Quadratic q = make_quadratic(hessian, n, 0.01, pool);
  for (const tensor::DType type : {tensor::DType::q4_k, tensor::DType::iq2_s}) {
    const codec::Codec& codec = codec::codec_for(type);
    const auto row_bytes = static_cast<size_t>(tensor::row_bytes(type, n));
    std::vector<std::byte> out(rows * row_bytes), plain(row_bytes);
    const OutputError error = encode_rows(codec, q, w, importance, out, pool);
    double sum_plain = 0, sum_full = 0;
    CodedRows row(codec, w.data(), rows, n);
    std::vector<double> form(rows), form_plain(rows);
    for (int64_t r = 0; r < rows; ++r) {
      row.unpack_row(r, std::span(out).subspan(static_cast<size_t>(r) * row_bytes, row_bytes));
    }
    output_errors(q, row.errors.data(), rows, form.data());
    for (int64_t r = 0; r < rows; ++r) {
      codec.encode_row({w.data() + r * n, n}, importance, plain);
      row.unpack_row(r, plain);
    }
    output_errors(q, row.errors.data(), rows, form_plain.data());
    for (size_t r = 0; r < rows; ++r) {
      EXPECT_LE(form[r], form_plain[r]);
      sum_full += form[r], sum_plain += form_plain[r];
    }
    EXPECT_NEAR(error.plain, sum_plain, 1e-9 * sum_plain);
    EXPECT_NEAR(error.full, sum_full, 1e-9 * sum_full);
    EXPECT_LT(error.full, 0.9 * error.plain);
  }
}

TEST(EncodeRows, BytesDoNotDependOnThreads) {
  base::ThreadPool one(1), three(3);
  constexpr int64_t n = 512, rows = 130;
  const std::vector<float> w = random_values(rows * n, 13);
  const Quadratic q = make_quadratic(random_hessian(n, 300, 14), n, 0.01, one);
  const codec::Codec& codec = codec::codec_for(tensor::DType::q3_k);
  std::vector<std::byte> a(rows * static_cast<size_t>(tensor::row_bytes(tensor::DType::q3_k, n)));
  std::vector<std::byte> b = a;
  encode_rows(codec, q, w, {}, a, one);
  encode_rows(codec, q, w, {}, b, three);
  EXPECT_EQ(a, b);
}

}  // namespace
}  // namespace karat::rounding
