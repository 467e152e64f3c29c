#include "recipe/overrides.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace karat::recipe {
namespace {

TEST(Overrides, FourTypesAsLlamaQuantizeStoresThem) {
  EXPECT_EQ(parse_override("a.b=int:5").value, format::Value(uint32_t{5}));
  EXPECT_EQ(parse_override("a=int:-5").value, format::Value(uint32_t{5}));
  EXPECT_EQ(parse_override("a=float:1.5").value, format::Value(1.5f));
  EXPECT_EQ(parse_override("a=bool:true").value, format::Value(true));
  EXPECT_EQ(parse_override("a=bool:false").value, format::Value(false));
  EXPECT_EQ(parse_override("a=str:x=y:z").value, format::Value("x=y:z"));
  EXPECT_EQ(parse_override("a=str:").value, format::Value(""));
  EXPECT_EQ(parse_override("a.b=int:5").key, "a.b");
}

TEST(Overrides, WhatIsNoneIsRefused) {
  for (const std::string& text :
       {std::string("a"), std::string("a=5"), std::string("=int:5"), std::string("a=int:"),
        std::string("a=int:5x"), std::string("a=int:4294967296"), std::string("a=float:"),
        std::string("a=float:nan"), std::string("a=bool:1"), std::string("a=u32:1"),
        std::string("a=int:-9223372036854775808"), std::string("karat.version=str:1"),
        std::string("split.count=int:9"), "a=str:" + std::string(128, 'x'),
        std::string(128, 'k') + "=int:1"}) {
    try {
      parse_override(text);
      ADD_FAILURE() << text;
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::usage);
      EXPECT_NE(std::string(error.what()).find("--override-kv"), std::string::npos);
    }
  }
}

tensor::Importance three() {
  tensor::Importance all;
  for (const char* name : {"blk.0.attn_q.weight", "blk.0.ffn_up.weight", "blk.1.attn_q.weight"}) {
    all.entries.emplace(name, tensor::ImportanceEntry{});
  }
  return all;
}

std::vector<std::string> names_after(const std::vector<std::string>& included,
                                     const std::vector<std::string>& excluded) {
  tensor::Importance all = three();
  select_entries(all, included, excluded);
  std::vector<std::string> names;
  for (const auto& [name, entry] : all.entries) names.push_back(name);
  return names;
}

TEST(Overrides, EntriesAreChosenByPartsOfTheirNames) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(names_after({}, {}).size(), 3u);
  EXPECT_EQ(names_after({"attn"}, {}), (Names{"blk.0.attn_q.weight", "blk.1.attn_q.weight"}));
  EXPECT_EQ(names_after({}, {"blk.0"}), (Names{"blk.1.attn_q.weight"}));
  EXPECT_THROW(names_after({"attn"}, {"ffn"}), base::Error);
  EXPECT_THROW(names_after({"atn"}, {}), base::Error);
  EXPECT_THROW(names_after({}, {"atn"}), base::Error);
}

}  // namespace
}  // namespace karat::recipe
