#include "format/safetensors.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/json.h"
#include "support/hostile.h"

namespace karat::format {
namespace {

using base::Error;
using base::ErrorKind;
using tensor::DType;
using test::TempDir;

void expect_has(const std::string& message, const std::string& words) {
  EXPECT_NE(message.find(words), std::string::npos) << "'" << words << "' is not in: " << message;
}

// "" if the path is accepted, else the message; anything but the two kinds fails the test.
template <class Open>
std::string refusal_of(Open open) {
  try {
    open();
  } catch (const Error& error) {
    EXPECT_TRUE(error.kind() == ErrorKind::bad_input || error.kind() == ErrorKind::unsupported)
        << error.what();
    return error.what();
  }
  return "";
}

std::string refusal(const std::string& path) {
  return refusal_of([&] { SafetensorsSource source(path); });
}

template <class T>
std::vector<T> values_of(const SafetensorsSource& source, const char* name) {
  std::vector<T> values(static_cast<size_t>(source.at(name).shape.elements()));
  source.read(source.at(name), std::as_writable_bytes(std::span(values)));
  return values;
}

TEST(Safetensors, ReadsASmallFile) {
  const TempDir folder;
  const SafetensorsSource source(folder.write("model.safetensors", test::small_safetensors()));
  ASSERT_EQ(source.tensors().size(), 3u);
  EXPECT_EQ(source.tensors()[0].name, "a");
  EXPECT_EQ(source.at("a").dtype, DType::bf16);
  EXPECT_EQ(source.at("a").shape, tensor::Shape({2, 3}));
  EXPECT_EQ(values_of<uint16_t>(source, "a"),
            (std::vector<uint16_t>{0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0}));
  EXPECT_EQ(source.at("s").shape.rank(), 0);
  EXPECT_EQ(values_of<float>(source, "s"), std::vector<float>{2.5f});
  EXPECT_TRUE(values_of<uint16_t>(source, "z").empty());
  EXPECT_EQ(source.metadata().at("format"), "pt");
  EXPECT_TRUE(source.foreign().empty());
}

TEST(Safetensors, KnowsTypesItCannotRead) {
  const TempDir folder;
  const SafetensorsSource source(folder.write(
      "model.safetensors",
      test::safetensors_file(R"({"w":{"dtype":"F8_E4M3","shape":[2,2],"data_offsets":[0,4]},)"
                             R"("x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                             "\1\2\3\4\5\6\7\10")));
  EXPECT_EQ(source.tensors().size(), 1u);
  ASSERT_EQ(source.foreign().size(), 1u);
  EXPECT_EQ(source.foreign()[0].name, "w");
  EXPECT_EQ(source.foreign()[0].dtype, "F8_E4M3");
  EXPECT_EQ(source.foreign()[0].shape, tensor::Shape({2, 2}));
  const std::string message = refusal_of([&] { source.refuse(source.foreign()[0]); });
  for (const char* words : {"model.safetensors: tensor 'w'", "F8_E4M3", "already quantized"}) {
    expect_has(message, words);
  }
}

TEST(Safetensors, HostileFilesAreRefusedInWords) {
  const TempDir folder;
  for (const test::HostileFile& file : test::hostile_safetensors()) {
    const std::string path = folder.write(file.name + ".safetensors", file.bytes);
    const std::string message = refusal(path);
    expect_has(message, path + ": ");
    expect_has(message, file.words);
    EXPECT_EQ(message.find('\x1b'), std::string::npos) << file.name;
    EXPECT_EQ(message.find('\n'), std::string::npos) << file.name;
  }
}

// The parser over a buffer that ends exactly where the file ends.
std::string parse_refusal(const std::string& file) {
  const std::vector<char> copy(file.begin(), file.end());
  return refusal_of([&] {
    uint64_t length = 0;
    if (copy.size() >= 8) std::memcpy(&length, copy.data(), 8);
    const bool whole = length <= kSafetensorsHeadBytesMax && length <= copy.size() - 8;
    const size_t given = whole && copy.size() >= 8 ? 8 + length : copy.size();
    parse_safetensors_head(std::as_bytes(std::span(copy).first(given)), copy.size(), "x");
  });
}

TEST(Safetensors, EveryPrefixIsRefused) {
  const std::string file = test::small_safetensors();
  ASSERT_EQ(parse_refusal(file), "");
  for (size_t length = 0; length < file.size(); ++length) {
    EXPECT_NE(parse_refusal(file.substr(0, length)), "") << length;
  }
}

TEST(Safetensors, EveryFlippedBitReadsOrIsRefused) {
  const std::string file = test::small_safetensors();
  const size_t head_bits = (file.size() - 16) * 8;
  size_t refused = 0;
  for (size_t bit = 0; bit < head_bits; ++bit) {
    std::string flipped = file;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    refused += parse_refusal(flipped) != "";
  }
  // Only letters of names and of __metadata__ may change unnoticed.
  EXPECT_GT(refused, head_bits * 3 / 4);
}

TEST(Safetensors, WritesWhatItReads) {
  const TempDir folder;
  const std::vector<float> numbers = {1, 2, 3, 4, 5, 6};
  const std::vector<uint16_t> halves = {7, 8, 9};
  const std::vector<SafetensorsItem> items = {
      {{"z \"quoted\" \xc3\xa9", DType::f32, {3, 2}}, std::as_bytes(std::span(numbers))},
      {{"a", DType::bf16, {3}}, std::as_bytes(std::span(halves))},
      {{"none", DType::i64, {0, 3}}, {}},
  };
  const std::string path = folder.path("x.safetensors");
  write_safetensors(path, items, {{"format", "pt"}});
  const SafetensorsSource source(path);
  ASSERT_EQ(source.tensors().size(), 3u);
  EXPECT_EQ(values_of<float>(source, "z \"quoted\" \xc3\xa9"), numbers);
  EXPECT_EQ(values_of<uint16_t>(source, "a"), halves);
  EXPECT_EQ(source.at("none").shape, tensor::Shape({0, 3}));
  EXPECT_EQ(source.metadata().at("format"), "pt");
  EXPECT_EQ(source.place(source.tensors()[0]).offset % 8, 0u);
  const std::vector<SafetensorsItem> blocks = {{{"q", DType::q8_0, {32}}, {}}};
  EXPECT_THROW(write_safetensors(path, blocks), Error);
}

// Two shards with an index, to be spoiled.
class Checkpoint : public testing::Test {
 protected:
  Checkpoint() {
    write_shard("model-1.safetensors", "a");
    write_shard("model-2.safetensors", "b");
    write_index(R"("a": "model-1.safetensors", "b": "model-2.safetensors")");
  }

