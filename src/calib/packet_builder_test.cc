#include "calib/packet_builder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include "model/open.h"
#include "support/files.h"
#include "support/shared.h"

namespace karat::calib {
namespace {

using base::ErrorKind;
using base::Json;

// Words of no evaluation set: made of a seed.
std::string words(uint64_t seed, int count) {
  base::Rng rng(seed);
  std::string text;
  for (int i = 0; i < count; ++i) {
    if (i > 0) text += ' ';
    for (int c = 0; c < 2 + static_cast<int>(rng.below(5)); ++c) {
      text += static_cast<char>('a' + rng.below(26));
    }
  }
  return text;
}

std::string first_words(const std::string& text, int count) {
  size_t end = 0;
  for (int i = 0; i < count; ++i) end = text.find(' ', end + 1);
  return text.substr(0, end);
}

class PacketBuilder : public testing::Test {
 protected:
  PacketBuilder() {
    std::string texts, chats, evaluation;
    for (uint64_t i = 0; i < 60; ++i) texts += words(i, 10 + static_cast<int>(i)) + "\n";
    for (uint64_t i = 0; i < 60; ++i) {
      chats += R"({"messages": [{"role": "user", "content": ")" +
               words(1000 + i, 5 + static_cast<int>(i % 7)) +
               R"(<|im_start|>"}, {"role": "assistant", "content": ")" + words(2000 + i, 3) +
               "\"}]}\n";
    }
    evaluation = R"({"q": ")" + long_ + "\"}\n" + R"({"q": ")" + short_ + "\"}\n" + R"({"q": ")" +
                 run_ + "\"}\n";
    folder_.write("texts.txt", texts);
    folder_.write("chats.jsonl", chats);
    folder_.write("eval.jsonl", evaluation);
  }

  std::string recipe(const std::string& more = "", int64_t tokens = 2000) const {
    return "schema = 1\ncontext = 512\nseed = 5\ntokens = " + std::to_string(tokens) + R"(
[[domain]]
name = "text"
share = 3
[[domain.source]]
path = "texts.txt"
form = "lines"
)" + more + R"(
[[domain]]
name = "chat"
share = 1
[[domain.source]]
path = "chats.jsonl"
form = "chat"
[[evaluation]]
name = "planted"
path = "eval.jsonl"
form = "json"
fields = ["q"]
)";
  }

  BuiltPacket build(const std::string& text, int threads = 2) const {
    base::ThreadPool pool(threads);
    const std::string path = folder_.write("r.toml", text);
    return build_packet(parse_packet_recipe(text, path), tokenizer_, chat_template_, pool);
  }

  std::pair<ErrorKind, std::string> error_of(const std::string& text) const {
    try {
      build(text);
    } catch (const base::Error& error) {
      return {error.kind(), error.what()};
    }
    return {ErrorKind::internal, ""};
  }

  const std::string long_ = words(77, 20), short_ = words(78, 9), run_ = words(79, 40);
  model::OpenedModel opened_ = model::open_model(test::fixture("tiny-random"));
  text::Tokenizer tokenizer_{*opened_.tokenizer};
  std::string chat_template_ = opened_.chat_template;
  test::TempDir folder_;
};

