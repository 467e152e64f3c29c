#include "format/gguf.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "format/gguf_writer.h"
#include "support/hostile.h"

namespace karat::format {
namespace {

using base::Json;
using test::TempDir;

void expect_has(const std::string& message, const std::string& words) {
  EXPECT_NE(message.find(words), std::string::npos) << "'" << words << "' is not in: " << message;
}

const std::string kGoldens = std::string(KARAT_ROOT) + "/tests/fixtures/goldens/gguf/";

void copy_tensors(const GgufSource& source, GgufWriter& writer) {
  for (size_t i = 0; i < source.tensors().size(); ++i) {
    std::vector<std::byte> bytes(static_cast<size_t>(source.tensors()[i].bytes()));
    source.read(source.tensors()[i], bytes);
    writer.write(i, bytes);
  }
}

void expect_value(const Value& value, const Json& entry) {
  const std::string key = entry.at("key").as_string();
  const Json& expected = entry.at("value");
  Metadata metadata;
  metadata.set(key, value);
  if (expected.is_integer()) {
    EXPECT_EQ(metadata.get_int(key), expected.as_int()) << key;
  } else if (expected.is_bool()) {
    EXPECT_EQ(metadata.get_bool(key), expected.as_bool()) << key;
  } else if (expected.is_number()) {
    EXPECT_EQ(metadata.get_real(key), expected.as_double()) << key;
  } else if (expected.is_string()) {
    EXPECT_EQ(metadata.get_string(key), expected.as_string()) << key;
  } else if (expected.is_array() && expected.as_array()[0].is_string()) {
    const auto& strings = metadata.get_array<std::string>(key);
    ASSERT_EQ(strings.size(), expected.as_array().size()) << key;
    for (size_t i = 0; i < strings.size(); ++i) {
      EXPECT_EQ(strings[i], expected.as_array()[i].as_string()) << key;
    }
  } else if (expected.is_array() && expected.as_array()[0].is_integer()) {
    const std::vector<int64_t> numbers = metadata.get_ints(key);
    ASSERT_EQ(numbers.size(), expected.as_array().size()) << key;
    for (size_t i = 0; i < numbers.size(); ++i) {
      EXPECT_EQ(numbers[i], expected.as_array()[i].as_int()) << key;
    }
  } else if (expected.is_array() && expected.as_array()[0].is_bool()) {
    const auto& flags = metadata.get_array<bool>(key);
    ASSERT_EQ(flags.size(), expected.as_array().size()) << key;
    for (size_t i = 0; i < flags.size(); ++i) {
      EXPECT_EQ(flags[i], expected.as_array()[i].as_bool()) << key;
    }
  } else {
    const auto& numbers = metadata.get_array<float>(key);
    ASSERT_EQ(numbers.size(), expected.as_array().size()) << key;
    for (size_t i = 0; i < numbers.size(); ++i) {
      EXPECT_EQ(numbers[i], expected.as_array()[i].as_double()) << key;
    }
  }
}

class Goldens : public testing::TestWithParam<const char*> {};

TEST_P(Goldens, MatchTheirDump) {
  const std::string name = kGoldens + GetParam();
  const GgufSource source(name + ".gguf");
  const Json dump = base::parse_json(base::read_file(name + ".json"));
  const Json::Array& keys = dump.at("kv").as_array();
  ASSERT_EQ(source.metadata().size(), keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    const Metadata::Entry& entry = source.metadata().entries()[i];
    ASSERT_EQ(entry.key, keys[i].at("key").as_string());
    expect_value(entry.value, keys[i]);
  }
  const Json::Array& tensors = dump.at("tensors").as_array();
  ASSERT_EQ(source.tensors().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const tensor::TensorInfo& info = source.tensors()[i];
    EXPECT_EQ(info.name, tensors[i].at("name").as_string());
    EXPECT_EQ(info.dtype, tensor::dtype_from_name(tensors[i].at("type").as_string()));
    const Json::Array& ne = tensors[i].at("ne").as_array();
    ASSERT_EQ(static_cast<size_t>(info.shape.rank()), ne.size());
    for (size_t d = 0; d < ne.size(); ++d) {
      EXPECT_EQ(info.shape[static_cast<int>(ne.size() - 1 - d)], ne[d].as_int()) << info.name;
    }
    EXPECT_EQ(source.place(info).offset,
              dump.at("data_offset").as_uint() + tensors[i].at("offset").as_uint());
    std::vector<std::byte> bytes(tensors[i].at("n_bytes").as_uint());
    source.read(info, bytes);
    EXPECT_EQ(base::sha256_hex(bytes), tensors[i].at("sha256").as_string()) << info.name;
  }
}

TEST_P(Goldens, RewrittenAreTheSameBytes) {
  const TempDir folder;
  const std::string name = kGoldens + GetParam() + ".gguf", copy = folder.path("copy.gguf");
  const GgufSource source(name);
  GgufWriter writer(copy, source.metadata(), source.tensors());
  copy_tensors(source, writer);
  EXPECT_EQ(writer.layout().file_bytes(), source.files_bytes());
  writer.commit();
  EXPECT_TRUE(test::read_bytes(name) == test::read_bytes(copy));
}

INSTANTIATE_TEST_SUITE_P(Gguf, Goldens,
                         testing::Values("tiny-f32", "tiny-bf16", "mmproj-tiny-f32"));

// A model in three shards x-0000i-of-00003.gguf, to be spoiled.
class Shards : public testing::Test {
 protected:
  Shards() {
    const std::vector<tensor::TensorInfo> tensors = {{"a", tensor::DType::f32, {8}},
                                                     {"b", tensor::DType::f32, {8}},
                                                     {"c", tensor::DType::f32, {8}}};
    Metadata keys;
    keys.set("general.architecture", "qwen35moe");
    keys.set("general.alignment", uint32_t{32});
    write(folder_.path("x.gguf"), keys, tensors);
    // Another model of the same form.
    keys.set("general.alignment", uint32_t{64});
    write(folder_.path("other.gguf"), keys, tensors);
  }

