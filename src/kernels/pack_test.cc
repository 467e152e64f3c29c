// Packed weights: as many bytes as stored, and every code in its place.
#include "kernels/packed.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"
#include "codec/codec.h"

namespace karat::kernels {
namespace {

using tensor::DType;

TEST(Pack, TakesTheStoredBytesForWholeGroupsAndLines) {
  EXPECT_EQ(packed_bytes(DType::q4_k, 16, 512), 16 * 2 * 144);
  EXPECT_EQ(packed_bytes(DType::q4_k, 17, 512), 32 * 2 * 144);
  EXPECT_EQ(packed_bytes(DType::q8_0, 3, 64), 16 * 2 * 34);
  EXPECT_EQ(packed_bytes(DType::q8_0, 3, 256 + 32), 16 * 8 * 34 + 16 * 34 + 32);
  EXPECT_EQ(packed_bytes(DType::q6_k, 16, 512), 2 * (16 * 210 + 32));
  EXPECT_FALSE(has_integer_form(DType::f32));
  EXPECT_FALSE(has_integer_form(DType::bf16));
  EXPECT_FALSE(has_integer_form(DType::iq2_xs));
}

// Codes read back from the planes by packed.h's description.
TEST(Pack, PlanesHoldTheStoredCodes) {
  for (const DType type : {DType::q8_0, DType::q4_0, DType::q5_1, DType::q2_k, DType::q3_k,
                           DType::q4_k, DType::q5_k, DType::q6_k}) {
    ASSERT_TRUE(has_integer_form(type));
    const tensor::DTypeInfo& info = tensor::info(type);
    const int64_t rows = 18;
    const int64_t cols = info.block_elems == 32 ? 320 : 512;
    base::Rng rng(1);
    std::vector<float> values(static_cast<size_t>(rows * cols));
    for (float& value : values) value = static_cast<float>(rng.uniform() - 0.5);
    std::vector<std::byte> stored(static_cast<size_t>(rows * tensor::row_bytes(type, cols)));
    const codec::Codec& codec = codec::codec_for(type);
    codec.encode_row(values, {}, stored);
    std::vector<std::byte> packed(static_cast<size_t>(packed_bytes(type, rows, cols)));
    pack_rows(type, stored.data(), rows, cols, packed.data());

    const PackedCodes form = packed_codes(type);
    const auto read = [&](const std::byte* line, int bits, int64_t step, int64_t lane, int64_t j) {
      const auto byte = static_cast<unsigned>(line[4 * lane + j]);
      return byte >> bits * (step % (8 / bits)) & ((1U << bits) - 1);
    };
    std::vector<codec::Code> codes(static_cast<size_t>(info.block_elems));
    const int64_t group_bytes = packed_bytes(type, 16, cols);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t k = 0; k < cols; ++k) {
        const int64_t block = k / info.block_elems;
        codec::Grid grid;
        codec.unpack(stored.data() + r * tensor::row_bytes(type, cols) + block * info.block_bytes,
                     grid, codes.data());
        const std::byte* panel =
            packed.data() + r / 16 * group_bytes + k / 256 * panel_bytes(type, 256);
        const int64_t panel_cols = std::min<int64_t>(256, cols - k / 256 * 256);
        const std::byte* block_at =
            panel + panel_scale_bytes(type, panel_cols) + k % 256 / 32 * code_bytes(form);
        // Lines of low bits in order, each line of high bits before those of its steps.
        const int64_t step = k % 32 / 4;
        const int64_t highs = step * form.high_bits / 8;
        const int64_t lows = step * form.low_bits / 8;
        const int64_t before = form.high_bits == 0 ? 0 : highs + 1;
        unsigned code = read(block_at + 64 * (before + lows), form.low_bits, step, r % 16, k % 4);
        if (form.high_bits > 0) {
          const std::byte* high = block_at + 64 * (highs + highs * form.low_bits / form.high_bits);
          code |= read(high, form.high_bits, step, r % 16, k % 4) << form.low_bits;
        }
        const codec::Code expected = codes[static_cast<size_t>(k % info.block_elems)];
        const bool centred = type != DType::q4_k && type != DType::q5_k && type != DType::q5_1 &&
                             type != DType::q2_k;
        const int middle = centred ? 1 << (form.low_bits + form.high_bits - 1) : 0;
        ASSERT_EQ(static_cast<codec::Code>(code) - middle, expected)
            << info.name << " " << r << " " << k;
      }
    }
    for (size_t at = static_cast<size_t>(group_bytes); at < packed.size(); at += 64) {
      if (form.high_bits == 0 && at < static_cast<size_t>(group_bytes) + 64) {
        EXPECT_EQ(packed[at + 63], std::byte{0}) << info.name;  // row 31 is missing
      }
    }
  }
}

}  // namespace
}  // namespace karat::kernels
