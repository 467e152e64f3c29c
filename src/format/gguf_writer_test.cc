#include "format/gguf_writer.h"

#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "base/error.h"
#include "base/rng.h"
#include "format/gguf.h"
#include "support/files.h"

namespace karat::format {
namespace {

using base::Error;
using base::ErrorKind;
using tensor::DType;
using tensor::TensorInfo;
using test::TempDir;

Metadata some_keys() {
  Metadata keys;
  keys.set("general.architecture", "qwen35moe");
  keys.set("flag", true);
  keys.set("numbers", std::vector<int32_t>{1, -2, 3});
  keys.set("flags", std::vector<bool>{true, false});
  keys.set("strings", std::vector<std::string>{"", "two", "\xc3\xa9"});
  return keys;
}

std::vector<TensorInfo> some_tensors() {
  return {{"a", DType::f32, {3, 5}}, {"b", DType::q8_0, {2, 4, 64}}, {"c", DType::bf16, {7}}};
}

std::vector<std::byte> pattern(size_t count, uint64_t seed) {
  base::Rng rng(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng.next());
  return bytes;
}

void fill(GgufWriter& writer) {
  for (size_t t = 0; t < writer.tensors().size(); ++t) {
    writer.write(t, pattern(static_cast<size_t>(writer.tensors()[t].bytes()), t));
  }
}

void expect_pattern(const GgufSource& source, const std::vector<TensorInfo>& tensors) {
  ASSERT_EQ(source.tensors().size(), tensors.size());
  for (size_t t = 0; t < tensors.size(); ++t) {
    const TensorInfo& info = source.tensors()[t];
    EXPECT_EQ(info.name, tensors[t].name);
    EXPECT_EQ(info.dtype, tensors[t].dtype);
    EXPECT_EQ(info.shape, tensors[t].shape);
    std::vector<std::byte> bytes(static_cast<size_t>(info.bytes()));
    source.read(info, bytes);
    EXPECT_EQ(bytes, pattern(bytes.size(), t));
  }
}

ErrorKind kind_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorKind::internal;
}

TEST(GgufWriter, RoundTrip) {
  const TempDir folder;
  const std::string path = folder.path("x.gguf");
  GgufWriter writer(path, some_keys(), some_tensors());
  fill(writer);
  EXPECT_FALSE(base::file_exists(path));
  writer.commit();
  const GgufSource source(path);
  EXPECT_EQ(source.metadata(), some_keys());
  expect_pattern(source, some_tensors());
  EXPECT_EQ(test::read_bytes(path).size(), writer.layout().file_bytes());
  EXPECT_EQ(folder.file_count(), 1u);
}

TEST(GgufWriter, OrderAndThreadsDoNotMatter) {
  const TempDir folder;
  const std::vector<TensorInfo> tensors = {{"big", DType::f32, {64, 16}},
                                           {"odd", DType::f16, {9, 3}}};
  GgufWriter plain(folder.path("plain.gguf"), some_keys(), tensors);
  fill(plain);
  plain.commit();
  GgufWriter mixed(folder.path("mixed.gguf"), some_keys(), tensors);
  std::vector<std::thread> threads;
  for (int64_t worker = 0; worker < 4; ++worker) {
    threads.emplace_back([&, worker] {
      for (const size_t t : {size_t{1}, size_t{0}}) {
        const std::vector<std::byte> bytes = pattern(static_cast<size_t>(tensors[t].bytes()), t);
        const auto row_bytes = static_cast<size_t>(tensors[t].row_bytes());
        // Row 63, 59, ... of worker 3; one row at a time, backwards.
        for (int64_t row = tensors[t].shape.rows() - 1; row >= 0; --row) {
          if (row % 4 != worker) continue;
          mixed.write_rows(
              t, row, std::span(bytes).subspan(static_cast<size_t>(row) * row_bytes, row_bytes));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  mixed.commit();
  EXPECT_TRUE(test::read_bytes(folder.path("plain.gguf")) ==
              test::read_bytes(folder.path("mixed.gguf")));
}

TEST(GgufWriter, MissingOrRepeatedRowsAreInternalErrors) {
  const TempDir folder;
  const std::vector<std::byte> row = pattern(20, 0), two = pattern(40, 0);
  {
    GgufWriter writer(folder.path("x.gguf"), {}, {{"a", DType::f32, {4, 5}}});
    writer.write_rows(0, 0, row);
    writer.write_rows(0, 2, two);
    EXPECT_EQ(kind_of([&] { writer.commit(); }), ErrorKind::internal);
    EXPECT_EQ(kind_of([&] { writer.write_rows(0, 0, row); }), ErrorKind::internal);
    EXPECT_EQ(kind_of([&] { writer.write_rows(0, 1, two); }), ErrorKind::internal);
    EXPECT_EQ(kind_of([&] { writer.write_rows(0, 3, row); }), ErrorKind::internal);
    EXPECT_EQ(kind_of([&] { writer.write_rows(0, 4, row); }), ErrorKind::internal);
    EXPECT_EQ(kind_of([&] { writer.write_rows(0, 1, std::span(row).first(19)); }),
              ErrorKind::internal);
    writer.write_rows(0, 1, row);
  }
  // Never committed: nothing is left.
  EXPECT_EQ(folder.file_count(), 0u);
}

TEST(GgufWriter, PaddingIsZeroAndComplete) {
  const TempDir folder;
  const std::string path = folder.path("x.gguf");
  GgufWriter writer(path, {}, {{"a", DType::bf16, {3}}, {"b", DType::bf16, {3}}});
  fill(writer);
  writer.commit();
  const std::string bytes = test::read_bytes(path);
  const GgufSource source(path);
  ASSERT_EQ(bytes.size(), source.place(source.at("a")).offset + 64);
  for (const char* name : {"a", "b"}) {
    for (size_t i = 6; i < 32; ++i) {
      EXPECT_EQ(bytes[source.place(source.at(name)).offset + i], 0) << name << i;
    }
  }
}

TEST(GgufWriter, UnitDimensionsAsAskedFor) {
  const std::vector<TensorInfo> tensors = {{"a", DType::f32, {1, 64}},
                                           {"b", DType::f32, {1, 1, 1}},
                                           {"c", DType::f32, {8, 1}},
                                           {"s", DType::f32, {}}};
  const auto shapes = [&](bool drop) {
    const TempDir folder;
    GgufWriter writer(folder.path("x.gguf"), {}, tensors, {.drop_unit_dims = drop});
    fill(writer);
    writer.commit();
    const GgufSource source(folder.path("x.gguf"));
    std::string text;
    for (const TensorInfo& info : source.tensors()) text += info.shape.str();
    return text;
  };
  EXPECT_EQ(shapes(false), "[1, 64][1, 1, 1][8, 1][1]");
  EXPECT_EQ(shapes(true), "[64][1][8, 1][1]");
}

TEST(GgufWriter, HonoursTheAlignment) {
  const TempDir folder;
  Metadata keys;
  keys.set("general.alignment", uint32_t{256});
  GgufWriter writer(folder.path("x.gguf"), keys, some_tensors());
  fill(writer);
  writer.commit();
  const GgufSource source(folder.path("x.gguf"));
  EXPECT_EQ(source.alignment(), 256u);
  EXPECT_EQ(source.place(source.at("b")).offset % 256, 0u);
  expect_pattern(source, some_tensors());
}

TEST(GgufWriter, WhatGgufCannotHoldIsRefused) {
  const auto refused = [](std::vector<TensorInfo> tensors, const Metadata& keys = {}) {
    return kind_of([&] { GgufLayout(keys, tensors); }) == ErrorKind::bad_input;
  };
  EXPECT_TRUE(refused({{std::string(64, 'n'), DType::f32, {4}}}));
  EXPECT_TRUE(refused({{"", DType::f32, {4}}}));
  EXPECT_TRUE(refused({{"a", DType::f32, {4}}, {"a", DType::f32, {4}}}));
  EXPECT_TRUE(refused({{"a", DType::f32, {1, 1, 1, 1, 4}}}));
  EXPECT_TRUE(refused({{"a", DType::f32, {0, 4}}}));
  EXPECT_TRUE(refused({{"a", DType::q4_k, {2, 128}}}));
  Metadata keys;
  keys.set("general.alignment", uint32_t{3});
  EXPECT_TRUE(refused({}, keys));
}

// Splitting: 32 F32 elements are 128 bytes; limits count padded tensor bytes only.
std::vector<TensorInfo> five_tensors() {
  std::vector<TensorInfo> tensors;
  for (const char* name : {"a", "b", "c", "d", "e"}) tensors.push_back({name, DType::f32, {32}});
  return tensors;
}

std::vector<size_t> shard_sizes(const GgufWriteOptions& options) {
  std::vector<size_t> sizes;
  const GgufLayout layout({}, five_tensors(), options);
  for (const GgufLayout::Shard& shard : layout.shards()) {
    sizes.push_back(shard.tensor_end - shard.tensor_begin);
  }
  return sizes;
}

TEST(GgufLayout, SplitsBeforeTheTensorThatDoesNotFit) {
  EXPECT_EQ(shard_sizes({}), (std::vector<size_t>{5}));
  EXPECT_EQ(shard_sizes({.shard_bytes_max = 256}), (std::vector<size_t>{2, 2, 1}));
  EXPECT_EQ(shard_sizes({.shard_bytes_max = 255}), (std::vector<size_t>{1, 1, 1, 1, 1}));
  EXPECT_EQ(shard_sizes({.shard_bytes_max = 10}), (std::vector<size_t>{1, 1, 1, 1, 1}));
  EXPECT_EQ(shard_sizes({.shard_bytes_max = 640}), (std::vector<size_t>{5}));
  EXPECT_EQ(shard_sizes({.shard_tensors_max = 3}), (std::vector<size_t>{3, 2}));
  EXPECT_EQ(shard_sizes({.shard_bytes_max = 256, .shard_tensors_max = 1}),
            (std::vector<size_t>{1, 1, 1, 1, 1}));
  EXPECT_EQ(shard_sizes({.no_tensor_first_shard = true}), (std::vector<size_t>{0, 5}));
  EXPECT_EQ(shard_sizes({.shard_tensors_max = 3, .no_tensor_first_shard = true}),
            (std::vector<size_t>{0, 3, 2}));
}

TEST(GgufWriter, ShardsRoundTrip) {
  const TempDir folder;
  Metadata keys = some_keys();
  keys.set("general.alignment", uint32_t{64});
  GgufWriter writer(folder.path("x.gguf"), keys, five_tensors(), {.shard_bytes_max = 256});
  fill(writer);
  writer.commit();
  const std::vector<std::string> paths = {folder.path("x-00001-of-00003.gguf"),
                                          folder.path("x-00002-of-00003.gguf"),
                                          folder.path("x-00003-of-00003.gguf")};
  EXPECT_EQ(writer.layout().paths(folder.path("x.gguf")), paths);
  uint64_t bytes = 0;
  for (const std::string& path : paths) bytes += test::read_bytes(path).size();
  EXPECT_EQ(bytes, writer.layout().file_bytes());
  const GgufSource source(paths[0]);
  EXPECT_EQ(source.files(), paths);
  expect_pattern(source, five_tensors());
  Metadata read = source.metadata();
  EXPECT_EQ(read.at(kSplitNo), Value(uint16_t{0}));
  EXPECT_EQ(read.at(kSplitCount), Value(uint16_t{3}));
  EXPECT_EQ(read.at(kSplitTensorsCount), Value(int32_t{5}));
  drop_split_keys(read);
  EXPECT_EQ(read, keys);
}

TEST(GgufWriter, ASplitModelWrittenWholeHasNoSplitKeys) {
  Metadata keys = some_keys();
  keys.set(kSplitCount, uint16_t{3});
  const TempDir folder;
  GgufWriter writer(folder.path("x.gguf"), keys, some_tensors());
  fill(writer);
  writer.commit();
  EXPECT_EQ(GgufSource(folder.path("x.gguf")).metadata(), some_keys());
}

TEST(GgufWriter, ShardsOfGivenSizes) {
  const TempDir dir;
  GgufWriter writer(dir.path("x.gguf"), some_keys(), some_tensors(), {.shard_tensors = {1, 2}});
  fill(writer);
  ASSERT_EQ(writer.layout().shards().size(), 2u);
  EXPECT_EQ(writer.layout().shards()[0].tensor_end, 1u);
  writer.commit();
  expect_pattern(GgufSource(dir.path("x-00001-of-00002.gguf")), some_tensors());
}

TEST(GgufWriter, MetadataOfTheSameSizeMayComeLast) {
  const TempDir dir;
  GgufWriter writer(dir.path("x.gguf"), some_keys(), some_tensors());
  fill(writer);
  Metadata keys = some_keys();
  keys.set("general.architecture", "QWEN35MOE");
  writer.set_metadata(keys);
  writer.commit();
  EXPECT_EQ(GgufSource(dir.path("x.gguf")).metadata().get_string("general.architecture"),
            "QWEN35MOE");
}

TEST(GgufWriter, TakesUpWhatAKeptPartialFileHas) {
  const TempDir dir;
  const std::vector<TensorInfo> tensors = some_tensors();
  const auto rows = pattern(static_cast<size_t>(tensors[1].bytes()), 1);
  {
    GgufWriter writer(dir.path("x.gguf"), some_keys(), tensors);
    writer.write(1, rows);
    writer.sync();
    writer.keep_partial();
  }
  GgufWriter writer(dir.path("x.gguf"), some_keys(), tensors, {}, base::OutputFile::Leftover::kept);
  writer.note_rows(1, 0, tensors[1].shape.rows());
  for (const size_t t : {size_t{0}, size_t{2}}) {
    writer.write(t, pattern(static_cast<size_t>(tensors[t].bytes()), t));
  }
  // A journal behind the data is cut off.
  writer.file(0).write_at(writer.layout().file_bytes() + 100, pattern(8, 9));
  writer.commit();
  EXPECT_EQ(std::filesystem::file_size(dir.path("x.gguf")), writer.layout().file_bytes());
  expect_pattern(GgufSource(dir.path("x.gguf")), tensors);
}

}  // namespace
}  // namespace karat::format
