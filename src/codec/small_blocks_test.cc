// The layouts of the legacy, codebook, float and ternary blocks against the formulas of FORMATS.md
// 2.5 and 2.6, written here element by element over raw bytes. Every byte of a block takes all 256
// values while the others are random.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "codec/blocks.h"
#include "codec/codec.h"

namespace karat::codec {
namespace {

using tensor::DType;
using Bytes = std::vector<uint8_t>;

float half_at(const Bytes& b, size_t offset) {
  return base::f16_to_f32(static_cast<uint16_t>(b[offset] | b[offset + 1] << 8));
}

// Element i of n in split halves from byte `offset` on.
int nibble(const Bytes& b, size_t offset, size_t i, size_t n) {
  return i < n / 2 ? b[offset + i] & 15 : b[offset + i - n / 2] >> 4;
}

constexpr float kIq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                            1,    13,   25,  38,  53,  69,  89,  113};
constexpr float kFp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

int five_bits(const Bytes& b, size_t qh, size_t i) {
  return nibble(b, qh + 4, i, 32) | (b[qh + i / 8] >> i % 8 & 1) << 4;
}

float value_q4_0(const Bytes& b, size_t i) {
  return static_cast<float>(nibble(b, 2, i, 32) - 8) * half_at(b, 0);
}
float value_q4_1(const Bytes& b, size_t i) {
  return static_cast<float>(nibble(b, 4, i, 32)) * half_at(b, 0) + half_at(b, 2);
}
float value_q5_0(const Bytes& b, size_t i) {
  return static_cast<float>(five_bits(b, 2, i) - 16) * half_at(b, 0);
}
float value_q5_1(const Bytes& b, size_t i) {
  return static_cast<float>(five_bits(b, 4, i)) * half_at(b, 0) + half_at(b, 2);
}

float value_iq4_nl(const Bytes& b, size_t i) { return half_at(b, 0) * kIq4[nibble(b, 2, i, 32)]; }

float value_iq4_xs(const Bytes& b, size_t i) {
  const size_t k = i / 32;
  const int low = k % 2 == 0 ? b[4 + k / 2] & 15 : b[4 + k / 2] >> 4;
  const int high = (b[2] | b[3] << 8) >> 2 * k & 3;
  const float scale = half_at(b, 0) * static_cast<float>((low | high << 4) - 32);
  return scale * kIq4[nibble(b, 8 + 16 * k, i % 32, 32)];
}

float value_mxfp4(const Bytes& b, size_t i) {
  return kFp4[nibble(b, 1, i, 32)] * static_cast<float>(std::pow(2.0, b[0] - 128));
}

float value_nvfp4(const Bytes& b, size_t i) {
  const int s = b[i / 16];
  double scale = 0;
  if (s != 0 && s != 127) {
    const int exponent = s >> 3 & 15;
    const double mantissa = s & 7;
    scale = exponent == 0 ? mantissa / 512 : (1 + mantissa / 8) * std::pow(2.0, exponent - 7);
  }
  return static_cast<float>(scale / 2) * kFp4[nibble(b, 4 + i / 16 * 8, i % 16, 16)];
}

float value_q1_0(const Bytes& b, size_t i) {
  const float d = half_at(b, 0);
  return (b[2 + i / 8] >> i % 8 & 1) != 0 ? d : -d;
}

float value_q2_0(const Bytes& b, size_t i) {
  return static_cast<float>((b[2 + i / 4] >> 2 * (i % 4) & 3) - 1) * half_at(b, 0);
}

float value_tq1_0(const Bytes& b, size_t i) {
  size_t byte, n;
  if (i < 160) {
    byte = i % 32;
    n = i / 32;
  } else if (i < 240) {
    byte = 32 + (i - 160) % 16;
    n = (i - 160) / 16;
  } else {
    byte = 48 + (i - 240) % 4;
    n = (i - 240) / 4;
  }
  const int powers[] = {1, 3, 9, 27, 81};
  const int trit = static_cast<uint8_t>(b[byte] * powers[n]) * 3 >> 8;
  return static_cast<float>(trit - 1) * half_at(b, 52);
}

float value_tq2_0(const Bytes& b, size_t i) {
  const int code = b[32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3;
  return static_cast<float>(code - 1) * half_at(b, 64);
}

struct Layout {
  DType type;
  float (*value)(const Bytes&, size_t);
};

constexpr Layout kLayouts[] = {
    {DType::q4_0, value_q4_0},   {DType::q4_1, value_q4_1},     {DType::q5_0, value_q5_0},
    {DType::q5_1, value_q5_1},   {DType::iq4_nl, value_iq4_nl}, {DType::iq4_xs, value_iq4_xs},
    {DType::mxfp4, value_mxfp4}, {DType::nvfp4, value_nvfp4},   {DType::q1_0, value_q1_0},
    {DType::q2_0, value_q2_0},   {DType::tq1_0, value_tq1_0},   {DType::tq2_0, value_tq2_0}};

std::vector<float> decoded(const Codec& codec, const Bytes& raw) {
  std::vector<float> values(static_cast<size_t>(codec.block_elems()));
  codec.decode({reinterpret_cast<const std::byte*>(raw.data()), raw.size()}, values);
  return values;
}

Bytes repacked(const Codec& codec, const Bytes& raw) {
  Grid grid;
  std::vector<Code> codes(static_cast<size_t>(codec.block_elems()));
  codec.unpack(reinterpret_cast<const std::byte*>(raw.data()), grid, codes.data());
  Bytes packed(raw.size());
  codec.pack(grid, codes.data(), reinterpret_cast<std::byte*>(packed.data()));
  return packed;
}

void check_block(const Codec& codec, const Layout& layout, const Bytes& raw) {
  const std::vector<float> got = decoded(codec, raw);
  bool sound = true;
  for (size_t i = 0; i < got.size(); ++i) {
    const float want = layout.value(raw, i);
    sound = sound && want == want;
    if (want != want) continue;  // NaN scales: any NaN
    ASSERT_EQ(got[i], want) << codec.info().name << " element " << i;
  }
  // Some values have two spellings (a zero of either sign, bytes that are no five trits): the first
  // packing chooses one, and that one stays.
  const Bytes packed = repacked(codec, raw);
  ASSERT_EQ(repacked(codec, packed), packed) << codec.info().name;
  if (sound) {
    ASSERT_EQ(decoded(codec, packed), got) << codec.info().name;
  }
  const DType type = codec.type();
  if (type != DType::mxfp4 && type != DType::nvfp4 && type != DType::tq1_0) {
    ASSERT_EQ(packed, raw) << codec.info().name;
  }
}

TEST(SmallBlocks, EveryByteMeansWhatTheFormatSays) {
  for (const Layout& layout : kLayouts) {
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

// The encoder writes each of the 243 groups of five trits as the byte that the reference does.
TEST(SmallBlocks, EveryGroupOfTritsIsTheLeastByteAboveItsFraction) {
  const Codec& codec = codec_for(DType::tq1_0);
  for (int number = 0; number < 243; ++number) {
    std::vector<Code> codes(256, -1);
    int digits = number;
    for (int n = 4; n >= 0; --n, digits /= 3)
      codes[static_cast<size_t>(32 * n + 7)] = digits % 3 - 1;
    Bytes packed(54);
    codec.pack({}, codes.data(), reinterpret_cast<std::byte*>(packed.data()));
    ASSERT_EQ(packed[7], static_cast<uint8_t>(std::ceil(number * 256 / 243.0)));
    ASSERT_EQ(packed[6], 0);
  }
}

TEST(SmallBlocks, FindBadBlockSeesEveryScaleThatIsNoNumber) {
  const uint16_t bad_halves[] = {0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xffff};
  struct Field {
    DType type;
    size_t offset;
  };
  for (const Field field :
       {Field{DType::q4_0, 0}, Field{DType::q4_1, 0}, Field{DType::q4_1, 2}, Field{DType::q5_0, 0},
        Field{DType::q5_1, 0}, Field{DType::q5_1, 2}, Field{DType::iq4_nl, 0},
        Field{DType::iq4_xs, 0}, Field{DType::q1_0, 0}, Field{DType::q2_0, 0},
        Field{DType::tq1_0, 52}, Field{DType::tq2_0, 64}}) {
    const Codec& codec = codec_for(field.type);
    const size_t stride = static_cast<size_t>(codec.block_bytes());
    std::vector<std::byte> bytes(3 * stride, std::byte{0x11});
    EXPECT_EQ(codec.find_bad_block(bytes), std::nullopt);
    for (const uint16_t half : bad_halves) {
      std::memcpy(&bytes[stride + field.offset], &half, sizeof half);
      EXPECT_EQ(codec.find_bad_block(bytes), 1) << codec.info().name;
    }
  }
  std::vector<std::byte> mxfp4(3 * 17, std::byte{0xfe});
  EXPECT_EQ(codec_for(DType::mxfp4).find_bad_block(mxfp4), std::nullopt);
  mxfp4[34] = std::byte{0xff};
  EXPECT_EQ(codec_for(DType::mxfp4).find_bad_block(mxfp4), 2);
  const std::vector<std::byte> nvfp4(36, std::byte{0xff});  // every scale byte is a number
  EXPECT_EQ(codec_for(DType::nvfp4).find_bad_block(nvfp4), std::nullopt);
}

}  // namespace
}  // namespace karat::codec
