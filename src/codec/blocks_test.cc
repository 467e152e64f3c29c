// The block layouts against the formulas of FORMATS.md 2.3 and 2.4, written here element by element
// over raw bytes. Every byte of a block takes all 256 values while the others are random, so each
// bit of each field is seen at each position.
#include "codec/blocks.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "codec/codec.h"

namespace karat::codec {
namespace {

using tensor::DType;
using Bytes = std::vector<uint8_t>;

float half_at(const Bytes& b, size_t offset) {
  return base::f16_to_f32(static_cast<uint16_t>(b[offset] | b[offset + 1] << 8));
}

float value_q8_0(const Bytes& b, size_t i) {
  return static_cast<float>(static_cast<int8_t>(b[2 + i])) * half_at(b, 0);
}

float value_affine(const Bytes& b, size_t i, int code) {
  const size_t j = i / 32;
  const uint8_t* sc = &b[4];
  const int s = j < 4 ? sc[j] & 63 : (sc[j + 4] & 15) | (sc[j - 4] >> 6) << 4;
  const int m = j < 4 ? sc[j + 4] & 63 : (sc[j + 4] >> 4) | (sc[j] >> 6) << 4;
  const float scale = half_at(b, 0) * static_cast<float>(s);
  const float min = half_at(b, 2) * static_cast<float>(m);
  return scale * static_cast<float>(code) - min;
}

float value_q4_k(const Bytes& b, size_t i) {
  const uint8_t byte = b[16 + 32 * (i / 64) + i % 32];
  return value_affine(b, i, i % 64 >= 32 ? byte >> 4 : byte & 15);
}

float value_q5_k(const Bytes& b, size_t i) {
  const uint8_t byte = b[48 + 32 * (i / 64) + i % 32];
  const int low = i % 64 >= 32 ? byte >> 4 : byte & 15;
  return value_affine(b, i, low | (b[16 + i % 32] >> (i / 32) & 1) << 4);
}

float value_q6_k(const Bytes& b, size_t i) {
  const size_t n = i / 128;
  const size_t r = i % 128;
  const uint8_t byte = b[64 * n + r % 64];
  const int low = r >= 64 ? byte >> 4 : byte & 15;
  const int high = b[128 + 32 * n + r % 32] >> 2 * (r / 32) & 3;
  const float scale = half_at(b, 208) * static_cast<float>(static_cast<int8_t>(b[192 + i / 16]));
  return scale * static_cast<float>((low | high << 4) - 32);
}

float value_q2_k(const Bytes& b, size_t i) {
  const int code = b[16 + 32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3;
  const uint8_t pair = b[i / 16];
  const float scale = half_at(b, 80) * static_cast<float>(pair & 15);
  return scale * static_cast<float>(code) - half_at(b, 82) * static_cast<float>(pair >> 4);
}

float value_q3_k(const Bytes& b, size_t i) {
  const int low = b[32 + 32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3;
  const int high = b[i % 32] >> (i / 32) & 1;
  const size_t j = i / 16;
  const uint8_t* sc = &b[96];
  const int low4 = j < 8 ? sc[j] & 15 : sc[j - 8] >> 4;
  const int scale = (low4 | (sc[8 + j % 4] >> 2 * (j / 4) & 3) << 4) - 32;
  return half_at(b, 108) * static_cast<float>(scale) * static_cast<float>(low - (high ? 0 : 4));
}

struct Layout {
  DType type;
  float (*value)(const Bytes&, size_t);
};

void check_block(const Codec& codec, const Layout& layout, const Bytes& raw) {
  const std::byte* bytes = reinterpret_cast<const std::byte*>(raw.data());
  std::vector<float> got(static_cast<size_t>(codec.block_elems()));
  codec.decode({bytes, raw.size()}, got);
  for (size_t i = 0; i < got.size(); ++i) {
    const float want = layout.value(raw, i);
    if (want != want) continue;  // NaN scales: any NaN
    ASSERT_EQ(got[i], want) << codec.info().name << " element " << i;
  }
  Grid grid;
  std::vector<Code> codes(got.size());
  codec.unpack(bytes, grid, codes.data());
  std::vector<std::byte> packed(raw.size());
  codec.pack(grid, codes.data(), packed.data());
  ASSERT_EQ(std::memcmp(packed.data(), bytes, raw.size()), 0) << codec.info().name;
}

TEST(Blocks, EveryByteMeansWhatTheFormatSays) {
  for (const Layout layout : {Layout{DType::q8_0, value_q8_0}, Layout{DType::q4_k, value_q4_k},
                              Layout{DType::q5_k, value_q5_k}, Layout{DType::q2_k, value_q2_k},
                              Layout{DType::q3_k, value_q3_k}, Layout{DType::q6_k, value_q6_k}}) {
    const Codec& codec = codec_for(layout.type);
    base::Rng rng(1);
    Bytes raw(static_cast<size_t>(codec.block_bytes()));
    for (size_t at = 0; at < raw.size(); ++at) {
      for (uint8_t& byte : raw) byte = static_cast<uint8_t>(rng.next());
      for (int value = 0; value < 256; ++value) {
        raw[at] = static_cast<uint8_t>(value);
        ASSERT_NO_FATAL_FAILURE(check_block(codec, layout, raw));
      }
    }
  }
}

TEST(Blocks, DecodeNeedsNoAlignment) {
  const Codec& codec = codec_for(DType::q6_k);
  std::vector<std::byte> bytes(211, std::byte{0x2b});
  std::vector<float> odd(256);
  std::vector<float> even(256);
  codec.decode({&bytes[1], 210}, odd);
  codec.decode({&bytes[0], 210}, even);
  EXPECT_EQ(odd, even);
}

}  // namespace
}  // namespace karat::codec
