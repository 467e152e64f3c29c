#include "export/model_name.h"

#include <gtest/gtest.h>

#include "export/model_card.h"

namespace karat::exporting {
namespace {

constexpr int64_t kB = 1'000'000'000;

struct Case {
  const char* id;
  int64_t params;
  const char *name, *organization, *basename, *finetune, *version, *size;
};

// Expected values by running gguf-py 0.19's Metadata.get_model_id_components.
TEST(ModelName, SplitsAsTheReferenceDoes) {
  const Case cases[] = {
      {"tiny-random", 471944, "tiny-random", "", "", "", "", ""},
      {"Qwen3.6-35B-A3B", 35 * kB, "Qwen3.6-35B-A3B", "", "Qwen3.6", "", "", "35B-A3B"},
      {"Qwen/Qwen3.6-35B-A3B", 35 * kB, "Qwen3.6-35B-A3B", "Qwen", "Qwen3.6", "", "", "35B-A3B"},
      {"Qwen3.6-35B-A3B", 446'571'248, "Qwen3.6-35B-A3B", "", "Qwen3.6", "35b", "", "A3B"},
      {"Mistral-7B-Instruct-v0.2", 7 * kB, "Mistral-7B-Instruct-v0.2", "", "Mistral", "Instruct",
       "v0.2", "7B"},
      {"Mixtral-8x7B-Instruct-v0.1", 47 * kB, "Mixtral-8x7B-Instruct-v0.1", "", "Mixtral",
       "Instruct", "v0.1", "8x7B"},
      {"Phi-3-mini-4k-instruct", 4 * kB, "Phi-3-mini-4k-instruct", "", "Phi-3", "4k-instruct", "",
       "mini"},
      {"bloom-7b1", 7 * kB, "bloom-7b1", "", "bloom", "", "", "7.1B"},
      {"a model of mine", 0, "a model of mine", "", "", "", "", ""},
      {"./x-1B", kB, "x-1B", "", "x", "", "", "1B"},
      {"model-BF16", kB, "model-BF16", "", "", "", "", ""},
      {"Qwen3.6-35B-A3B-Q4_K_M", 35 * kB, "Qwen3.6-35B-A3B-Q4_K_M", "", "Qwen3.6", "", "",
       "35B-A3B"},
      {"x-small-7b-chat", 7 * kB, "x-small-7b-chat", "", "x-small", "chat", "", "7B"},
      {"iter10-foo", kB, "iter10-foo", "", "", "", "", ""},
      {"foo-1M", 35 * kB, "foo-1M", "", "foo", "1m", "", ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.id);
    const NameParts parts = split_model_name(c.id, c.params);
    EXPECT_EQ(parts.name, c.name);
    EXPECT_EQ(parts.organization.value_or(""), c.organization);
    EXPECT_EQ(parts.basename.value_or(""), c.basename);
    EXPECT_EQ(parts.finetune.value_or(""), c.finetune);
    EXPECT_EQ(parts.version.value_or(""), c.version);
    EXPECT_EQ(parts.size_label.value_or(""), c.size);
  }
}

TEST(ModelName, MakesTitles) {
  EXPECT_EQ(title_of("tiny-random"), "Tiny Random");
  EXPECT_EQ(title_of("Qwen3.6-35B-A3B"), "Qwen3.6 35B A3B");
  EXPECT_EQ(title_of("my-model-v1.5-7b"), "My Model v1.5 7b");
  EXPECT_EQ(title_of("v8x-x2y"), "V8X X2Y");
  EXPECT_EQ(title_of("  two   words "), "Two Words");
  EXPECT_EQ(title_of(""), "");
}

TEST(ModelName, RoundsCounts) {
  EXPECT_EQ(rounded_count(257'000), "257K");
  EXPECT_EQ(rounded_count(93'152), "93K");
  EXPECT_EQ(rounded_count(1'260), "1.3K");
  EXPECT_EQ(rounded_count(400), "0.40K");
  EXPECT_EQ(rounded_count(0), "0.00K");
  EXPECT_EQ(rounded_count(24.1e6), "24M");
  EXPECT_EQ(rounded_count(35.5e9), "36B");
  EXPECT_EQ(rounded_count(3.5e9), "3.5B");
  EXPECT_EQ(rounded_count(1.5e12), "1.5T");
}

TEST(ModelCard, ReadsFlatKeysAndLists) {
  const ModelCard card = parse_model_card(
      "---\n"
      "library_name: transformers\n"
      "license: apache-2.0  # a comment\n"
      "license_link: https://example.org/LICENSE\n"
      "base_model:\n- Qwen/Qwen3.6-35B-A3B\n  - 'other/model'\n"
      "tags: [a, \"b c\", d]\n"
      "model-index:\n- name: nested\n  results:\n    - x\n"
      "description: |\n  text\n"
      "empty:\n"
      "---\n"
      "license: not this one\n");
  const ModelCard want{{"library_name", {"transformers"}},
                       {"license", {"apache-2.0"}},
                       {"license_link", {"https://example.org/LICENSE"}},
                       {"base_model", {"Qwen/Qwen3.6-35B-A3B", "other/model"}},
                       {"tags", {"a", "b c", "d"}}};
  EXPECT_EQ(card, want);
}

TEST(ModelCard, NeverFails) {
  EXPECT_TRUE(parse_model_card("").empty());
  EXPECT_TRUE(parse_model_card("# A model\nlicense: mit\n").empty());
  EXPECT_TRUE(parse_model_card("---\n: : :\n- - -\n\t\n[\n{\n'\n").empty());
  EXPECT_EQ(parse_model_card("---\r\nlicense: mit\r\n").at("license").front(), "mit");
}

}  // namespace
}  // namespace karat::exporting
