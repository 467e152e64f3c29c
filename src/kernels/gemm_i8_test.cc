// The integer product against its definition, written here on the codecs' own codes and scales:
// equal bits on every instruction set, for every type, for any number of rows.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "codec/codec.h"
#include "kernels/dispatch.h"
#include "support/buffers.h"

namespace karat::kernels {
namespace {

using tensor::DType;

constexpr DType kTypes[] = {DType::q8_0,   DType::q4_0,   DType::q4_1, DType::q5_0, DType::q5_1,
                            DType::q2_k,   DType::q3_k,   DType::q4_k, DType::q5_k, DType::q6_k,
                            DType::iq4_nl, DType::iq4_xs, DType::mxfp4};

// Stored rows of any bit pattern with finite scales, so that every code and scale occurs.
struct Weights {
  DType type;
  int64_t rows, cols;
  std::vector<std::byte> stored, packed;

  Weights(DType of_type, int64_t row_count, int64_t col_count, uint64_t seed)
      : type(of_type), rows(row_count), cols(col_count) {
    const codec::Codec& codec = codec::codec_for(type);
    base::Rng rng(seed);
    const auto block_bytes = static_cast<size_t>(tensor::info(type).block_bytes);
    std::vector<std::byte> block(block_bytes);
    const auto bytes = static_cast<size_t>(rows * tensor::row_bytes(type, cols));
    while (stored.size() < bytes) {
      for (std::byte& b : block) b = static_cast<std::byte>(rng.below(256));
      if (codec.find_bad_block(block)) continue;
      codec::Grid grid;
      std::vector<codec::Code> codes(static_cast<size_t>(tensor::info(type).block_elems));
      codec.unpack(block.data(), grid, codes.data());
      if (std::fabs(grid.step[0]) < 1e12F) stored.insert(stored.end(), block.begin(), block.end());
    }
    packed.resize(static_cast<size_t>(packed_bytes(type, rows, cols)), std::byte{0xee});
    pack_rows(type, stored.data(), rows, cols, packed.data());
  }

