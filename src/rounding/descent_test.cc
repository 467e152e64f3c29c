#include "rounding/descent.h"

#include <gtest/gtest.h>

#include <array>

#include "rounding/testing.h"

namespace karat::rounding {
namespace {

// In every format: lower in each row, and what is held is what the bytes say.
TEST(Descent, LowersTheFormAndKeepsWhatCanBeStored) {
  base::ThreadPool pool(1);
  constexpr int64_t n = 512, rows = 5;
  const Quadratic q = make_quadratic(random_hessian(n, 300, 21), n, 0.03, pool);
  const std::vector<float> w = random_values(rows * n, 22);
  for (const codec::Codec* codec : codec::codecs()) {
    if (!codec->info().quantized()) continue;
    CodedRows coded(*codec, w.data(), rows, n);
    std::vector<std::byte> bytes(static_cast<size_t>(tensor::row_bytes(codec->type(), n)));
    for (int64_t r = 0; r < rows; ++r) {
      codec->encode_row({w.data() + r * n, n}, {}, bytes);
      coded.unpack_row(r, bytes);
    }
    std::vector<double> before(rows), after(rows);
    output_errors(q.hessian, n, coded.errors.data(), rows, before.data());
    descend(q, 1, coded);
    output_errors(q.hessian, n, coded.errors.data(), rows, after.data());
    std::vector<float> decoded(n);
    for (int64_t r = 0; r < rows; ++r) {
      const auto at = static_cast<size_t>(r);
      EXPECT_LT(after[at], before[at]) << codec->info().name;
      coded.pack_row(r, bytes);
      codec->decode(bytes, decoded);
      for (size_t i = 0; i < n; ++i) {
        ASSERT_EQ(coded.errors_of(r)[i], coded.weights_of(r)[i] - decoded[i])
            << codec->info().name << " column " << i;
      }
    }
  }
}

// Where columns are not correlated, nearest codes under the best grid are a fixed point.
TEST(Descent, LeavesNearestCodesOfTheIdentityAlone) {
  base::ThreadPool pool(1);
  constexpr int64_t n = 256;
  const Quadratic q = make_quadratic(std::vector<double>(n * n), n, 0, pool);
  const std::vector<float> w = random_values(n, 23);
  const codec::Codec& codec = codec::codec_for(tensor::DType::q8_0);
  CodedRows coded(codec, w.data(), 1, n);
  std::vector<std::byte> bytes(static_cast<size_t>(tensor::row_bytes(codec.type(), n)));
  codec.encode_row(w, {}, bytes);
  coded.unpack_row(0, bytes);
  const std::vector<codec::Code> codes = coded.codes;
  descend(q, 2, coded);
  EXPECT_EQ(coded.codes, codes);
}

}  // namespace
}  // namespace karat::rounding
