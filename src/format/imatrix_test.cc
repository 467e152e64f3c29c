#include "format/imatrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/json.h"
#include "format/gguf.h"
#include "format/gguf_writer.h"
#include "support/hostile.h"

namespace karat::format {
namespace {

using base::Error;
using base::ErrorKind;
using base::Json;
using tensor::DType;
using tensor::Importance;
using tensor::ImportanceEntry;
using test::TempDir;

const std::string kGoldens = std::string(KARAT_ROOT) + "/tests/fixtures/goldens/";

void expect_has(const std::string& message, const std::string& words) {
  EXPECT_NE(message.find(words), std::string::npos) << "'" << words << "' is not in: " << message;
}

std::string refusal(const std::string& path) {
  try {
    read_imatrix(path);
  } catch (const Error& error) {
    EXPECT_TRUE(error.kind() == ErrorKind::bad_input || error.kind() == ErrorKind::unsupported)
        << error.what();
    return error.what();
  }
  return "";
}

// The dump has null where the file has a NaN.
void expect_stats(const std::vector<float>& stats, const Json::Array& expected,
                  const std::string& name) {
  ASSERT_EQ(stats.size(), expected.size()) << name;
  for (size_t i = 0; i < stats.size(); ++i) {
    EXPECT_EQ(std::isnan(stats[i]), expected[i].is_null()) << name << " " << i;
    if (expected[i].is_null()) continue;
    EXPECT_EQ(static_cast<double>(stats[i]), expected[i].as_double()) << name << " " << i;
  }
}

class Goldens : public testing::TestWithParam<const char*> {
 protected:
  std::string name_ = kGoldens + "imatrix/" + GetParam();
};

TEST_P(Goldens, MatchTheirDump) {
  const Importance importance = read_imatrix(name_ + ".imatrix.gguf");
  const Json dump = base::parse_json(base::read_file(name_ + ".imatrix.json"));
  EXPECT_EQ(importance.chunk_count, dump.at("kv").at("imatrix.chunk_count").as_uint());
  EXPECT_EQ(importance.chunk_size, dump.at("kv").at("imatrix.chunk_size").as_uint());
  ASSERT_EQ(importance.datasets.size(), 1u);
  EXPECT_EQ(importance.datasets[0], dump.at("kv").at("imatrix.datasets").as_array()[0].as_string());
  size_t seen = 0;
  for (const Json& item : dump.at("tensors").as_array()) {
    const std::string& full = item.at("name").as_string();
    const size_t dot = full.rfind('.');
    const std::string name = full.substr(0, dot), suffix = full.substr(dot);
    ASSERT_TRUE(importance.entries.contains(name)) << name;
    const ImportanceEntry& entry = importance.entries.at(name);
    ++seen;
    if (suffix == ".stats") {
      expect_stats(entry.stats, item.at("values").as_array(), full);
      continue;
    }
    if (suffix == ".counts") {
      const Json::Array& counts = item.at("values").as_array();
      ASSERT_EQ(entry.counts.size(), counts.size());
      for (size_t i = 0; i < counts.size(); ++i) {
        EXPECT_EQ(static_cast<double>(entry.counts[i]), counts[i].as_double());
      }
      continue;
    }
    const std::vector<double>& values = suffix == ".in_sum2" ? entry.in_sum2 : entry.in_sum;
    const Json::Array& ne = item.at("ne").as_array();
    EXPECT_EQ(entry.cols, ne[0].as_int());
    EXPECT_EQ(entry.mats, ne.size() > 1 ? ne[1].as_int() : 1);
    ASSERT_EQ(static_cast<int64_t>(values.size()), entry.cols * entry.mats);
    // The dump adds float64 in another order: n roundings of at most the sum of magnitudes.
    double magnitude = 0;
    for (const double value : values) magnitude += std::abs(value);
    EXPECT_NEAR(std::accumulate(values.begin(), values.end(), 0.0), item.at("sum").as_double(),
                2 * static_cast<double>(values.size()) * 0x1p-53 * magnitude)
        << full;
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(values[i], item.at("first4").as_array()[i].as_double()) << full;
    }
  }
  EXPECT_EQ(seen, importance.entries.size() * 4);
}

TEST_P(Goldens, RewrittenAreTheSameBytes) {
  const TempDir folder;
  const std::string golden = name_ + ".imatrix.gguf", copy = folder.path("copy.gguf");
  write_imatrix(copy, read_imatrix(golden));
  EXPECT_TRUE(test::read_bytes(copy) == test::read_bytes(golden));
}

INSTANTIATE_TEST_SUITE_P(Imatrix, Goldens, testing::Values("tiny-f32", "tiny-f32.nextn"));

Importance some_importance() {
  Importance importance;
  importance.datasets = {"one.txt", "two.txt"};
  importance.chunk_count = 7;
  importance.chunk_size = 512;
  importance.nextn_layers = 1;
  // Out of layer order on purpose: files have byte-wise order.
  importance.entries["blk.10.x.weight"] = {3, 1, {1, 2, 3}, {-1, 0, 1}, {5}};
  importance.entries["blk.2.y.weight"] = {2, 3, {1, 2, 3, 4, 5, 6}, {}, {1, 0, 9}};
  importance.entries["shared.weight"] = {2, 2, {1, 2, 3, 4}, {}, {4}};
  importance.entries["blk.10.x.weight"].stats = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  return importance;
}

TEST(Imatrix, RoundTrip) {
  const TempDir folder;
  const Importance written = some_importance();
  write_imatrix(folder.path("x.gguf"), written);
  const Importance read = read_imatrix(folder.path("x.gguf"));
  EXPECT_EQ(read.datasets, written.datasets);
  EXPECT_EQ(read.chunk_count, 7u);
  EXPECT_EQ(read.chunk_size, 512u);
  EXPECT_EQ(read.nextn_layers, 1u);
  ASSERT_EQ(read.entries.size(), 3u);
  for (const auto& [name, entry] : written.entries) {
    const ImportanceEntry& other = read.entries.at(name);
    EXPECT_EQ(other.cols, entry.cols);
    EXPECT_EQ(other.mats, entry.mats);
    EXPECT_EQ(other.in_sum2, entry.in_sum2);
    EXPECT_EQ(other.in_sum, entry.in_sum);
    EXPECT_EQ(other.counts, entry.counts);
    EXPECT_EQ(other.stats, entry.stats);
  }
}

TEST(Imatrix, LayoutsAreToldApartByTheirContent) {
  const TempDir folder;
  const Importance written = some_importance();
  write_imatrix(folder.path("x.gguf"), written, ImatrixLayout::dat);
  write_imatrix(folder.path("x.dat"), written, ImatrixLayout::gguf);
  EXPECT_TRUE(is_imatrix_dat(folder.path("x.gguf")));
  EXPECT_FALSE(is_imatrix_dat(folder.path("x.dat")));
  EXPECT_TRUE(is_imatrix(folder.path("x.dat")) && is_imatrix(folder.path("x.gguf")));
  EXPECT_FALSE(is_imatrix(kGoldens + "gguf/tiny-bf16.gguf"));
  EXPECT_FALSE(is_imatrix(kGoldens + "imatrix/show-statistics.txt"));
  EXPECT_FALSE(is_imatrix(folder.path()));
  EXPECT_EQ(read_imatrix(folder.path("x.gguf"), 100).chunk_size, 100u);
  EXPECT_EQ(read_imatrix(folder.path("x.dat"), 100).chunk_size, 512u);
}

TEST(Imatrix, OtherFilesAreRefusedWithAHint) {
  const TempDir folder;
  expect_has(refusal(kGoldens + "gguf/tiny-bf16.gguf"), "a model of architecture qwen35moe");
  expect_has(refusal(kGoldens + "imatrix/show-statistics.txt"), "plain text");
  expect_has(refusal(folder.write("x.gguf", test::small_safetensors())), "a safetensors file");
  expect_has(refusal(folder.write("y.gguf", "")), "y.gguf");
  for (const char* path : {"imatrix/show-statistics.txt", "gguf/tiny-bf16.gguf"}) {
    expect_has(refusal(kGoldens + path), "karat calibrate -m MODEL");
  }
}

// An importance file with one of its parts replaced.
class Spoiled : public testing::Test {
 protected:
  using Item = std::pair<tensor::TensorInfo, std::vector<float>>;

