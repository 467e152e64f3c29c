#include "recipe/encode.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"
#include "base/rng.h"

namespace karat::recipe {
namespace {

TEST(EncodeRows, AreTheCodecsRowByRow) {
  base::Rng rng(1);
  std::vector<float> values(3 * 256), importance(256);
  for (float& value : values) value = static_cast<float>(rng.uniform() - 0.5);
  for (float& value : importance) value = static_cast<float>(rng.uniform());
  const codec::Codec& codec = codec::codec_for(tensor::DType::q4_k);
  std::vector<std::byte> all(3 * 144), row(144);
  encode_rows(codec, 256, values, importance, all);
  for (size_t r = 0; r < 3; ++r) {
    codec.encode_row(std::span(values).subspan(r * 256, 256), importance, row);
    EXPECT_TRUE(std::equal(row.begin(), row.end(), all.begin() + static_cast<int64_t>(r * 144)));
  }
  EXPECT_THROW(encode_rows(codec, 256, values, importance, row), base::Error);
}

}  // namespace
}  // namespace karat::recipe