  static void write(const std::string& path, const Metadata& keys,
                    const std::vector<tensor::TensorInfo>& tensors) {
    GgufWriter writer(path, keys, tensors, {.shard_tensors_max = 1});
    const std::vector<std::byte> row(32);
    for (size_t i = 0; i < tensors.size(); ++i) writer.write(i, row);
    writer.commit();
  }

  std::string shard(int number, const char* prefix = "x") const {
    return shard_path(folder_.path(prefix), static_cast<uint64_t>(number - 1), 3);
  }

  std::string refusal(const std::string& path) const {
    try {
      const GgufSource source(path);
    } catch (const base::Error& error) {
      EXPECT_TRUE(error.kind() == base::ErrorKind::bad_input ||
                  error.kind() == base::ErrorKind::unsupported);
      return error.what();
    }
    return "";
  }

  TempDir folder_;
};

TEST_F(Shards, AreReadTogether) {
  const GgufSource source(shard(1));
  EXPECT_EQ(source.tensors().size(), 3u);
  EXPECT_EQ(source.place(source.at("c")).file, 2u);
}

TEST_F(Shards, AnotherThanTheFirstPointsToTheFirst) {
  expect_has(refusal(shard(2)), "is shard 2 of 3; give the first one, " + shard(1));
}

TEST_F(Shards, MissingIsNamed) {
  std::filesystem::remove(shard(3));
  expect_has(refusal(shard(1)), shard(3) + ": shard 3 of 3 is missing");
}

TEST_F(Shards, RenamedIsRefused) {
  const std::string name = folder_.path("renamed.gguf");
  std::filesystem::rename(shard(1), name);
  expect_has(refusal(name), "must end in -00001-of-00003.gguf");
}

TEST_F(Shards, RepeatedIsRefused) {
  std::filesystem::copy_file(shard(2), shard(3), std::filesystem::copy_options::overwrite_existing);
  expect_has(refusal(shard(1)), shard(3) + ": says it is shard 2 of 3");
}

TEST_F(Shards, OfAnotherModelIsRefused) {
  std::filesystem::copy_file(shard(2, "other"), shard(2),
                             std::filesystem::copy_options::overwrite_existing);
  expect_has(refusal(shard(1)), shard(2) + ": key 'general.alignment' is 64");
}

TEST_F(Shards, TheSameTensorTwiceIsRefused) {
  std::string bytes = test::read_bytes(shard(3));
  const size_t name = bytes.find(test::raw_string("c"));
  bytes.replace(name, 9, test::raw_string("a"));
  folder_.write("x-00003-of-00003.gguf", bytes);
  expect_has(refusal(shard(1)), shard(3) + ": tensor 'a' is also in " + shard(1));
}

TEST_F(Shards, AWrongTotalIsRefused) {
  for (int i = 1; i <= 3; ++i) {
    std::string bytes = test::read_bytes(shard(i));
    const std::string key = test::raw_string(kSplitTensorsCount) + test::raw(uint32_t{5});
    bytes[bytes.find(key) + key.size()] = 4;
    folder_.write(std::filesystem::path(shard(i)).filename().string(), bytes);
  }
  expect_has(refusal(shard(1)), "the 3 shards have 3 tensors, split.tensors.count says 4");
}

TEST_F(Shards, HostileKeysAreRefused) {
  for (const test::HostileFile& file : test::hostile_gguf()) {
    expect_has(refusal(folder_.write(file.name + ".gguf", file.bytes)), file.words);
  }
}

TEST_F(Shards, MissingFilesAndFoldersAreNamed) {
  expect_has(refusal(folder_.path("absent.gguf")), "absent.gguf");
  expect_has(refusal(folder_.path()), "folder");
}

TEST(Gguf, ATruncatedSparseGiantIsRefusedAtOnce) {
  const TempDir folder;
  test::GgufParts parts = test::small_gguf();
  const int64_t rows = int64_t{20} << 20;  // 20 GiB of F32 rows of 256
  parts.tensors = {test::tensor_entry("giant", {256, rows}, 0, 0)};
  parts.data = std::string(32, '\0');
  const std::string path = folder.write("giant.gguf", parts.str());
  const uint64_t data_offset = parts.str().size() - 32;
  std::filesystem::resize_file(path, data_offset + static_cast<uint64_t>(rows) * 1024 - 1);
  try {
    const GgufSource source(path);
    ADD_FAILURE();
  } catch (const base::Error& error) {
    expect_has(std::string(error.what()), "tensor 'giant'");
  }
  std::filesystem::resize_file(path, data_offset + static_cast<uint64_t>(rows) * 1024);
  const GgufSource source(path);
  EXPECT_EQ(source.at("giant").shape.rows(), rows);
}

TEST(Gguf, IsToldByItsFirstBytes) {
  const test::TempDir folder;
  EXPECT_TRUE(is_gguf(folder.write("a", "GGUF and nothing else")));
  EXPECT_FALSE(is_gguf(folder.write("b", "GGU")));
  EXPECT_FALSE(is_gguf(folder.write("c", "gguf")));
}

}  // namespace
}  // namespace karat::format
