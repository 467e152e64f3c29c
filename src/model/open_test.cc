#include "model/open.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "model/config_check.h"
#include "model/summary.h"
#include "support/checkpoint.h"
#include "support/files.h"

namespace karat::model {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::ErrorKind;
using test::kTinyCheckpoint;

const std::string kTinyGguf = test::kFixtures + "goldens/gguf/tiny-bf16.gguf";

TEST(OpenModel, FolderAndFileTellTheSame) {
  const OpenedModel hf = open_model(kTinyCheckpoint), gguf = open_model(kTinyGguf);
  EXPECT_FALSE(hf.is_gguf);
  EXPECT_TRUE(gguf.is_gguf);
  EXPECT_NE(hf.raw, nullptr);
  EXPECT_TRUE(gguf.metadata.has_value());
  ASSERT_TRUE(hf.tokenizer && gguf.tokenizer);
  EXPECT_EQ(hf.tokenizer->tokens, gguf.tokenizer->tokens);
  EXPECT_EQ(hf.tokenizer->merges, gguf.tokenizer->merges);
  EXPECT_EQ(hf.tokenizer->types, gguf.tokenizer->types);
  EXPECT_EQ(hf.tokenizer->end_ids, gguf.tokenizer->end_ids);
  EXPECT_EQ(hf.chat_template, gguf.chat_template);
  EXPECT_EQ(hf.chat_template, base::read_file(kTinyCheckpoint + "/chat_template.jinja"));
  EXPECT_EQ(hf.config.vocab, gguf.config.vocab);
  EXPECT_EQ(hf.config.blocks(), gguf.config.blocks());
  EXPECT_EQ(gguf.config.tied_embeddings, false);
  ASSERT_EQ(hf.source->tensors().size(), gguf.source->tensors().size());
  for (size_t i = 0; i < hf.source->tensors().size(); ++i) {
    const tensor::TensorInfo &a = hf.source->tensors()[i], &b = gguf.source->tensors()[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.dtype, b.dtype);
    EXPECT_EQ(a.shape, b.shape);
    std::vector<std::byte> left(static_cast<size_t>(a.bytes())), right(left.size());
    hf.source->read(a, left);
    gguf.source->read(b, right);
    EXPECT_EQ(left, right) << a.name;
  }
  const ModelSummary summary = summarize(hf);
  EXPECT_EQ(summary.tensors, 96);
  EXPECT_EQ(summary.params, 471944);
  EXPECT_EQ(summary.bytes, summarize(gguf).bytes);
}

// A copy of the tiny checkpoint that a test may damage.
class OpenFolder : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto& entry : fs::directory_iterator(kTinyCheckpoint)) {
      fs::copy(entry.path(), dir_.path());
    }
  }
  void remove(const std::string& name) { fs::remove(dir_.path(name)); }
  void expect_error(const std::string& path, ErrorKind kind, const std::string& part) {
    try {
      open_model(path);
      ADD_FAILURE() << "no error; expected " << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  }
  test::TempDir dir_;
};

TEST_F(OpenFolder, HintsAtWhatWasMeant) {
  expect_error(dir_.path("model-00001-of-00002.safetensors"), ErrorKind::bad_input, "folder");
  expect_error(dir_.path("config.json"), ErrorKind::bad_input, "folder");
  expect_error(dir_.write("pytorch_model.bin", "PK"), ErrorKind::unsupported, "pickle");
  expect_error(dir_.path("nothing.gguf"), ErrorKind::bad_input, "nothing.gguf");
  remove("config.json");
  expect_error(dir_.path(), ErrorKind::bad_input, "no config.json");
  dir_.write("x-Q4_K_M.gguf", "");
  expect_error(dir_.path(), ErrorKind::bad_input, "give the file itself, 'x-Q4_K_M.gguf'");
}

