#include "codec/codec.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/half.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/text.h"
#include "codec/distortion.h"
#include "codec/weights.h"

namespace karat::codec {
namespace {

using tensor::DType;

// Bytes and values that a stock libggml produced (tests/fixtures/goldens/codec/README.md).
class Goldens {
 public:
  static constexpr size_t kRows = 12;
  static constexpr size_t kCols = 1024;

  Goldens() {
    file_ = base::read_file(KARAT_ROOT "/tests/fixtures/goldens/codec/codec.safetensors");
    uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, file_.data(), sizeof header_bytes);
    header_ = base::parse_json(std::string_view(file_).substr(8, header_bytes));
    data_ = 8 + header_bytes;
  }
  std::span<const std::byte> bytes(const std::string& name) const {
    const auto& range = header_.at(name).at("data_offsets").as_array();
    const uint64_t begin = range[0].as_uint();
    return {reinterpret_cast<const std::byte*>(file_.data()) + data_ + begin,
            range[1].as_uint() - begin};
  }
  std::vector<float> floats(const std::string& name) const {
    const auto raw = bytes(name);
    std::vector<float> values(raw.size() / sizeof(float));
    std::memcpy(values.data(), raw.data(), raw.size());
    return values;
  }

 private:
  std::string file_;
  base::Json header_;
  size_t data_ = 0;
};

const Goldens& goldens() {
  static const Goldens instance;
  return instance;
}

// One golden encoding: a type with or without importance.
struct Case {
  DType type;
  const char* golden;   // tensor name without ".bytes"
  bool importance;      // what we are given; the reference's Q8_0 ignores it
  bool reference_rule;  // also compare under the weights the reference minimizes
};
constexpr std::array kCases = {
    Case{DType::q4_0, "Q4_0.noim", false, true},
    Case{DType::q4_0, "Q4_0.im", true, true},
    Case{DType::q4_1, "Q4_1.noim", false, true},
    Case{DType::q4_1, "Q4_1.im", true, true},
    Case{DType::q5_0, "Q5_0.noim", false, true},
    Case{DType::q5_0, "Q5_0.im", true, true},
    Case{DType::q5_1, "Q5_1.noim", false, true},
    Case{DType::q5_1, "Q5_1.im", true, true},
    Case{DType::q8_0, "Q8_0.noim", false, true},
    Case{DType::q8_0, "Q8_0.noim", true, true},
    Case{DType::q2_k, "Q2_K.noim", false, false},
    Case{DType::q2_k, "Q2_K.im", true, true},
    Case{DType::q3_k, "Q3_K.noim", false, false},
    Case{DType::q3_k, "Q3_K.im", true, true},
    Case{DType::q4_k, "Q4_K.noim", false, true},
    Case{DType::q4_k, "Q4_K.im", true, true},
    Case{DType::q5_k, "Q5_K.noim", false, true},
    Case{DType::q5_k, "Q5_K.im", true, true},
    Case{DType::q6_k, "Q6_K.noim", false, false},
    Case{DType::q6_k, "Q6_K.im", true, true},
    Case{DType::iq4_nl, "IQ4_NL.noim", false, false},
    Case{DType::iq4_nl, "IQ4_NL.im", true, true},
    Case{DType::iq4_xs, "IQ4_XS.noim", false, false},
    Case{DType::iq4_xs, "IQ4_XS.im", true, true},
    Case{DType::mxfp4, "MXFP4.noim", false, true},
    Case{DType::mxfp4, "MXFP4.noim", true, true},
    Case{DType::nvfp4, "NVFP4.noim", false, true},
    Case{DType::nvfp4, "NVFP4.noim", true, true},
    Case{DType::tq1_0, "TQ1_0.noim", false, true},
    Case{DType::tq1_0, "TQ1_0.noim", true, true},
    Case{DType::tq2_0, "TQ2_0.noim", false, true},
    Case{DType::tq2_0, "TQ2_0.noim", true, true},
    Case{DType::q1_0, "Q1_0.noim", false, true},
    Case{DType::q1_0, "Q1_0.noim", true, true},
    Case{DType::q2_0, "Q2_0.noim", false, true},
    Case{DType::q2_0, "Q2_0.noim", true, true},
    Case{DType::iq2_xxs, "IQ2_XXS.im", true, true},
    Case{DType::iq2_xs, "IQ2_XS.im", true, true},
    Case{DType::iq2_s, "IQ2_S.noim", false, true},
    Case{DType::iq2_s, "IQ2_S.im", true, true},
    Case{DType::iq3_xxs, "IQ3_XXS.noim", false, true},
    Case{DType::iq3_xxs, "IQ3_XXS.im", true, true},
    Case{DType::iq3_s, "IQ3_S.noim", false, true},
    Case{DType::iq3_s, "IQ3_S.im", true, true},
    Case{DType::iq1_s, "IQ1_S.im", true, true},
    Case{DType::iq1_m, "IQ1_M.noim", false, true},
    Case{DType::iq1_m, "IQ1_M.im", true, true},
};

std::vector<std::byte> encode(const Codec& codec, std::span<const float> x,
                              std::span<const float> importance) {
  std::vector<std::byte> bytes(
      static_cast<size_t>(tensor::row_bytes(codec.type(), static_cast<int64_t>(x.size()))));
  codec.encode_row(x, importance, bytes);
  return bytes;
}

std::vector<float> decode(const Codec& codec, std::span<const std::byte> bytes, size_t n) {
  std::vector<float> values(n);
  codec.decode(bytes, values);
  return values;
}

// Student-like tails: a normal value times a spread of scales.
std::vector<float> random_row(size_t n, uint64_t seed, float scale) {
  base::Rng rng(seed);
  std::vector<float> x(n);
  for (float& value : x) {
    double sum = 0;
    for (int i = 0; i < 12; ++i) sum += rng.uniform();
    value = scale * static_cast<float>((sum - 6) / std::sqrt(rng.uniform() + 0.05));
  }
  return x;
}

std::vector<float> random_importance(size_t n, uint64_t seed) {
  base::Rng rng(seed);
  std::vector<float> q(n);
  for (float& value : q) value = static_cast<float>(std::exp(4 * rng.uniform() - 2));
  return q;
}

TEST(Codec, DecodesTheReferenceBytesExactly) {
  for (const Case& c : kCases) {
    const std::string name = c.golden;
    const std::vector<float> want = goldens().floats(name + ".f32");
    const std::vector<float> got =
        decode(codec_for(c.type), goldens().bytes(name + ".bytes"), want.size());
    EXPECT_EQ(std::memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0) << name;
  }
}

// Error ratios ours / reference; where the reference's error is 0 ours must be 0 too.
class Ratios {
 public:
  void add(size_t row, double ours, double reference) {
    EXPECT_LE(ours, reference);
    const double ratio = reference > 0 ? ours / reference : 0;
    line_ += base::strf(" %5.3f", ratio);
    if (row < 4 || (row >= 7 && row < 10)) log_sum_ += std::log(ratio);
  }
  // The mean is over the seven rows of random values; the others are nearly exact in any encoder.
  std::string line() const { return base::strf("%5.3f |", std::exp(log_sum_ / 7)) + line_; }

