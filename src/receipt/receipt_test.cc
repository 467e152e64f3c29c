#include "receipt/receipt.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"

namespace karat::receipt {
namespace {

std::string temp(const char* name) {
  return (std::filesystem::path(::testing::TempDir()) / name).string();
}

Receipt example() {
  Receipt receipt;
  receipt.verb = "quantize";
  receipt.inputs = {{"a.gguf", 3, "aa"}, {"b\n.gguf", 4, "bb"}};
  receipt.options.set("type", "Q4_K_M");
  return receipt;
}

std::string value_of(const Receipt& receipt, const std::string& key) {
  for (const auto& [name, value] : metadata_entries(receipt)) {
    if (name == key) return value;
  }
  return "(absent)";
}

TEST(Receipt, MetadataHoldsWhatDeterminesTheBytes) {
  Receipt receipt = example();
  EXPECT_EQ(value_of(receipt, "karat.version"), kVersion);
  EXPECT_EQ(value_of(receipt, "karat.verb"), "quantize");
  EXPECT_EQ(value_of(receipt, "karat.inputs"), "aa 3 a.gguf\nbb 4 b\\n.gguf");
  EXPECT_EQ(value_of(receipt, "karat.options"), "{\"type\": \"Q4_K_M\"}");
  EXPECT_EQ(value_of(receipt, "karat.notes"), "(absent)");
  receipt.notes.emplace_back("blk.0.x", "2 experts without statistics");
  EXPECT_EQ(value_of(receipt, "karat.notes"), "blk.0.x: 2 experts without statistics");
}

TEST(Receipt, InputsAreHashedInTheirOrder) {
  const std::string a = temp("receipt_a"), b = temp("receipt_b");
  base::write_file(a, "abc");
  base::write_file(b, "");
  base::ThreadPool pool(3);
  InputHasher hasher({b, a});
  hasher.advance(0.4);
  hasher.advance(0.7);
  const auto inputs = hasher.finish(pool);
  ASSERT_EQ(inputs.size(), 2u);
  EXPECT_EQ(inputs[0].name, "receipt_b");
  EXPECT_EQ(inputs[0].sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(inputs[1].bytes, 3u);
  EXPECT_EQ(inputs[1].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_THROW(InputHasher({temp("receipt_missing")}), base::Error);
}

TEST(Receipt, FileBesideTheOutputDescribesIt) {
  const std::string out = temp("receipt_out.gguf");
  base::write_file(out, "abc and a journal");
  receipt_file(out, {{out, out, 3}}, example(), {1.5, 2, "avx2"})->commit();
  const base::Json json = base::parse_json(base::read_file(out + ".receipt.json"));
  ASSERT_EQ(json.at("outputs").as_array().size(), 1u);
  EXPECT_EQ(json.at("outputs").as_array()[0].at("sha256").as_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(json.at("outputs").as_array()[0].at("bytes").as_int(), 3);
  EXPECT_EQ(json.at("threads").as_int(), 2);
  const base::Json& machine = json.at("machine");
  EXPECT_EQ(machine.at("instruction_set").as_string(), "avx2");
  EXPECT_FALSE(machine.at("processor").as_string().empty());
  EXPECT_GT(json.at("peak_memory_bytes").as_int(), 1 << 20);
  EXPECT_EQ(json.at("build").at("sha256").as_string(), base::sha256_of_file("/proc/self/exe"));
  EXPECT_EQ(json.at("inputs").as_array().size(), 2u);
}

}  // namespace
}  // namespace karat::receipt