  std::string refusal_of(const std::vector<Item>& items) const {
    Metadata keys;
    keys.set("general.type", "imatrix");
    keys.set("imatrix.chunk_count", uint32_t{1});
    keys.set("imatrix.chunk_size", uint32_t{8});
    return refusal_of(items, keys);
  }

  std::string refusal_of(const std::vector<Item>& items, const Metadata& keys) const {
    std::vector<tensor::TensorInfo> infos;
    for (const Item& item : items) infos.push_back(item.first);
    GgufWriter writer(folder_.path("x.gguf"), keys, infos);
    for (size_t i = 0; i < items.size(); ++i) {
      writer.write(i, std::as_bytes(std::span(items[i].second)));
    }
    writer.commit();
    return refusal(folder_.path("x.gguf"));
  }

  TempDir folder_;
  Item sums2_{{"a.in_sum2", DType::f32, {2, 3}}, {1, 2, 3, 4, 5, 6}};
  Item counts_{{"a.counts", DType::f32, {2, 1}}, {1, 2}};
  Item sums_{{"a.in_sum", DType::f32, {2, 3}}, {1, 2, 3, 4, 5, 6}};
};

TEST_F(Spoiled, WhatFitsIsAccepted) {
  EXPECT_EQ(refusal_of({sums2_, counts_, sums_}), "");
  const Item stats{{"a.stats", DType::f32, {2}}, {std::nanf(""), 1}};
  const Item unknown{{"b.future", DType::f32, {2}}, {1, 1}};
  EXPECT_EQ(refusal_of({sums2_, counts_, stats, unknown}), "");
  counts_ = {{"a.counts", DType::f32, {1}}, {3}};
  EXPECT_EQ(refusal_of({counts_, sums2_}), "");
}

TEST_F(Spoiled, WhatDoesNotFitIsRefused) {
  expect_has(refusal_of({sums2_}), "tensor 'a.in_sum2' has no .counts");
  expect_has(refusal_of({counts_}), "tensor 'a.counts' has no .in_sum2");
  expect_has(refusal_of({}), "without entries");
  expect_has(refusal_of({sums2_, {{"a.counts", DType::f32, {3, 1}}, {1, 2, 3}}}), "'a.counts'");
  expect_has(refusal_of({sums2_, counts_, {{"a.in_sum", DType::f32, {3}}, {1, 2, 3}}}),
             "'a.in_sum' has another size");
  expect_has(refusal_of({{{"a.in_sum2", DType::i32, {2, 3}}, {1, 2, 3, 4, 5, 6}}, counts_}),
             "not of type f32");
  expect_has(refusal_of({{{"a.in_sum2", DType::f32, {1, 2, 3}}, {1, 2, 3, 4, 5, 6}}, counts_}),
             "more than two dimensions");
}

TEST_F(Spoiled, StatsComeInTheOrderOfTheirSchema) {
  Metadata keys;
  keys.set("general.type", "imatrix");
  keys.set("imatrix.chunk_count", uint32_t{1});
  keys.set("imatrix.chunk_size", uint32_t{8});
  keys.set("imatrix.stats_schema", std::vector<std::string>{"gain", "new", "mean"});
  const Item stats{{"a.stats", DType::f32, {3}}, {1, 2, 3}};
  ASSERT_EQ(refusal_of({sums2_, counts_, stats}, keys), "");
  const std::vector<float> read = read_imatrix(folder_.path("x.gguf")).entries.at("a").stats;
  ASSERT_EQ(read.size(), 12u);
  EXPECT_EQ(read[1], 3);  // mean
  EXPECT_EQ(read[6], 1);  // gain
  EXPECT_TRUE(std::isnan(read[0]) && std::isnan(read[11]));
  const Item cut{{"a.stats", DType::f32, {2}}, {1, 2}};
  expect_has(refusal_of({sums2_, counts_, cut}, keys), "'a.stats' is shorter than its schema");
}

TEST_F(Spoiled, NumbersThatCannotBeAreRefused) {
  for (const float bad : {-1.0f, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    Item sums2 = sums2_, counts = counts_, sums = sums_;
    sums2.second[3] = counts.second[1] = sums.second[5] = bad;
    expect_has(refusal_of({sums2, counts_}), "'a.in_sum2' has a sum of squares");
    expect_has(refusal_of({sums2_, counts}), "'a.counts' has a count");
    if (bad == -1.0f) continue;
    expect_has(refusal_of({sums2_, counts_, sums}), "'a.in_sum' has a sum");
  }
}

TEST_F(Spoiled, WrongKeysAreRefused) {
  Metadata keys;
  keys.set("general.type", "imatrix");
  keys.set("imatrix.chunk_count", uint32_t{1});
  expect_has(refusal_of({sums2_, counts_}, keys), "not an imatrix");
  keys.set("imatrix.chunk_size", "eight");
  expect_has(refusal_of({sums2_, counts_}, keys), "'imatrix.chunk_size' is \"eight\"");
  keys.set("imatrix.chunk_size", uint64_t{1} << 40);
  expect_has(refusal_of({sums2_, counts_}, keys), "'imatrix.chunk_size'");
  keys.set("imatrix.chunk_size", uint32_t{8});
  keys.set("imatrix.datasets", std::vector<int32_t>{1});
  expect_has(refusal_of({sums2_, counts_}, keys), "'imatrix.datasets'");
}

}  // namespace
}  // namespace karat::format