 private:
  std::string line_;
  double log_sum_ = 0;
};

TEST(Codec, NeverWorseThanTheReferenceOnTheGoldenRows) {
  const std::vector<float> input = goldens().floats("input");
  const std::vector<float> imatrix = goldens().floats("imatrix");
  std::printf("error ours / reference: geometric mean over random rows | golden rows 0..11\n");
  for (const Case& c : kCases) {
    const Codec& codec = codec_for(c.type);
    const auto reference = goldens().bytes(std::string(c.golden) + ".bytes");
    const size_t stride = reference.size() / Goldens::kRows;
    const std::span<const float> q = c.importance ? std::span(imatrix) : std::span<const float>();
    Ratios plain;
    Ratios ruled;
    for (size_t row = 0; row < Goldens::kRows; ++row) {
      SCOPED_TRACE(base::strf("%s row %zu", c.golden, row));
      const std::span<const float> x =
          std::span(input).subspan(row * Goldens::kCols, Goldens::kCols);
      const std::vector<std::byte> ours = encode(codec, x, q);
      const auto theirs = reference.subspan(row * stride, stride);
      plain.add(row, distortion(codec, x, ours, q).error, distortion(codec, x, theirs, q).error);
      if (!c.reference_rule) continue;
      std::vector<float> w(x.size());
      codec.weigh(x, q, w);
      ruled.add(row, distortion(codec, x, ours, w).error, distortion(codec, x, theirs, w).error);
    }
    const char* mode = c.importance ? "im" : "noim";
    std::printf("%-5s %-4s sum w e^2       %s\n", codec.info().name.data(), mode,
                plain.line().c_str());
    if (c.reference_rule) {
      std::printf("%-5s %-4s search's weight %s\n", codec.info().name.data(), mode,
                  ruled.line().c_str());
    }
  }
}

// The three public steps, driven from outside, give encode_row's bytes; round's values are what the
// bytes decode to; unpack inverts pack.
TEST(Codec, ThreeStepsAreEncodeRow) {
  for (const Codec* codec : codecs()) {
    const size_t n = 512;
    const std::vector<float> x = random_row(n, 3, 0.05F);
    const std::vector<float> q = random_importance(n, 4);
    const std::vector<std::byte> want = encode(*codec, x, q);
    std::vector<float> w(n);
    codec->weigh(x, q, w);
    const size_t elems = static_cast<size_t>(codec->block_elems());
    const size_t stride = static_cast<size_t>(codec->block_bytes());
    std::vector<std::byte> got(want.size());
    std::vector<float> values(n);
    for (size_t b = 0; b < n / elems; ++b) {
      std::array<Code, kBlockElemsMax> codes;
      const Grid grid = codec->choose_grid(&x[b * elems], &w[b * elems]);
      for (size_t i = 0; i < elems; i += static_cast<size_t>(codec->group_elems())) {
        codec->round(grid, static_cast<int>(i), &x[b * elems + i], &w[b * elems + i], &codes[i],
                     &values[b * elems + i]);
      }
      codec->pack(grid, codes.data(), &got[b * stride]);

      Grid unpacked;
      std::array<Code, kBlockElemsMax> unpacked_codes;
      codec->unpack(&got[b * stride], unpacked, unpacked_codes.data());
      EXPECT_TRUE(std::equal(&codes[0], &codes[elems], &unpacked_codes[0]));
      EXPECT_EQ(grid.d, unpacked.d);
      EXPECT_EQ(grid.dmin, unpacked.dmin);
      EXPECT_EQ(grid.scale, unpacked.scale);
      EXPECT_EQ(grid.min, unpacked.min);
      EXPECT_EQ(grid.step, unpacked.step);
      EXPECT_EQ(grid.offset, unpacked.offset);
    }
    EXPECT_EQ(got, want) << codec->info().name;
    EXPECT_EQ(decode(*codec, got, n), values) << codec->info().name;
  }
}

// round must pick the nearest of all codes; the value of each code is found by packing it.
TEST(Codec, RoundPicksTheNearestCode) {
  for (const DType type :
       {DType::q8_0, DType::q2_k, DType::q3_k, DType::q4_k, DType::q5_k, DType::q6_k}) {
    const Codec& codec = codec_for(type);
    const size_t elems = static_cast<size_t>(codec.block_elems());
    const std::vector<float> x = random_row(elems, 5, 1.0F);
    const std::vector<float> w(elems, 1.0F);
    const Grid grid = codec.choose_grid(x.data(), w.data());
    const auto [low, high] = type == DType::q8_0   ? std::pair(-128, 127)
                             : type == DType::q2_k ? std::pair(0, 3)
                             : type == DType::q3_k ? std::pair(-4, 3)
                             : type == DType::q4_k ? std::pair(0, 15)
                             : type == DType::q5_k ? std::pair(0, 31)
                                                   : std::pair(-32, 31);
    for (size_t i = 0; i < elems; ++i) {
      for (const float target : {x[i], 3 * x[i], -100.0F, 100.0F}) {
        Code code;
        float value;
        codec.round(grid, static_cast<int>(i), &target, nullptr, &code, &value);
        const size_t s = i / static_cast<size_t>(codec.sub_elems());
        float nearest = std::numeric_limits<float>::infinity();
        for (Code other = low; other <= high; ++other) {
          const float candidate = grid.step[s] * static_cast<float>(other) - grid.offset[s];
          nearest = std::min(nearest, std::fabs(candidate - target));
        }
        ASSERT_GE(code, low);
        ASSERT_LE(code, high);
        // Codes at a tie may differ in the last place of the division.
        ASSERT_NEAR(std::fabs(value - target), nearest, 4 * 0x1p-24 * (std::fabs(target) + 1));
      }
    }
  }
}

TEST(Codec, PlainFormatsKeepWhatTheyCanHold) {
  for (const DType type : {DType::f32, DType::f16, DType::bf16}) {
    const Codec& codec = codec_for(type);
    const std::vector<float> x = random_row(64, 6, 0.1F);
    const std::vector<float> once = decode(codec, encode(codec, x, {}), x.size());
    EXPECT_EQ(decode(codec, encode(codec, once, {}), x.size()), once);
    for (size_t i = 0; i < x.size(); ++i) {
      const float want = type == DType::f32   ? x[i]
                         : type == DType::f16 ? base::f16_to_f32(base::f32_to_f16(x[i]))
                                              : base::bf16_to_f32(base::f32_to_bf16(x[i]));
      ASSERT_EQ(once[i], want);
    }
  }
}

// A row of values that a format represents exactly, with the top code present, comes back.
TEST(Codec, Q8_0IsIdempotentOnBlocksWithTheTopCode) {
  const Codec& codec = codec_for(DType::q8_0);
  base::Rng rng(8);
  std::vector<float> x(32 * 64);
  for (size_t i = 0; i < x.size(); ++i) {
    const int code = i % 32 == 5 ? 127 : static_cast<int>(rng.below(255)) - 127;
    const float d = base::f16_to_f32(static_cast<uint16_t>(0x1000 + 16 * (i / 32)));
    x[i] = d * static_cast<float>(code);
  }
  EXPECT_EQ(decode(codec, encode(codec, x, {}), x.size()), x);
}

TEST(Codec, ZerosStayZero) {
  for (const Codec* codec : codecs()) {
    const std::vector<float> x(512, 0.0F);
    const std::vector<std::byte> bytes = encode(*codec, x, {});
    EXPECT_EQ(decode(*codec, bytes, x.size()), x) << codec->info().name;
    EXPECT_FALSE(codec->find_bad_block(bytes).has_value());
  }
}

// Sound bytes and an error no larger than half a step of the simplest encoder, for awkward rows.
TEST(Codec, AwkwardRowsEncodeSoundly) {
  std::vector<std::vector<float>> rows;
  rows.push_back(std::vector<float>(256, -0.75F));
  rows.push_back(std::vector<float>(256, 1e-40F));  // denormal
  rows.push_back(random_row(256, 9, 1e-8F));        // below the smallest half
  rows.push_back(random_row(256, 10, 100.0F));
  rows.push_back(random_row(256, 11, 1e-3F));
  rows.back()[17] = 40.0F;  // one outlier
  rows.push_back(random_row(256, 12, 1.0F));
  for (float& value : rows.back()) value = std::fabs(value) + 5;  // far from zero
  rows.push_back(random_row(256, 13, 1.0F));
  for (float& value : rows.back()) value = -std::fabs(value);
  for (const DType type :
       {DType::q8_0, DType::q2_k, DType::q3_k, DType::q4_k, DType::q5_k, DType::q6_k}) {
    const Codec& codec = codec_for(type);
    const double codes = type == DType::q8_0   ? 127
                         : type == DType::q4_k ? 15
                         : type == DType::q3_k ? 3
                         : type == DType::q2_k ? 3
                                               : 31;
    for (const std::vector<float>& x : rows) {
      const std::vector<std::byte> bytes = encode(codec, x, {});
      ASSERT_FALSE(codec.find_bad_block(bytes).has_value());
      float low = 0, high = 0;
      for (const float value : x) {
        low = std::min(low, value);
        high = std::max(high, value);
      }
      // One grid for the block spanning [low, high]: at most a step of error, where the step is
      // (high - low) / codes, plus rounding of scales to 6 bits (of the step times the codes).
      const double step = static_cast<double>(high - low) / codes * (1 + codes / 63);
      const double bound = 256 * step * step + 256 * 0x1p-48;
      EXPECT_LE(distortion(codec, x, bytes, {}).error, bound) << codec.info().name;
    }
  }
}

TEST(Codec, UselessImportancesEncodeAsNone) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const std::vector<float> x = random_row(256, 14, 0.02F);
  for (const DType type : {DType::q8_0, DType::q6_k}) {  // weights are the importances themselves
    const Codec& codec = codec_for(type);
    const std::vector<std::byte> want = encode(codec, x, std::vector<float>(256, 1.0F));
    for (const float useless : {0.0F, -1.0F, kNan, kInf}) {
      EXPECT_EQ(encode(codec, x, std::vector<float>(256, useless)), want) << useless;
    }
  }
  for (const DType type : {DType::q4_k, DType::q5_k}) {
    const Codec& codec = codec_for(type);
    for (const float useless : {0.0F, -1.0F, kNan, kInf, 1e-44F, 3e38F}) {
      const std::vector<std::byte> bytes = encode(codec, x, std::vector<float>(256, useless));
      ASSERT_FALSE(codec.find_bad_block(bytes).has_value());
      // No worse than twice the error without any importance: the search still looks at all values.
      EXPECT_LE(distortion(codec, x, bytes, {}).error,
                2 * distortion(codec, x, encode(codec, x, {}), {}).error)
          << codec.info().name << " " << useless;
    }
  }
}