TEST_F(PacketBuilder, HasExactlyTheTokensAndTheReceiptAddsUp) {
  for (const int64_t tokens : {2000, 2001, 777}) {
    const BuiltPacket built = build(recipe("", tokens));
    const Packet& packet = built.packet;
    EXPECT_EQ(static_cast<int64_t>(packet.tokens.size()), tokens);
    EXPECT_EQ(packet.domain_names, (std::vector<std::string>{"text", "chat"}));
    int64_t total = 0, sequences = 0, of_samples = 0;
    std::map<int32_t, int64_t> by_domain;
    for (size_t i = 0; i < packet.ends.size(); ++i) {
      by_domain[packet.domains[i]] += static_cast<int64_t>(packet.sequence(i).size());
    }
    const auto& domains = built.report.at("domains").as_array();
    for (size_t d = 0; d < domains.size(); ++d) {
      int64_t of_sources = 0;
      for (const Json& source : domains[d].at("sources").as_array()) {
        of_sources += source.at("tokens").as_int();
      }
      EXPECT_EQ(of_sources, domains[d].at("tokens").as_int());
      EXPECT_EQ(of_sources, by_domain[static_cast<int32_t>(d)]);
      total += of_sources;
      sequences += domains[d].at("sequences").as_int();
    }
    EXPECT_EQ(total, tokens);
    EXPECT_NEAR(static_cast<double>(by_domain[1]), static_cast<double>(tokens) / 4, 1);
    EXPECT_EQ(sequences, static_cast<int64_t>(packet.ends.size()));
    for (const Json& sample : built.report.at("samples").as_array()) {
      of_samples += sample.at("tokens").as_int();
    }
    EXPECT_EQ(of_samples, tokens);
    EXPECT_TRUE(built.report.at("removed").as_array().empty());
  }
}

TEST_F(PacketBuilder, DependsOnSeedAndContentButNotOnNamesOrThreads) {
  const auto ids = [](const BuiltPacket& built) { return built.packet.tokens; };
  const auto first = ids(build(recipe()));
  EXPECT_EQ(first, ids(build(recipe(), 7)));
  std::string other = recipe();
  other.replace(other.find("seed = 5"), 8, "seed = 6");
  EXPECT_NE(first, ids(build(other)));
  // The same lines in two files of a folder, named so that they come in another order.
  const std::string text = base::read_file(folder_.path("texts.txt"));
  const size_t middle = text.find('\n', text.size() / 2) + 1;
  std::filesystem::create_directory(folder_.path("texts"));
  folder_.write("texts/z", text.substr(0, middle));
  folder_.write("texts/a", text.substr(middle));
  std::string parts = recipe();
  parts.replace(parts.find("texts.txt"), 9, "texts");
  EXPECT_EQ(first, ids(build(parts)));
}

TEST_F(PacketBuilder, ConversationsAreWholeAndTheirMarkupIsTokens) {
  const BuiltPacket built = build(recipe());
  const auto start = static_cast<int32_t>(*tokenizer_.added_id("<|im_start|>"));
  int64_t chats = 0;
  for (size_t i = 0; i < built.packet.ends.size(); ++i) {
    if (built.packet.domains[i] != 1) continue;
    const auto ids = built.packet.sequence(i);
    // Two turns; what the user spelled is text.
    EXPECT_EQ(std::count(ids.begin(), ids.end(), start), 2);
    EXPECT_EQ(ids[0], start);
    const std::string text = tokenizer_.decode(std::vector<uint32_t>(ids.begin(), ids.end()));
    EXPECT_NE(text.find("<|im_start|><|im_end|>"), std::string::npos) << text;
    EXPECT_TRUE(base::ends_with(text, "<|im_end|>\n")) << text;
    ++chats;
  }
  EXPECT_GT(chats, 3);
}

TEST_F(PacketBuilder, PlantedOverlapsAreRemovedAndPublishedNearMissesStay) {
  std::string spaced;
  for (const char c : run_.substr(20, 70)) spaced += c == ' ' ? std::string() : std::string{c, '.'};
  const std::vector<std::string> planted = {
      "see " + first_words(long_, 13) + " end",    // thirteen words
      "then " + short_ + " again",                 // eight of a short item
      "x " + spaced,                               // fifty characters
      first_words(long_, 12) + " is a near miss",  // twelve words: stays if under fifty characters
      first_words(short_, 7) + " is one, too",
  };
  ASSERT_LT(first_words(long_, 12).size() - 11, 50u);
  std::string lines;
  for (const std::string& line : planted) lines += line + "\n";
  folder_.write("planted.txt", lines);
  const std::string source = "[[domain.source]]\npath = \"planted.txt\"\nform = \"lines\"\n";
  const BuiltPacket built = build(recipe(source, 2600));
  std::set<std::string> removed;
  for (const Json& item : built.report.at("removed").as_array()) {
    EXPECT_EQ(item.at("file").as_string(), "planted.txt");
    EXPECT_EQ(item.at("evaluation").as_string(), "planted");
    EXPECT_EQ(item.at("sha256").as_string().size(), 64u);
    removed.insert(std::to_string(item.at("document").as_int()) + " " +
                   item.at("filter").as_string() + " " + std::to_string(item.at("item").as_int()));
  }
  EXPECT_EQ(removed, (std::set<std::string>{"1 13-gram 1", "2 8-gram 2", "3 50-characters 3"}));
  EXPECT_EQ(built.report.at("domains").as_array()[0].at("sources").as_array()[1].at("removed"), 3);
  EXPECT_EQ(built.report.at("evaluations").as_array()[0].at("items"), 3);

  const auto [kind, message] = error_of("overlap = \"refuse\"\n" + recipe(source));
  EXPECT_EQ(kind, ErrorKind::gate);
  EXPECT_NE(message.find("planted.txt:1: shares a 13-gram of 'planted' item 1"), std::string::npos)
      << message;
}

