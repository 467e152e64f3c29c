#include "receipt/check.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "support/files.h"

namespace karat::receipt {
namespace {

std::string hash_of(const std::string& text) {
  return base::sha256_hex(std::as_bytes(std::span(text)));
}

// A receipt of out.gguf ("bytes"), made of in.gguf ("input").
class Check : public testing::Test {
 protected:
  Check() {
    out_ = dir_.write("out.gguf", "bytes");
    receipt_.verb = "quantize";
    receipt_.inputs = {{"in.gguf", 5, hash_of("input")}};
    receipt_.options.set("type", "Q4_K_M");
    receipt_.notes.emplace_back("blk.0", "cold");
    receipt_file(out_, out_, receipt_, 1, 2, "avx2")->commit();
  }
  ReceiptFile read() const { return read_receipt(out_ + ".receipt.json"); }
  ReceiptFile read_after(const std::string& from, const std::string& to) {
    std::string text = test::read_bytes(out_ + ".receipt.json");
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    return read_receipt(dir_.write("edited.json", text));
  }

  test::TempDir dir_;
  std::string out_;
  Receipt receipt_;
  base::ThreadPool pool_{2};
};

TEST_F(Check, WhatWasWrittenIsRead) {
  const ReceiptFile file = read();
  EXPECT_EQ(file.version, kVersion);
  EXPECT_EQ(file.receipt.verb, "quantize");
  EXPECT_EQ(file.receipt.inputs[0].sha256, hash_of("input"));
  EXPECT_EQ(file.receipt.options, receipt_.options);
  EXPECT_EQ(file.receipt.notes, receipt_.notes);
  EXPECT_TRUE(check_outputs(file, {out_}, pool_).empty());
  EXPECT_TRUE(check_entries(file, metadata_entries(receipt_)).empty());
}

TEST_F(Check, AnotherFileIsFound) {
  dir_.write("out.gguf", "bytez");
  std::vector<std::string> faults = check_outputs(read(), {out_}, pool_);
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_NE(faults[0].find("has the SHA-256 " + hash_of("bytez")), std::string::npos) << faults[0];
  dir_.write("out.gguf", "byte");
  faults = check_outputs(read(), {out_}, pool_);
  EXPECT_NE(faults.at(0).find("has 4 bytes, the receipt says 5"), std::string::npos) << faults[0];
  const std::string other = dir_.write("other.gguf", "bytes");
  EXPECT_NE(check_outputs(read(), {other}, pool_).at(0).find("the receipt is of out.gguf"),
            std::string::npos);
  EXPECT_NE(check_outputs(read(), {out_, other}, pool_).at(0).find("1 files, here are 2"),
            std::string::npos);
}

TEST_F(Check, TruncatedHashesFail) {
  const std::string hash = hash_of("bytes");
  const auto faults = check_outputs(read_after(hash, hash.substr(0, 12)), {out_}, pool_);
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_NE(faults[0].find("no full SHA-256"), std::string::npos) << faults[0];
}

TEST_F(Check, EditedReceiptsDifferFromTheFilesKeys) {
  const auto stored = metadata_entries(receipt_);
  for (const auto& [from, to] : {std::pair{"Q4_K_M", "Q6_K"},
                                 {"\"verb\": \"quantize\"", "\"verb\": \"convert\""},
                                 {"in.gguf", "on.gguf"},
                                 {kVersion, "9.9"},
                                 {"cold", "warm"}}) {
    EXPECT_EQ(check_entries(read_after(from, to), stored).size(), 1u) << from;
  }
  EXPECT_EQ(check_entries(read(), {}).size(), stored.size());
}

TEST_F(Check, InputsAreCheckedWhereTheyAre) {
  InputCheck check = check_inputs(receipt_.inputs, dir_.path(), pool_);
  EXPECT_EQ(check.absent, std::vector<std::string>{"in.gguf"});
  dir_.write("in.gguf", "input");
  check = check_inputs(receipt_.inputs, dir_.path(), pool_);
  EXPECT_EQ(check.matching, 1);
  EXPECT_TRUE(check.faults.empty() && check.absent.empty());
  dir_.write("in.gguf", "inpux");
  EXPECT_EQ(check_inputs(receipt_.inputs, dir_.path(), pool_).faults.size(), 1u);
  // Names may have folders, and those that lead elsewhere are not followed.
  std::filesystem::create_directory(dir_.path("set"));
  dir_.write("set/in.gguf", "input");
  check = check_inputs({{"set/in.gguf", 5, hash_of("input")}}, dir_.path(), pool_);
  EXPECT_EQ(check.matching, 1);
  const std::vector<Input> hostile = {{"../in.gguf", 5, hash_of("input")},
                                      {"set/../in.gguf", 5, hash_of("input")},
                                      {dir_.path("in.gguf"), 5, hash_of("input")},
                                      {"", 5, hash_of("input")},
                                      {"in.gguf", 5, "12"}};
  check = check_inputs(hostile, dir_.path(), pool_);
  EXPECT_EQ(check.matching, 0);
  EXPECT_EQ(check.faults.size(), 5u);
}

TEST_F(Check, LinesOfTheKeyAreParsed) {
  Receipt receipt = receipt_;
  receipt.inputs.push_back({"two words.gguf", 7, hash_of("x")});
  const auto entries = metadata_entries(receipt);
  const auto inputs = parse_inputs(entries[2].second);
  ASSERT_EQ(inputs.size(), 2u);
  EXPECT_EQ(inputs[1].name, "two words.gguf");
  EXPECT_EQ(inputs[1].bytes, 7u);
  EXPECT_EQ(inputs[1].sha256, hash_of("x"));
  for (const char* bad : {"nonsense", "a b c", "abc 12x name", "abc  name"}) {
    ASSERT_EQ(parse_inputs(bad).size(), 1u) << bad;
    EXPECT_EQ(parse_inputs(bad)[0].sha256, "") << bad;
  }
  EXPECT_TRUE(parse_inputs("").empty());
}

TEST_F(Check, WhatIsNoReceiptIsRefused) {
  for (const char* text :
       {"", "{}", "[]", "{\"schema\": 2}", "{\"schema\": 1}", "{\"schema\": 1, \"version\": 3}"}) {
    EXPECT_THROW(read_receipt(dir_.write("bad.json", text)), base::Error) << text;
  }
}

}  // namespace
}  // namespace karat::receipt