TEST(Codec, ACommonFactorOfImportancesChangesNothing) {
  const std::vector<float> x = random_row(256, 15, 0.02F);
  std::vector<float> q = random_importance(256, 16);
  for (const Codec* codec : codecs()) {
    const std::vector<std::byte> want = encode(*codec, x, q);
    std::vector<float> scaled = q;
    for (float& value : scaled) value *= 1024;  // a power of two: exact
    EXPECT_EQ(encode(*codec, x, scaled), want) << codec->info().name;
  }
}

std::string error_of(const Codec& codec, const std::vector<float>& x) {
  try {
    encode(codec, x, {});
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::bad_input);
    return error.what();
  }
  return "no error";
}

TEST(Codec, ValuesThatCannotBeStoredAreNamedByColumn) {
  for (const Codec* codec : codecs()) {
    std::vector<float> x(512, 1.0F);
    x[300] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_NE(error_of(*codec, x).find("column 300: value is nan"), std::string::npos);
    x[300] = -std::numeric_limits<float>::infinity();
    EXPECT_NE(error_of(*codec, x).find("column 300: value is -inf"), std::string::npos);
    x[300] = 1.0F;
    EXPECT_EQ(codec->find_out_of_range(x), std::nullopt);
    EXPECT_EQ(error_of(*codec, x), "no error");
    if (codec->type() == DType::f32) continue;
    x[7] = -std::nextafter(codec->range_max(), std::numeric_limits<float>::infinity());
    EXPECT_EQ(codec->find_out_of_range(x), 7);
    EXPECT_NE(error_of(*codec, x).find("column 7: value -"), std::string::npos);
  }
}

