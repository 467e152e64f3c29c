#include "rounding/coded.h"

#include <gtest/gtest.h>

#include "rounding/testing.h"

namespace karat::rounding {
namespace {

TEST(CodedRows, TakeAndGiveBackEveryFormatsBytes) {
  for (const codec::Codec* codec : codec::codecs()) {
    if (!codec->info().quantized()) continue;
    constexpr int64_t rows = 2, columns = 512;
    const std::vector<float> w = random_values(rows * columns, 7);
    CodedRows coded(*codec, w.data(), rows, columns);
    const auto row_bytes = static_cast<size_t>(tensor::row_bytes(codec->type(), columns));
    for (int64_t r = 0; r < rows; ++r) {
      std::vector<std::byte> bytes(row_bytes), again(row_bytes);
      const std::span row(w.data() + r * columns, columns);
      codec->encode_row(row, {}, bytes);
      coded.unpack_row(r, bytes);
      coded.pack_row(r, again);
      EXPECT_EQ(bytes, again) << codec->info().name;
      std::vector<float> decoded(columns);
      codec->decode(bytes, decoded);
      for (size_t i = 0; i < columns; ++i) {
        ASSERT_EQ(coded.errors_of(r)[i], row[i] - decoded[i]) << codec->info().name;
      }
    }
  }
}

}  // namespace
}  // namespace karat::rounding