  void write_shard(const std::string& name, const std::string& tensor) const {
    const float value = 3;
    const std::vector<SafetensorsItem> items = {
        {{tensor, DType::f32, {1}}, std::as_bytes(std::span(&value, 1))}};
    write_safetensors(folder_.path(name), items);
  }

  void write_index(const std::string& map) const {
    folder_.write("model.safetensors.index.json", R"({"weight_map": {)" + map + "}}");
  }

  TempDir folder_;
};

TEST_F(Checkpoint, IsReadThroughItsIndex) {
  for (const char* name : {"", "model.safetensors.index.json"}) {
    const SafetensorsSource source(folder_.path(name));
    EXPECT_EQ(source.tensors().size(), 2u);
    EXPECT_EQ(source.files(), (std::vector<std::string>{folder_.path("model-1.safetensors"),
                                                        folder_.path("model-2.safetensors")}));
    EXPECT_EQ(values_of<float>(source, "b"), std::vector<float>{3});
  }
  EXPECT_EQ(SafetensorsSource(folder_.path() + "/").tensors().size(), 2u);
}

TEST_F(Checkpoint, AMissingShardIsNamed) {
  std::filesystem::remove(folder_.path("model-2.safetensors"));
  expect_has(refusal(folder_.path()), "index.json: shard model-2.safetensors is missing");
}

TEST_F(Checkpoint, ATensorThatIsInNoShardIsNamed) {
  write_index(
      R"("a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-2.safetensors")");
  expect_has(refusal(folder_.path()), "tensor 'c' is not in its shard model-2.safetensors");
}

TEST_F(Checkpoint, ATensorThatIsNotInTheIndexIsNamed) {
  write_shard("model-2.safetensors", "other");
  expect_has(refusal(folder_.path()), "model-2.safetensors: has tensor 'other'");
}

TEST_F(Checkpoint, ARepeatedShardIsRefused) {
  std::filesystem::copy_file(folder_.path("model-1.safetensors"),
                             folder_.path("model-2.safetensors"),
                             std::filesystem::copy_options::overwrite_existing);
  const std::string message = refusal(folder_.path());
  expect_has(message, "model-2.safetensors: has tensor 'a'");
  expect_has(message, "into model-1.safetensors");
}

TEST_F(Checkpoint, NothingOutsideTheFolderIsOpened) {
  std::filesystem::create_directory(folder_.path("sub"));
  std::filesystem::rename(folder_.path("model-1.safetensors"),
                          folder_.path("sub/model-1.safetensors"));
  for (const std::string& name :
       {std::string("sub/model-1.safetensors"), std::string("../model-1.safetensors"),
        folder_.path("sub/model-1.safetensors"), std::string("..\\\\model-1.safetensors"),
        std::string(".."), std::string("."), std::string(""), std::string("model-1.bin"),
        std::string("model-1\\u0000.safetensors")}) {
    write_index(R"("a": ")" + name + R"(", "b": "model-2.safetensors")");
    expect_has(refusal(folder_.path()), "not a .safetensors file of its own folder");
  }
}

TEST_F(Checkpoint, ABadIndexIsRefused) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "JSON"},
      {"{", "JSON"},
      {"[]", "no weight_map"},
      {"{}", "no weight_map"},
      {R"({"weight_map": []})", "no weight_map"},
      {R"({"weight_map": {}})", "empty weight_map"},
      {R"({"weight_map": {"a": 1}})", "not a file name"},
      {R"({"weight_map": {"a": "model-1.safetensors", "a": "model-1.safetensors"}})", "duplicate"},
      {R"({"weight_map": {"\u001b": 1}})", "\\x1b"},
      {std::string(1000, '['), "nested deeper"},
      {"{\"weight_map\": {\"\xff\": \"model-1.safetensors\"}}", "not valid UTF-8"},
  };
  for (const auto& [text, words] : cases) {
    folder_.write("model.safetensors.index.json", text);
    const std::string message = refusal(folder_.path());
    expect_has(message, "model.safetensors.index.json: ");
    expect_has(message, words);
  }
}