// Both ends of the range encode to finite bytes near the value.
TEST(Codec, TheWholeRangeIsStorable) {
  for (const Codec* codec : codecs()) {
    if (codec->type() == DType::q1_0) continue;  // has no code for the zeros beside the value
    if (codec->group_elems() > 1) continue;      // a point has no zeros beside its largest level
    for (const float sign : {1.0F, -1.0F}) {
      std::vector<float> x(512, 0.0F);
      x[9] = sign * codec->range_max();
      const std::vector<std::byte> bytes = encode(*codec, x, {});
      EXPECT_FALSE(codec->find_bad_block(bytes).has_value()) << codec->info().name;
      const float got = decode(*codec, bytes, x.size())[9];
      EXPECT_NEAR(got / x[9], 1, 0.01) << codec->info().name << " " << sign;
    }
  }
}

TEST(Codec, FindBadBlockSeesEveryNonFiniteScale) {
  const uint16_t bad_halves[] = {0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xffff};
  struct Field {
    DType type;
    size_t offset;
  };
  for (const Field field :
       {Field{DType::q8_0, 0}, Field{DType::q4_k, 0}, Field{DType::q4_k, 2}, Field{DType::q5_k, 0},
        Field{DType::q5_k, 2}, Field{DType::q6_k, 208}, Field{DType::q2_k, 80},
        Field{DType::q2_k, 82}, Field{DType::q3_k, 108}, Field{DType::f16, 0}}) {
    const Codec& codec = codec_for(field.type);
    const size_t stride = static_cast<size_t>(codec.block_bytes());
    std::vector<std::byte> bytes(3 * stride, std::byte{0x11});
    EXPECT_EQ(codec.find_bad_block(bytes), std::nullopt);
    for (const uint16_t half : bad_halves) {
      std::memcpy(&bytes[2 * stride + field.offset], &half, sizeof half);
      EXPECT_EQ(codec.find_bad_block(bytes), 2) << codec.info().name;
    }
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::array<std::byte, 8> floats = {};
  std::memcpy(&floats[4], &nan, sizeof nan);
  EXPECT_EQ(codec_for(DType::f32).find_bad_block(floats), 1);
  EXPECT_EQ(codec_for(DType::bf16).find_bad_block(floats), 3);
}

TEST(Codec, UnknownTypesAreRefusedByName) {
  EXPECT_EQ(find_codec(DType::i32), nullptr);
  try {
    codec_for(DType::i32);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::unsupported);
    EXPECT_NE(std::string(error.what()).find("i32"), std::string::npos);
  }
}

}  // namespace
}  // namespace karat::codec