// What the strings of a conversation do not share and its rendering does: markup between two words,
// content in parts whose keys stand between the words otherwise.
TEST_F(PacketBuilder, WhatOverlapsOnlyAsItIsRenderedIsRemoved) {
  folder_.write("eval.jsonl",
                "{\"q\": \"im start user qa qb qc qd qe qf im end im start assistant\"}\n"
                "{\"q\": \"ra rb rc rd re rf rg rh ri rj rk rl rm rn\"}\n");
  folder_.write("chats.jsonl",
                base::read_file(folder_.path("chats.jsonl")) +
                    R"({"messages": [{"role": "user", "content": "qa qb qc qd qe qf"}, )"
                    R"({"role": "assistant", "content": "so"}]})"
                    "\n"
                    R"({"messages": [{"role": "user", "content": [)"
                    R"({"type": "text", "text": "ra rb rc rd re rf rg "}, )"
                    R"({"type": "text", "text": "rh ri rj rk rl rm rn"}]}]})"
                    "\n");
  const BuiltPacket built = build(recipe());
  std::set<std::string> removed;
  for (const Json& item : built.report.at("removed").as_array()) {
    removed.insert(std::to_string(item.at("document").as_int()) + " " +
                   item.at("filter").as_string() + " " + std::to_string(item.at("item").as_int()));
  }
  EXPECT_EQ(removed, (std::set<std::string>{"61 13-gram 1", "62 13-gram 2"}));
  EXPECT_EQ(error_of("overlap = \"refuse\"\n" + recipe()).first, ErrorKind::gate);
}

// 200 texts that may be cut, more than are tokenized: the one with the planted words is refused
// wherever the seed puts it, and the counts of the source add up.
TEST_F(PacketBuilder, TextsThatMayBeCutAreAllHeldAgainstTheSets) {
  std::string lines;
  for (uint64_t i = 0; i < 200; ++i) lines += words(5000 + i, 200) + "\n";
  folder_.write("many.txt", lines + words(6000, 200) + " " + long_ + " " + words(6001, 20) + "\n");
  const std::string source =
      "[[domain.source]]\npath = \"many.txt\"\nform = \"lines\"\ncut = true\n";
  for (int seed = 0; seed < 8; ++seed) {
    std::string refuse = "overlap = \"refuse\"\n" + recipe(source);
    refuse.replace(refuse.find("seed = 5"), 8, "seed = " + std::to_string(seed));
    const auto [kind, message] = error_of(refuse);
    EXPECT_EQ(kind, ErrorKind::gate) << seed;
    EXPECT_NE(message.find("many.txt:201: shares a 13-gram"), std::string::npos) << message;
  }
  const BuiltPacket built = build(recipe(source));
  const Json& counts = built.report.at("domains").as_array()[0].at("sources").as_array()[1];
  int64_t sum = 0;
  for (const char* key : {"duplicates", "removed", "left_out", "used", "unused"}) {
    sum += counts.at(key).as_int();
  }
  EXPECT_EQ(sum, 201);
  EXPECT_GT(counts.at("unused").as_int(), 100);
}