TEST_F(OpenFolder, NeverOpensPickles) {
  for (const char* name :
       {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
        "model.safetensors-00001-of-00002.safetensors",
        "model.safetensors-00002-of-00002.safetensors", "model.safetensors.index.json"}) {
    remove(name);
  }
  expect_error(dir_.path(), ErrorKind::bad_input, "safetensors");
  dir_.write("pytorch_model-00001-of-00002.bin", "PK");
  expect_error(dir_.path(), ErrorKind::unsupported, "pickle");
}

TEST_F(OpenFolder, NamesTheBrokenFile) {
  dir_.write("config.json", "{\"model_type\": ");
  expect_error(dir_.path(), ErrorKind::bad_input, "config.json");
  fs::copy(kTinyCheckpoint + "/config.json", dir_.path(), fs::copy_options::overwrite_existing);
  dir_.write("hf_quant_config.json", "{}");
  expect_error(dir_.path(), ErrorKind::unsupported, "quantized");
  remove("hf_quant_config.json");
  dir_.write("tokenizer_config.json", "{\"chat_template\": 7}");
  expect_error(dir_.path(), ErrorKind::bad_input, "tokenizer_config.json");
  dir_.write("chat_template.jinja", "\xff");
  expect_error(dir_.path(), ErrorKind::bad_input, "chat_template.jinja");
}

TEST_F(OpenFolder, FindsTheTemplateWhereItIs) {
  remove("chat_template.jinja");
  const std::string embedded = open_model(dir_.path()).chat_template;
  EXPECT_EQ(embedded, base::read_file(kTinyCheckpoint + "/chat_template.jinja"));
  const std::string path = dir_.path("tokenizer_config.json");
  base::Json config = base::parse_json(base::read_file(path));
  base::Json entry = base::Json::object();
  entry.set("name", "default");
  entry.set("template", "list");
  config.set("chat_template", base::Json::Array{entry});
  dir_.write("tokenizer_config.json", config.dump());
  EXPECT_EQ(open_model(dir_.path()).chat_template, "list");
  dir_.write("chat_template.jinja", "file");
  EXPECT_EQ(open_model(dir_.path()).chat_template, "file");
}

TEST_F(OpenFolder, WorksWithoutATokenizer) {
  for (const char* name : {"tokenizer.json", "vocab.json", "merges.txt"}) remove(name);
  EXPECT_FALSE(open_model(dir_.path()).tokenizer.has_value());
}

// Shapes against metadata: one dimension of the metadata is changed in place.
TEST(OpenModel, NamesTheTensorThatContradictsTheMetadata) {
  const test::TempDir dir;
  const std::string original = base::read_file(kTinyGguf);
  const std::string key = "qwen35moe.expert_feed_forward_length";
  const size_t at = original.find(key);
  ASSERT_NE(at, std::string::npos);
  std::string changed = original;
  changed[at + key.size() + 4] = 16;  // behind the value's type
  try {
    open_model(dir.write("changed.gguf", changed));
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    EXPECT_NE(std::string(error.what()).find("blk.0.ffn_down_exps.weight"), std::string::npos)
        << error.what();
  }
}

TEST(CheckGguf, NamesABlockThatTheMetadataDoesNotAnnounce) {
  const OpenedModel opened = open_model(kTinyGguf);
  format::Metadata fewer = *opened.metadata;
  EXPECT_NO_THROW(check_gguf(fewer, *opened.source, "x"));
  fewer.set("qwen35moe.block_count", uint32_t{2});
  try {
    check_gguf(fewer, *opened.source, "x");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    const std::string message = error.what();
    EXPECT_NE(message.find("blk."), std::string::npos) << message;
    EXPECT_NE(message.find("announces"), std::string::npos) << message;
  }
}

TEST(CheckConfig, NamesTheRelationThatFails) {
  Config config = open_model(kTinyGguf).config;
  EXPECT_NO_THROW(check_config(config, kHfKeys, "x"));
  config.rope.dims = 34;
  try {
    check_config(config, kHfKeys, "x");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("partial_rotary_factor"), std::string::npos);
  }
}

}  // namespace
}  // namespace karat::model
