#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "cli/command.h"

namespace karat::cli {
namespace {

namespace fs = std::filesystem;

const std::string kTiny = std::string(KARAT_ROOT) + "/tests/fixtures/tiny-random";

// What the verb prints to stdout.
std::string output_of(std::unique_ptr<Command> command, const std::vector<std::string>& arguments,
                      const Common& common = {}) {
  Options options;
  command->declare(options);
  EXPECT_TRUE(options.parse(command->verb(), arguments));
  testing::internal::CaptureStdout();
  try {
    command->run(common);
  } catch (...) {
    testing::internal::GetCapturedStdout();
    throw;
  }
  return testing::internal::GetCapturedStdout();
}

class CmdConvertTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "karat-cmd-convert-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string folder_;
};

TEST_F(CmdConvertTest, WritesBothFilesAndReportsThem) {
  Common common;
  common.json = true;
  const std::string text =
      output_of(make_convert(), {kTiny, "-o", path("a.gguf"), "--mmproj", path("v.gguf")}, common);
  const base::Json json = base::parse_json(text);
  EXPECT_EQ(json.at("schema"), base::Json(1));
  const auto& files = json.at("files").as_array();
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].at("paths").as_array().at(0).as_string(), path("a.gguf"));
  EXPECT_EQ(files[0].at("tensors").as_int(), 96);
  EXPECT_EQ(files[0].at("bytes").as_int(), 976928);
  EXPECT_EQ(files[0].at("type").as_string(), "bf16");
  EXPECT_EQ(files[1].at("tensors").as_int(), 34);
  EXPECT_EQ(base::File(path("a.gguf")).size(), 976928u);
  EXPECT_EQ(base::File(path("v.gguf")).size(), 293632u);
}

TEST_F(CmdConvertTest, RefusesContradictions) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{kTiny},
        std::vector<std::string>{kTiny, "-o", path("a.gguf"), "--no-mtp", "--mtp-only"}}) {
    try {
      output_of(make_convert(), arguments);
      FAIL();
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::usage) << error.what();
    }
  }
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(CmdConvertTest, InspectTellsTheSameOfFolderAndFile) {
  output_of(make_convert(), {kTiny, "-o", path("a.gguf")});
  Common common;
  common.json = true;
  const base::Json folder =
      base::parse_json(output_of(make_inspect(), {kTiny, "--tensors"}, common));
  const base::Json file =
      base::parse_json(output_of(make_inspect(), {path("a.gguf"), "--tensors"}, common));
  for (const char* key :
       {"architecture", "params", "active_params", "mtp_params", "bytes", "bits_per_weight",
        "types", "tokenizer", "chat_template_sha256", "tensors"}) {
    EXPECT_EQ(folder.at(key), file.at(key)) << key;
  }
  EXPECT_EQ(file.at("tensors").as_array().size(), 96u);
  EXPECT_EQ(file.at("format").as_string(), "gguf");
  EXPECT_EQ(file.at("config").at("experts").as_int(), 8);
  const std::string text = output_of(make_inspect(), {path("a.gguf")});
  EXPECT_NE(text.find("8, 2 per token"), std::string::npos) << text;
  EXPECT_NE(text.find("MTP block"), std::string::npos) << text;
}

}  // namespace
}  // namespace karat::cli