TEST_F(PacketBuilder, PiecesAreRemovedAndCountedByThemselves) {
  folder_.write("book.txt", words(500, 800) + " " + long_ + " " + words(501, 800));
  const std::string source =
      "[[domain.source]]\npath = \"book.txt\"\nform = \"file\"\ncut = true\n";
  const BuiltPacket built = build(recipe(source, 9000));
  const Json& counts = built.report.at("domains").as_array()[0].at("sources").as_array()[1];
  EXPECT_EQ(counts.at("removed"), 0);
  EXPECT_EQ(counts.at("used"), 1);
  EXPECT_GE(counts.at("removed_pieces").as_int(), 1);
  EXPECT_LE(counts.at("removed_pieces").as_int(), 2);
  const auto& removed = built.report.at("removed").as_array();
  ASSERT_EQ(static_cast<int64_t>(removed.size()), counts.at("removed_pieces").as_int());
  EXPECT_GT(removed[0].at("piece").as_int(), 1);
}

TEST_F(PacketBuilder, TemplatesHaveAFixedClockAndErrorsAPlace) {
  const std::string first = build(recipe()).report.at("template_sha256").as_string();
  chat_template_ = "{{ messages[0].content }} in {{ strftime_now('%Y-%m-%d') }}\n";
  const BuiltPacket built = build(recipe());
  EXPECT_NE(built.report.at("template_sha256").as_string(), first);
  for (size_t i = 0; i < built.packet.ends.size(); ++i) {
    if (built.packet.domains[i] != 1) continue;
    const auto ids = built.packet.sequence(i);
    const std::string text = tokenizer_.decode(std::vector<uint32_t>(ids.begin(), ids.end()));
    EXPECT_TRUE(base::ends_with(text, " in 2026-01-01")) << text;
  }
  chat_template_ = "{{ raise_exception('No such role') }}";
  const auto [kind, message] = error_of(recipe());
  EXPECT_EQ(kind, ErrorKind::bad_input);
  EXPECT_NE(message.find("chats.jsonl:"), std::string::npos) << message;
  EXPECT_TRUE(base::ends_with(message, ": No such role")) << message;
}

TEST_F(PacketBuilder, ConversationsThatDifferInNumbersOnlyAreTwo) {
  std::string chats = base::read_file(folder_.path("chats.jsonl"));
  for (const char* number : {"1", "2", "2"}) {
    chats +=
        std::string(R"({"messages": [{"role": "user", "content": "go", "n": )") + number + "}]}\n";
  }
  folder_.write("chats.jsonl", chats);
  const BuiltPacket built = build(recipe());
  EXPECT_EQ(built.report.at("domains").as_array()[1].at("sources").as_array()[0].at("duplicates"),
            1);
}

TEST_F(PacketBuilder, EvaluationSetsWithoutTextsAreRefused) {
  for (const char* bytes : {"[]", "{\"q\": 7}\n{\"q\": [8]}\n", ""}) {
    folder_.write("eval.jsonl", bytes);
    const auto [kind, message] = error_of(recipe());
    EXPECT_EQ(kind, ErrorKind::bad_input) << bytes;
    EXPECT_NE(message.find("'planted': eval.jsonl has no texts in these fields"), std::string::npos)
        << message;
  }
}

TEST_F(PacketBuilder, InputsAreNamedByTheirPathsBelowTheRecipe) {
  for (const char* set : {"one", "two"}) {
    std::filesystem::create_directory(folder_.path(set));
    folder_.write(std::string(set) + "/test.txt", words(900, 20) + set + "\n");
  }
  std::string text = recipe();
  for (const char* set : {"one", "two"}) {
    text += "[[evaluation]]\nname = \"" + std::string(set) + "\"\npath = \"./" + set +
            "/test.txt\"\nform = \"lines\"\n";
  }
  const BuiltPacket built = build(text);
  EXPECT_EQ(built.input_names,
            (std::vector<std::string>{"r.toml", "eval.jsonl", "one/test.txt", "two/test.txt",
                                      "texts.txt", "chats.jsonl"}));
  EXPECT_EQ(built.inputs.size(), built.input_names.size());
}

