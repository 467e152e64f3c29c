// karat verify as a user runs it.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/json.h"
#include "format/gguf.h"
#include "support/hostile.h"
#include "support/program.h"

namespace karat {
namespace {

namespace fs = std::filesystem;
using base::Json;
using test::Outcome;
using test::refused;
using test::run_karat;
using test::succeeded;

const std::string kTiny = test::fixture("tiny-random");

// A refusal after the report: stdout has what was found.
testing::AssertionResult failed(const Outcome& outcome, int status, const std::string& words) {
  if (outcome.status != status) {
    return testing::AssertionFailure() << "status " << outcome.status << ": " << outcome.err;
  }
  if (outcome.out.empty() || outcome.err.find(words) == std::string::npos) {
    return testing::AssertionFailure() << "'" << words << "' is not in: " << outcome.err;
  }
  return testing::AssertionSuccess();
}

class Verify : public testing::Test {
 protected:
  // A quantized model with its receipt.
  Verify() { EXPECT_TRUE(succeeded(run_karat({"quantize", kTiny, file_, "Q8_0"}))); }
  Outcome verify(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> line = {"verify", file_};
    line.insert(line.end(), more.begin(), more.end());
    return run_karat(line);
  }
  void flip(uint64_t offset, char value) const {
    std::string bytes = test::read_bytes(file_);
    bytes[offset] = value;
    dir_.write("q.gguf", bytes);
  }

  test::TempDir dir_;
  std::string file_ = dir_.path("q.gguf");
};

TEST_F(Verify, WhatWeWriteIsSound) {
  const Outcome outcome = verify({"--inputs", kTiny, "--json"});
  ASSERT_TRUE(succeeded(outcome));
  const Json json = base::parse_json(outcome.out);
  EXPECT_TRUE(json.at("sound").as_bool());
  EXPECT_EQ(json.at("receipt").as_string(), file_ + ".receipt.json");
  EXPECT_GT(json.at("inputs").at("matching").as_int(), 3);
  EXPECT_TRUE(json.at("inputs").at("absent").as_array().empty());
}

TEST_F(Verify, ChangedBytesDoNotFitTheReceipt) {
  const format::GgufSource source(file_);
  const tensor::TensorInfo& tensor = source.at("output.weight");
  // A code of the first block: the file stays sound, but it is another.
  flip(source.place(tensor).offset + 2, '\x11');
  EXPECT_TRUE(failed(verify(), 6, "SHA-256"));
  fs::remove(file_ + ".receipt.json");
  EXPECT_TRUE(succeeded(verify()));
}

TEST_F(Verify, ImpossibleScalesAreDamage) {
  const format::GgufSource source(file_);
  flip(source.place(source.at("output.weight")).offset + 1, '\x7c');
  EXPECT_TRUE(failed(verify(), 3, "tensor 'output.weight', row 0, block 0"));
}

TEST_F(Verify, ForeignAndEditedReceipts) {
  std::string text = test::read_bytes(file_ + ".receipt.json");
  ASSERT_TRUE(succeeded(run_karat({"quantize", kTiny, dir_.path("other.gguf"), "BF16"})));
  EXPECT_TRUE(failed(verify({"--receipt", dir_.path("other.gguf.receipt.json")}), 6,
                     "the receipt is of other.gguf"));
  const size_t at = text.find("\"Q8_0\"");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 6, "\"Q6_K\"");
  const std::string edited = dir_.write("edited.json", text);
  EXPECT_TRUE(failed(verify({"--receipt", edited}), 6, "karat.options"));
  EXPECT_TRUE(refused(verify({"--receipt", dir_.path("nowhere.json")}), 3, {"nowhere.json"}));
  EXPECT_TRUE(refused(verify({"--receipt", file_}), 3, {"q.gguf"}));
}

TEST_F(Verify, ForeignInputs) {
  test::TempDir inputs;
  inputs.write("config.json", "{}");
  EXPECT_TRUE(failed(verify({"--inputs", inputs.path()}), 6, "config.json"));
  const test::TempDir empty;
  EXPECT_TRUE(failed(verify({"--inputs", empty.path()}), 6, "none of the inputs"));
  EXPECT_TRUE(test::refused(verify({"--inputs", inputs.path("absent")}), 3, {"is no folder"}));
}

TEST_F(Verify, RenamedFiles) {
  fs::rename(file_, dir_.path("better.gguf"));
  EXPECT_TRUE(
      failed(run_karat({"verify", dir_.path("better.gguf"), "--receipt", file_ + ".receipt.json"}),
             6, "better.gguf"));
}

TEST(VerifyConverted, AllFilesOfAConversion) {
  test::TempDir dir;
  ASSERT_TRUE(succeeded(run_karat({"convert", kTiny, "-o", dir.path("m.gguf"), "--mmproj",
                                   dir.path("v.gguf"), "--split-max-size", "300K"})));
  std::vector<std::string> firsts = {"v.gguf"};
  for (const auto& entry : fs::directory_iterator(dir.path())) {
    const std::string name = entry.path().filename();
    if (name.find("m-00001-of-") == 0) firsts.push_back(name);
  }
  ASSERT_EQ(firsts.size(), 2u);
  for (const std::string& name : firsts) {
    const Outcome outcome = run_karat({"verify", dir.path(name), "--inputs", kTiny, "--json"});
    ASSERT_TRUE(succeeded(outcome)) << name;
    const Json json = base::parse_json(outcome.out);
    EXPECT_TRUE(json.at("receipt").is_string()) << name;
    EXPECT_TRUE(json.at("inputs").at("absent").as_array().empty()) << name;
  }
  test::TempDir bare;
  ASSERT_TRUE(succeeded(run_karat({"convert", kTiny, "-o", bare.path("m.gguf"), "--no-receipt"})));
  EXPECT_EQ(bare.file_count(), 1u);
}

TEST(VerifyOthers, EveryKindOfFile) {
  for (const char* name :
       {"tiny-random", "tiny-random/model.safetensors-00001-of-00002.safetensors",
        "goldens/gguf/tiny-bf16.gguf", "goldens/gguf/mmproj-tiny-f32.gguf",
        "goldens/imatrix/tiny-f32.imatrix.gguf", "goldens/imatrix/tiny-f32.imatrix.dat"}) {
    EXPECT_TRUE(succeeded(run_karat({"verify", test::fixture(name)}))) << name;
  }
}

TEST(VerifyOthers, HostileFiles) {
  test::TempDir dir;
  std::vector<test::HostileFile> files = test::other_files();
  for (const auto& more :
       {test::hostile_gguf_heads(), test::hostile_gguf_keys(), test::hostile_imatrix_dats()}) {
    files.insert(files.end(), more.begin(), more.end());
  }
  for (const test::HostileFile& file : files) {
    EXPECT_TRUE(refused(run_karat({"verify", dir.write(file.name, file.bytes)}), 3, {file.name}))
        << file.name;
  }
}

}  // namespace
}  // namespace karat