TEST(Safetensors, FoldersWithoutOneAreRefusedWithAHint) {
  const TempDir folder;
  expect_has(refusal(folder.path()), "give the folder of a Hugging Face checkpoint");
  folder.write("pytorch_model.bin", "PK");
  expect_has(refusal(folder.path()), "save the model as safetensors");
  expect_has(refusal(folder.path("absent")), "absent");
}

TEST(Safetensors, ATruncatedSparseGiantIsRefusedAtOnce) {
  const TempDir folder;
  const std::string head =
      R"({"giant":{"dtype":"BF16","shape":[10485760,1024],"data_offsets":[0,21474836480]}})";
  const std::string path = folder.write("giant.safetensors", test::safetensors_file(head, ""));
  std::filesystem::resize_file(path, 8 + head.size() + 21474836479u);
  expect_has(refusal(path), "tensor 'giant'");
  std::filesystem::resize_file(path, 8 + head.size() + 21474836480u);
  EXPECT_EQ(refusal(path), "");
}

TEST(Safetensors, TheFixturesHoldTheSameWeights) {
  const std::string fixtures = std::string(KARAT_ROOT) + "/tests/fixtures/";
  const SafetensorsSource fused(fixtures + "tiny-random"), split(fixtures + "tiny-random-split");
  EXPECT_EQ(fused.tensors().size(), 124u);
  EXPECT_EQ(split.tensors().size(), 234u);
  size_t compared = 0;
  for (const tensor::TensorInfo& info : fused.tensors()) {
    const tensor::TensorInfo* other = split.find(info.name);
    if (other == nullptr) continue;
    EXPECT_EQ(other->shape, info.shape);
    std::vector<std::byte> a(static_cast<size_t>(info.bytes())), b(a.size());
    fused.read(info, a);
    split.read(*other, b);
    EXPECT_EQ(a, b) << info.name;
    ++compared;
  }
  // All but the two expert stacks of each of the five layers.
  EXPECT_EQ(compared, 124u - 10u);
}

}  // namespace
}  // namespace karat::format
