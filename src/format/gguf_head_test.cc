#include "format/gguf_head.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "base/error.h"
#include "support/hostile.h"

namespace karat::format {
namespace {

using base::Error;
using base::ErrorKind;
using test::GgufParts;
using test::kv;
using test::kv_u32;
using test::raw;
using test::raw_array;
using test::raw_string;
using test::small_gguf;
using test::tensor_entry;

std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

GgufHead parse(const std::string& file) { return parse_gguf_head(as_bytes(file), "x.gguf"); }

// "" if the file is accepted, else its message; anything but the two kinds fails the test.
std::string refusal(const std::string& file) {
  try {
    parse(file);
    return "";
  } catch (const Error& error) {
    EXPECT_TRUE(error.kind() == ErrorKind::bad_input || error.kind() == ErrorKind::unsupported)
        << error.what();
    return error.what();
  }
}

TEST(GgufHead, ReadsAllThirteenKindsOfValues) {
  GgufParts parts;
  parts.keys = {
      kv("u8", 0, raw(uint8_t{200})),
      kv("i8", 1, raw(int8_t{-100})),
      kv("u16", 2, raw(uint16_t{60000})),
      kv("i16", 3, raw(int16_t{-30000})),
      kv("u32", 4, raw(uint32_t{1u << 31})),
      kv("i32", 5, raw(int32_t{-5})),
      kv("f32", 6, raw(1.5f)),
      kv("bool", 7, raw(uint8_t{1})),
      kv("string", 8, raw_string("\xff\n")),
      kv("u64", 10, raw(uint64_t{1} << 63)),
      kv("i64", 11, raw(int64_t{-6})),
      kv("f64", 12, raw(0.1)),
      kv("bools", 9, raw_array(7, 3, std::string("\1\0\1", 3))),
      kv("strings", 9, raw_array(8, 2, raw_string("") + raw_string("b"))),
      kv("u64s", 9, raw_array(10, 2, raw(uint64_t{7}) + raw(uint64_t{8}))),
      kv("none", 9, raw_array(6, 0, "")),
  };
  const Metadata keys = parse(parts.str()).metadata;
  const std::vector<std::pair<std::string, Value>> expected = {
      {"u8", uint8_t{200}},
      {"i8", int8_t{-100}},
      {"u16", uint16_t{60000}},
      {"i16", int16_t{-30000}},
      {"u32", uint32_t{1u << 31}},
      {"i32", int32_t{-5}},
      {"f32", 1.5f},
      {"bool", true},
      {"string", "\xff\n"},
      {"u64", uint64_t{1} << 63},
      {"i64", int64_t{-6}},
      {"f64", 0.1},
      {"bools", std::vector<bool>{true, false, true}},
      {"strings", std::vector<std::string>{"", "b"}},
      {"u64s", std::vector<uint64_t>{7, 8}},
      {"none", std::vector<float>{}},
  };
  ASSERT_EQ(keys.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(keys.entries()[i].key, expected[i].first);
    EXPECT_EQ(keys.entries()[i].value, expected[i].second) << expected[i].first;
  }
}

TEST(GgufHead, GivesShapesInPyTorchOrderAndPlaces) {
  const GgufHead head = parse(small_gguf().str());
  ASSERT_EQ(head.tensors.size(), 2u);
  EXPECT_EQ(head.tensors[0].shape, tensor::Shape({2, 4}));
  EXPECT_EQ(head.tensors[1].dtype, tensor::DType::bf16);
  EXPECT_EQ(head.offsets[0], head.data_offset);
  EXPECT_EQ(head.offsets[1], head.data_offset + 32);
  EXPECT_EQ(head.data_bytes, 64u);
  EXPECT_EQ(head.data_offset % 32, 0u);
}

TEST(GgufHead, VersionTwoIsTheSame) {
  GgufParts parts = small_gguf();
  parts.version = 2;
  EXPECT_EQ(parse(parts.str()).version, 2u);
}

TEST(GgufHead, HonoursTheAlignment) {
  GgufParts parts = small_gguf();
  parts.keys.push_back(kv_u32("general.alignment", 64));
  parts.alignment = 64;
  parts.tensors[1] = tensor_entry("b", {8}, 30, 64);
  parts.data.resize(128, '\0');
  const GgufHead head = parse(parts.str());
  EXPECT_EQ(head.alignment, 64u);
  EXPECT_EQ(head.data_offset % 64, 0u);
  EXPECT_EQ(head.data_bytes, 128u);
}

TEST(GgufHead, WithoutTensorsNothingIsPadded) {
  GgufParts parts;
  parts.keys = {kv_u32("a", 1)};
  const std::string file = parts.str();
  EXPECT_EQ(parse(file).data_offset, file.size());
}

TEST(GgufHead, HostileFilesAreRefusedInWords) {
  for (const test::HostileFile& file : test::hostile_gguf()) {
    // Keys of shards are looked at by GgufSource.
    if (file.name.starts_with("split-")) continue;
    const std::string message = refusal(file.bytes);
    EXPECT_NE(message.find("x.gguf: "), std::string::npos) << file.name << ": " << message;
    EXPECT_NE(message.find(file.words), std::string::npos) << file.name << ": " << message;
    EXPECT_EQ(message.find('\x1b'), std::string::npos) << file.name;
    EXPECT_EQ(message.find('\n'), std::string::npos) << file.name;
  }
}

TEST(GgufHead, EveryPrefixIsRefused) {
  const std::string file = small_gguf().str();
  ASSERT_EQ(refusal(file), "");
  for (size_t length = 0; length < file.size(); ++length) {
    // A copy of its own, so that the sanitizer sees a read past the end.
    const std::vector<char> prefix(file.begin(),
                                   file.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_NE(refusal(std::string(prefix.data(), prefix.size())), "") << length;
  }
}

TEST(GgufHead, EveryFlippedBitReadsOrIsRefused) {
  const std::string file = small_gguf().str();
  const size_t head_bytes = parse(file).data_offset;
  int refused = 0;
  for (size_t bit = 0; bit < head_bytes * 8; ++bit) {
    std::string flipped = file;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    refused += refusal(flipped) != "";
  }
  // What may change unnoticed are letters of names, values and padding: less than half of the bits.
  EXPECT_GT(refused, static_cast<int>(head_bytes * 8 / 2));
}

TEST(GgufHead, HugeCountsCostNoMemory) {
  const auto peak_kib = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  const long before = peak_kib();
  for (const test::HostileFile& file : test::hostile_gguf_heads()) refusal(file.bytes);
  for (const test::HostileFile& file : test::hostile_gguf_keys()) refusal(file.bytes);
  EXPECT_LT(peak_kib() - before, 16 * 1024);
}

TEST(GgufHead, ManyKeysTakeLinearTime) {
  GgufParts parts;
  for (int i = 0; i < 300'000; ++i) parts.keys.push_back(kv_u32("k" + std::to_string(i), 1));
  const std::string file = parts.str();
  // A pairwise comparison of the keys (4.5e10 steps) would not come back.
  EXPECT_EQ(parse(file).metadata.size(), 300'000u);
  parts.keys.resize(1);
  parts.key_count = kGgufEntriesMax + 1;
  parts.keys[0] += std::string(14 * kGgufEntriesMax, '\0');
  EXPECT_NE(refusal(parts.str()).find("at most 1048576 are supported"), std::string::npos);
}

}  // namespace
}  // namespace karat::format