  // One row's codes, and per `sub` columns scale and offset.
  struct Row {
    std::vector<int32_t> codes;
    std::vector<float> scale, offset;
    int64_t sub;
    bool affine;
  };
  Row row(int64_t r) const {
    const codec::Codec& codec = codec::codec_for(type);
    const tensor::DTypeInfo& info = tensor::info(type);
    const bool halves = type == DType::q2_k || type == DType::q3_k || type == DType::q6_k;
    Row out;
    out.sub = halves ? 16 : 32;
    out.affine = type == DType::q2_k || type == DType::q4_k || type == DType::q5_k ||
                 type == DType::q4_1 || type == DType::q5_1;
    out.codes.resize(static_cast<size_t>(cols));
    const std::byte* bytes = stored.data() + r * tensor::row_bytes(type, cols);
    for (int64_t k = 0; k < cols; k += info.block_elems, bytes += info.block_bytes) {
      codec::Grid grid;
      codec.unpack(bytes, grid, out.codes.data() + k);
      for (int64_t s = 0; s < info.block_elems / out.sub; ++s) {
        out.scale.push_back(grid.step[static_cast<size_t>(s)]);
        out.offset.push_back(-grid.offset[static_cast<size_t>(s)]);
      }
    }
    return out;
  }
};

struct QuantizedRow {
  std::vector<int32_t> codes;
  std::vector<float> scale;
  explicit QuantizedRow(const float* x, int64_t cols) {
    for (int64_t k = 0; k < cols; k += 32) {
      float most = 0;
      for (int64_t i = k; i < k + 32; ++i) most = std::fmax(most, std::fabs(x[i]));
      scale.push_back(most / 127.0F);
      const float inverse = most > 0 ? 127.0F / most : 0;
      for (int64_t i = k; i < k + 32; ++i) {
        codes.push_back(static_cast<int32_t>(std::nearbyint(x[i] * inverse)));
      }
    }
  }
};

// packed.h's definition.
float dot_by_contract(const Weights::Row& w, const QuantizedRow& x) {
  float y = 0;
  const auto cols = static_cast<int64_t>(w.codes.size());
  for (int64_t k = 0; k < cols; k += 32) {
    const float xs = x.scale[static_cast<size_t>(k / 32)];
    float part = 0;
    for (int64_t from = k; from < k + 32; from += w.sub) {
      int32_t n = 0, sum = 0;
      for (int64_t i = from; i < from + w.sub; ++i) {
        n += w.codes[static_cast<size_t>(i)] * x.codes[static_cast<size_t>(i)];
        sum += x.codes[static_cast<size_t>(i)];
      }
      const float ws = w.scale[static_cast<size_t>(from / w.sub)];
      const float wo = w.offset[static_cast<size_t>(from / w.sub)];
      if (w.sub == 32) {
        y = std::fma(static_cast<float>(n), ws * xs, y);
        if (w.affine) y = std::fma(wo, xs * static_cast<float>(sum), y);
      } else {
        part = from == k ? static_cast<float>(n) * ws : std::fma(static_cast<float>(n), ws, part);
        if (w.affine) part = std::fma(wo, static_cast<float>(sum), part);
      }
    }
    if (w.sub == 16) y = std::fma(part, xs, y);
  }
  return y;
}

std::vector<float> random_rows(int64_t count, uint64_t seed) {
  base::Rng rng(seed);
  std::vector<float> x(static_cast<size_t>(count));
  for (float& value : x) {
    value = static_cast<float>((rng.uniform() - 0.5) * std::exp(8 * rng.uniform()));
  }
  return x;
}

// [rows, features + 1], the last column not written.
std::vector<float> product(const KernelTable& t, const Weights& w, const std::vector<float>& x,
                           int64_t first, int64_t rows) {
  const int64_t panels = panels_of(w.cols);
  std::vector<QuantizedBlock> blocks(static_cast<size_t>(rows * panels));
  std::vector<const QuantizedBlock*> pointers;
  for (int64_t r = 0; r < rows; ++r) {
    t.quantize_row(x.data() + (first + r) * w.cols, w.cols,
                   &blocks[static_cast<size_t>(r * panels)]);
    pointers.push_back(&blocks[static_cast<size_t>(r * panels)]);
  }
  std::vector<std::byte> tiles(blocks.size() * sizeof(QuantizedBlock));
  t.tile_rows(pointers.data(), rows, panels, tiles.data());
  std::vector<float> y(static_cast<size_t>(rows * (w.rows + 1)), -7.0F);
  t.gemm_i8({w.type, w.packed.data(), w.rows, w.cols, tiles.data(), rows, y.data(), w.rows + 1});
  return y;
}

class IntegerProducts : public testing::TestWithParam<DType> {
 protected:
  // Whole panels, and for types of 32-element blocks a shorter last one.
  static int64_t some_cols(int64_t panels) {
    return 256 * panels + (tensor::info(GetParam()).block_elems == 32 ? 96 : 0);
  }
};

TEST_P(IntegerProducts, AreTheDefinitionsBits) {
  for (const int64_t features : {1, 16, 37}) {
    const Weights w(GetParam(), features, some_cols(2), 3);
    const int64_t rows = 31;
    const std::vector<float> x = random_rows(rows * w.cols, 4);
    std::vector<QuantizedRow> quantized;
    for (int64_t r = 0; r < rows; ++r)
      quantized.emplace_back(&x[static_cast<size_t>(r * w.cols)], w.cols);
    for (const KernelTable* t : supported_tables()) {
      const std::vector<float> y = product(*t, w, x, 0, rows);
      for (int64_t f = 0; f < features; ++f) {
        const Weights::Row row = w.row(f);
        for (int64_t r = 0; r < rows; ++r) {
          const float expected = dot_by_contract(row, quantized[static_cast<size_t>(r)]);
          const float seen = y[static_cast<size_t>(r * (features + 1) + f)];
          ASSERT_TRUE(test::same_bits(&seen, &expected, 1))
              << t->name << " row " << r << " feature " << f << ": " << seen << " " << expected;
        }
      }
      for (int64_t r = 0; r < rows; ++r) {
        ASSERT_EQ(y[static_cast<size_t>(r * (features + 1) + features)], -7.0F);
      }
    }
  }
}

// Every way of cutting rows into tiles and blocks.
TEST_P(IntegerProducts, OfARowDoNotDependOnItsNeighbours) {
  const Weights w(GetParam(), 19, some_cols(1), 5);
  const std::vector<float> x = random_rows(300 * w.cols, 6);
  for (const KernelTable* t : supported_tables()) {
    const std::vector<float> all = product(*t, w, x, 0, 300);
    for (const int64_t rows : {1, 2, 3, 4, 5, 7, 11, 12, 13, 16, 23, 24, 193}) {
      const int64_t first = 299 - rows;
      const std::vector<float> some = product(*t, w, x, first, rows);
      ASSERT_TRUE(std::equal(some.begin(), some.end(), all.begin() + first * 20)) << rows;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, IntegerProducts, testing::ValuesIn(kTypes), [](const auto& type) {
  return std::string(tensor::info(type.param).name);
});

// The largest codes on both sides: sums of 16 bits would overflow first.
TEST(IntegerProduct, ExtremeCodesDoNotSaturate) {
  for (const DType type : kTypes) {
    Weights w(type, 16, 256, 7);
    for (const int fill : {0x00, 0x7f, 0x80, 0xff}) {
      const codec::Codec& codec = codec::codec_for(type);
      const auto block_bytes = static_cast<size_t>(tensor::info(type).block_bytes);
      std::fill(w.stored.begin(), w.stored.end(), static_cast<std::byte>(fill));
      for (size_t at = 0; at < w.stored.size(); at += block_bytes) {
        codec::Grid grid;
        std::vector<codec::Code> codes(static_cast<size_t>(tensor::info(type).block_elems));
        codec.unpack(w.stored.data() + at, grid, codes.data());
        grid.d = base::f32_to_f16(0.5F);
        grid.dmin = base::f32_to_f16(0.25F);
        codec.pack(grid, codes.data(), w.stored.data() + at);
      }
      pack_rows(type, w.stored.data(), 16, 256, w.packed.data());
      for (const float sign : {1.0F, -1.0F}) {
        const std::vector<float> x(256, sign);
        const float expected = dot_by_contract(w.row(3), QuantizedRow(x.data(), 256));
        for (const KernelTable* t : supported_tables()) {
          ASSERT_EQ(product(*t, w, x, 0, 1)[3], expected)
              << t->name << " " << tensor::info(type).name << " " << fill;
        }
      }
    }
  }
}

TEST(QuantizeRow, IsTheDefinition) {
  std::vector<float> x = random_rows(288, 8);
  std::fill(x.begin() + 32, x.begin() + 64, 0.0F);
  std::fill(x.begin() + 64, x.begin() + 96, 1e-38F);
  const QuantizedRow expected(x.data(), 288);
  for (const KernelTable* t : supported_tables()) {
    std::vector<QuantizedBlock> blocks(2);
    t->quantize_row(x.data(), 288, blocks.data());
    for (size_t k = 0; k < 512; ++k) {
      const QuantizedBlock& block = blocks[k / 256];
      const bool zero = k >= 288 || (k >= 32 && k < 96);
      ASSERT_EQ(block.code[k % 256], zero ? 0 : expected.codes[k]) << t->name << " " << k;
      if (k % 32 != 0) continue;
      const size_t b = k % 256 / 32;
      ASSERT_EQ(block.scale[b], zero ? 0 : expected.scale[k / 32]);
      int32_t sums[2] = {0, 0};
      for (size_t i = 0; i < 32; ++i) sums[i / 16] += block.code[k % 256 + i];
      ASSERT_EQ(block.minus_sum16[2 * b], -sums[0]);
      ASSERT_EQ(block.minus_sum16[2 * b + 1], -sums[1]);
      ASSERT_EQ(block.minus_sum32[b], -sums[0] - sums[1]);
      ASSERT_EQ(block.product[b], block.scale[b] * static_cast<float>(sums[0] + sums[1]));
    }
  }
}

TEST(QuantizeRow, NanAndInfinityReachTheOutput) {
  const Weights w(DType::q4_k, 16, 256, 9);
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    for (const size_t at : {0U, 37U, 255U}) {
      std::vector<float> x = random_rows(256, 10);
      x[at] = bad;
      for (const KernelTable* t : supported_tables()) {
        EXPECT_TRUE(std::isnan(product(*t, w, x, 0, 1)[5])) << t->name;
      }
    }
  }
}

}  // namespace
}  // namespace karat::kernels