TEST_F(PacketBuilder, LongTextsAreLeftOutOrCutAndCopiesDropped) {
  folder_.write("long.txt", words(500, 800));
  folder_.write("copy.txt", base::read_file(folder_.path("texts.txt")));
  const std::string more =
      "[[domain.source]]\npath = \"long.txt\"\nform = \"file\"\n"
      "[[domain.source]]\npath = \"copy.txt\"\nform = \"lines\"\n";
  const BuiltPacket whole = build(recipe(more));
  ASSERT_EQ(whole.report.at("left_out").as_array().size(), 1u);
  EXPECT_EQ(whole.report.at("left_out").as_array()[0].at("file"), "long.txt");
  EXPECT_EQ(whole.report.at("domains").as_array()[0].at("sources").as_array()[2].at("duplicates"),
            60);
  std::string cut = recipe(more);
  cut.replace(cut.find("form = \"file\""), 13, "form = \"file\"\ncut = true");
  const BuiltPacket pieces = build(cut);
  EXPECT_TRUE(pieces.report.at("left_out").as_array().empty());
  int64_t found = 0;
  for (const Json& sample : pieces.report.at("samples").as_array()) {
    EXPECT_LE(sample.at("tokens").as_int(), 512);
    found += sample.find("piece") != nullptr ? 1 : 0;
  }
  EXPECT_GT(found, 0);
}

TEST_F(PacketBuilder, ALongDocumentStaysOneSequence) {
  folder_.write("long.txt", words(500, 12000));
  std::string text =
      "schema = 1\ncontext = 65536\ntokens = 50000\n[[domain]]\nname = 'long'\nshare = 1\n";
  text += "[[domain.source]]\npath = 'long.txt'\nform = 'file'\n";
  const auto [kind, message] = error_of(text);  // says how many tokens it has
  ASSERT_EQ(kind, ErrorKind::usage) << message;
  const std::string length = message.substr(message.find("has ") + 4, 5);
  ASSERT_GT(std::stoll(length), 32768);
  const BuiltPacket built = build(text.replace(text.find("50000"), 5, length));
  EXPECT_EQ(built.packet.ends, std::vector<int64_t>{std::stoll(length)});
}

TEST_F(PacketBuilder, TooFewTokensSaySo) {
  const auto [kind, message] = error_of(recipe("", 1000000));
  EXPECT_EQ(kind, ErrorKind::usage);
  EXPECT_NE(message.find("domain 'text' has "), std::string::npos) << message;
  EXPECT_NE(message.find(" of 750000 tokens; give more text"), std::string::npos) << message;
  // All of a domain is an evaluation set: that is what the message says, with the gate's status.
  folder_.write("eval.jsonl", base::read_file(folder_.path("chats.jsonl")));
  std::string all = recipe();
  all.replace(all.find("fields = [\"q\"]"), 14, "");
  const auto [gate, reason] = error_of(all);
  EXPECT_EQ(gate, ErrorKind::gate);
  EXPECT_NE(reason.find(" documents and 0 pieces that overlap evaluation sets"), std::string::npos)
      << reason;
}

TEST_F(PacketBuilder, ConversationsThatDoNotAddUpAreNotCut) {
  folder_.write("chats.jsonl",
                "{\"messages\": [{\"role\": \"user\", \"content\": \"one\"}]}\n"
                "{\"messages\": [{\"role\": \"user\", \"content\": \"" +
                    words(3, 60) + "\"}]}\n");
  std::string text = recipe("", 80);
  text.replace(text.find("share = 1"), 9, "share = 3");
  const auto [kind, message] = error_of(text);
  EXPECT_EQ(kind, ErrorKind::usage);
  EXPECT_NE(message.find("no whole conversations of domain 'chat' add up to 40"), std::string::npos)
      << message;
}

}  // namespace
}  // namespace karat::calib
