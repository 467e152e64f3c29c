#include "format/gguf.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "format/gguf_writer.h"
#include "support/files.h"

namespace karat::format {
namespace {

using base::Json;
using test::TempDir;

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
  } else {
    ASSERT_TRUE(expected.is_object() || expected.is_array()) << key << " " << expected.dump();
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

}  // namespace
}  // namespace karat::format
