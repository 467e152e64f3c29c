#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "text/tokenizer.h"
#include "text/tokenizer_spec.h"
#include "text/tokenizer_testing.h"

namespace karat::text {
namespace {

using base::ErrorKind;
using base::Json;

HfTokenizerFiles tiny_files() { return read_hf_tokenizer_files(fixture("tiny-random")); }

// The files of tiny-random after `change` to the JSON of one of them.
HfTokenizerFiles changed(std::optional<std::string> HfTokenizerFiles::*file,
                         const std::function<void(Json&)>& change) {
  HfTokenizerFiles files = tiny_files();
  files.folder = "dir";
  Json json = base::parse_json((files.*file).value());
  change(json);
  files.*file = json.dump();
  return files;
}

HfTokenizerFiles changed_tokenizer(const std::function<void(Json&)>& change) {
  return changed(&HfTokenizerFiles::tokenizer_json, change);
}

Json& member(Json& object, std::string_view key) {
  for (auto& [name, value] : object.as_object()) {
    if (name == key) return value;
  }
  throw std::out_of_range(std::string(key));
}

void expect_refused(ErrorKind kind, const std::string& message, const HfTokenizerFiles& files) {
  try {
    spec_from_hf(files);
    ADD_FAILURE() << "not refused: " << message;
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_EQ(std::string(error.what()).substr(0, message.size()), message);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
  }
}

// Every value of tokenizer.ggml.* that the reference converter writes for this folder.
TEST(TokenizerSpecHf, EqualsTheReferenceConverter) {
  const TokenizerSpec spec = spec_from_hf(tiny_files());
  const Json dump = base::parse_json(base::read_file(fixture("goldens/gguf/tiny-f32.json")));
  std::vector<std::string> roles, expected_roles;
  for (const SpecialId& special : spec.special_ids) roles.push_back(special.name);
  size_t compared = 0;
  for (const Json& pair : dump.at("kv").as_array()) {
    const std::string key = pair.at("key").as_string();
    const Json& value = pair.at("value");
    if (!key.starts_with("tokenizer.ggml.")) continue;
    ++compared;
    const std::string name = key.substr(15);
    if (name == "model") {
      EXPECT_EQ(spec.model, value.as_string());
    }
    if (name == "pre") {
      EXPECT_EQ(spec.pre, value.as_string());
    }
    if (name == "add_bos_token") {
      EXPECT_EQ(spec.add_bos, value.as_bool());
    }
    if (name == "tokens" || name == "merges") {
      std::vector<std::string> texts;
      for (const Json& text : value.as_array()) texts.push_back(text.as_string());
      EXPECT_EQ(name == "tokens" ? spec.tokens : spec.merges, texts);
    }
    if (name == "token_type") {
      ASSERT_EQ(spec.types.size(), value.as_array().size());
      for (size_t i = 0; i < spec.types.size(); ++i) {
        EXPECT_EQ(static_cast<int64_t>(spec.types[i]), value.as_array()[i].as_int()) << i;
      }
    }
    if (name.ends_with("_token_id")) {
      expected_roles.push_back(name.substr(0, name.size() - 9));
      EXPECT_EQ(spec.special_id(expected_roles.back()), value.as_uint());
    }
  }
  EXPECT_EQ(compared, 9u);
  EXPECT_EQ(roles, expected_roles);
  EXPECT_EQ(spec.add_eos, std::nullopt);
}

TEST(TokenizerSpecHf, MergesBothListsOfAddedTokens) {
  const TokenizerSpec spec = spec_from_hf(tiny_files());
  ASSERT_EQ(spec.added.size(), 33u);
  for (uint32_t i = 0; i < 33; ++i) EXPECT_EQ(spec.added[i].id, 466 + i);
  EXPECT_EQ(spec.added.back().content, "<|audio_pad|>");  // only in tokenizer_config.json
  EXPECT_EQ(spec.tokens.size(), 512u);
  EXPECT_EQ(spec.tokens[499], "[PAD499]");
  EXPECT_EQ(spec.types[511], TokenType::unused);
  // eos 468, generation_config's 468 and 466, and fim_pad, repo_name, file_sep
  EXPECT_EQ(spec.end_ids, (std::vector<uint32_t>{466, 468, 485, 486, 487}));
}

TEST(TokenizerSpecHf, ReadsTheOlderPairOfFiles) {
  HfTokenizerFiles files = tiny_files();
  files.vocab_json = base::read_file(fixture("tiny-random/vocab.json"));
  files.merges_txt = base::read_file(fixture("tiny-random/merges.txt"));
  const TokenizerSpec newer = spec_from_hf(files);
  files.tokenizer_json = std::nullopt;
  const TokenizerSpec older = spec_from_hf(files);
  EXPECT_EQ(older.tokens, newer.tokens);
  EXPECT_EQ(older.types, newer.types);
  EXPECT_EQ(older.merges, newer.merges);
  EXPECT_EQ(older.end_ids, newer.end_ids);
  EXPECT_EQ(older.added.size(), newer.added.size());
  files.merges_txt = "#version: 0.2\r\n" + *files.merges_txt + "\n\n";
  EXPECT_EQ(spec_from_hf(files).merges, newer.merges);
  files.merges_txt = "i n g\n";
  expect_refused(ErrorKind::bad_input, fixture("tiny-random") + "/merges.txt: merges[0]", files);
  files.merges_txt = std::nullopt;
  expect_refused(ErrorKind::bad_input, fixture("tiny-random") + ": neither tokenizer.json nor",
                 files);
}

TEST(TokenizerSpecHf, WorksFromTokenizerJsonAlone) {
  const TokenizerSpec spec = spec_from_hf(read_hf_tokenizer_files(fixture("tokenizer-4096")));
  EXPECT_EQ(spec.tokens.size(), 4089u);
  EXPECT_TRUE(spec.special_ids.empty());
  EXPECT_FALSE(spec.end_ids.empty());  // by their texts
  const HfTokenizerFiles merged = changed_tokenizer([](Json& json) {
    Json::Array merges;
    for (const Json& pair : json.at("model").at("merges").as_array()) {
      merges.push_back(pair.as_array()[0].as_string() + " " + pair.as_array()[1].as_string());
    }
    member(json, "model").set("merges", merges);
  });
  EXPECT_EQ(spec_from_hf(merged).merges, spec_from_hf(tiny_files()).merges);
}

TEST(TokenizerSpecHf, RefusesOtherKindsByName) {
  const auto refuse = [](const std::string& message, const std::function<void(Json&)>& change) {
    expect_refused(ErrorKind::unsupported, "dir/tokenizer.json: " + message,
                   changed_tokenizer(change));
  };
  const auto set_model = [](const char* key, Json value) {
    return [key, value](Json& json) { member(json, "model").set(key, value); };
  };
  const auto set_step = [](size_t i, const char* key, Json value) {
    return [i, key, value](Json& json) {
      member(member(json, "pre_tokenizer"), "pretokenizers").as_array()[i].set(key, value);
    };
  };
  refuse("model.type: 'Unigram' is not supported, only 'BPE'", set_model("type", "Unigram"));
  refuse("model.byte_fallback", set_model("byte_fallback", true));
  refuse("model.ignore_merges", set_model("ignore_merges", true));
  refuse("model.dropout", set_model("dropout", 0.1));
  refuse("model.end_of_word_suffix: '</w>'", set_model("end_of_word_suffix", "</w>"));
  refuse("normalizer.type: 'NFKC'",
         [](Json& json) { member(json, "normalizer").set("type", "NFKC"); });
  refuse("pre_tokenizer.pretokenizers[0].pattern.Regex: '\\w+' is not",
         set_step(0, "pattern", Json(Json::Object{{"Regex", "\\w+"}})));
  refuse("pre_tokenizer.pretokenizers[0].invert", set_step(0, "invert", true));
  refuse("pre_tokenizer.pretokenizers[0].behavior", set_step(0, "behavior", "Removed"));
  refuse("pre_tokenizer.pretokenizers[1].type", set_step(1, "type", "Metaspace"));
  refuse("pre_tokenizer.pretokenizers[1].add_prefix_space", set_step(1, "add_prefix_space", true));
  refuse("pre_tokenizer.pretokenizers[1].use_regex", set_step(1, "use_regex", true));
  refuse("pre_tokenizer.type: 'Whitespace'",
         [](Json& json) { member(json, "pre_tokenizer").set("type", "Whitespace"); });
  refuse("post_processor.type: 'TemplateProcessing'",
         [](Json& json) { member(json, "post_processor").set("type", "TemplateProcessing"); });
  refuse("decoder.type: 'WordPiece'",
         [](Json& json) { member(json, "decoder").set("type", "WordPiece"); });
  for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
    refuse(std::string("added_tokens[3].") + flag,
           [&](Json& json) { member(json, "added_tokens").as_array()[3].set(flag, true); });
  }
  HfTokenizerFiles older = changed(&HfTokenizerFiles::tokenizer_config,
                                   [](Json& json) { json.set("pretokenize_regex", "\\p{L}+"); });
  older.tokenizer_json = std::nullopt;
  older.vocab_json = base::read_file(fixture("tiny-random/vocab.json"));
  older.merges_txt = base::read_file(fixture("tiny-random/merges.txt"));
  expect_refused(ErrorKind::unsupported, "dir/tokenizer_config.json: pretokenize_regex", older);
}

TEST(TokenizerSpecHf, RefusesWhatContradictsItself) {
  const auto refuse = [](const std::string& message, const std::function<void(Json&)>& change) {
    expect_refused(ErrorKind::bad_input, "dir/tokenizer.json: " + message,
                   changed_tokenizer(change));
  };
  const auto set_token = [](const char* token, Json id) {
    return [token, id](Json& json) { member(member(json, "model"), "vocab").set(token, id); };
  };
  const auto set_merge = [](Json merge) {
    return [merge](Json& json) { member(member(json, "model"), "merges").as_array()[5] = merge; };
  };
  const auto set_added = [](const char* key, Json value) {
    return [key, value](Json& json) { member(json, "added_tokens").as_array()[0].set(key, value); };
  };
  refuse("model.vocab.!: an integer from 0", set_token("!", "0"));
  refuse("model.vocab.!: an integer from 0", set_token("!", -1));
  refuse("model.vocab.!: an integer from 0", set_token("!", 1.5));
  refuse("model.vocab.!: an integer from 0", set_token("!", Json(uint64_t{1} << 63)));
  refuse("model.vocab.\": id 0 is already '!'", set_token("\"", 0));
  refuse("model.vocab: no token for the byte 0x21", [](Json& json) {
    auto& vocab = member(member(json, "model"), "vocab").as_object();
    std::erase_if(vocab, [](const auto& entry) { return entry.first == "!"; });
  });
  refuse("model.vocab: an object expected",
         [](Json& json) { member(json, "model").set("vocab", Json::array()); });
  refuse("model.type: a string expected", [](Json& json) { json.set("model", nullptr); });
  refuse("model: an object expected", [](Json& json) { json.set("model", "BPE"); });
  refuse("model.merges: a list expected",
         [](Json& json) { member(json, "model").set("merges", Json::object()); });
  refuse("model.merges[5]: a list expected", set_merge(7));
  refuse("model.merges[5]: a pair of tokens expected", set_merge(Json(Json::Array{"a"})));
  refuse("model.merges[5][1]: a string expected", set_merge(Json(Json::Array{"a", 1})));
  refuse("model.merges[5]: 'a  b' is not two", set_merge(Json(Json::Array{"a ", "b"})));
  refuse("model.merges[5]: 'qqq' is not in the vocabulary", set_merge("qqq b"));
  refuse("model.merges[", set_merge("i n"));  // there twice
  refuse("added_tokens[0].content: a string expected", set_added("content", 1));
  refuse("added_tokens[0].special: true or false expected", set_added("special", "yes"));
  refuse("added_tokens[0].id: an integer", set_added("id", nullptr));
  refuse("added_tokens[0]: id 0 is already '!'", set_added("id", 0));
  refuse("added_tokens[1]: '<|im_start|>' is already token 466",
         set_added("content", "<|im_start|>"));
  refuse("added_tokens: the text of token 500 has 0 bytes", [](Json& json) {
    member(json, "added_tokens").push(Json(Json::Object{{"id", 500}, {"content", ""}}));
  });
}

TEST(TokenizerSpecHf, RefusesOtherFilesThatDoNotFit) {
  const auto in_config = [](const std::function<void(Json&)>& change) {
    return changed(&HfTokenizerFiles::tokenizer_config, change);
  };
  expect_refused(
      ErrorKind::bad_input,
      "dir/tokenizer_config.json: added_tokens_decoder.466: id 466 is already '<|endoftext|>'",
      in_config([](Json& json) {
        member(member(json, "added_tokens_decoder"), "466").set("content", "<x>");
      }));
  expect_refused(ErrorKind::bad_input,
                 "dir/tokenizer_config.json: added_tokens_decoder.4x: a token id as the name",
                 in_config([](Json& json) {
                   Json& list = member(json, "added_tokens_decoder");
                   list.set("4x", list.at("466"));
                 }));
  expect_refused(ErrorKind::bad_input, "dir/tokenizer_config.json: eos_token: '<end>' is not among",
                 in_config([](Json& json) { json.set("eos_token", "<end>"); }));
  expect_refused(ErrorKind::bad_input, "dir/tokenizer_config.json: pad_token: a string expected",
                 in_config([](Json& json) { json.set("pad_token", 3); }));
  const auto in_model = [](const char* key, Json value) {
    return changed(&HfTokenizerFiles::config,
                   [&](Json& json) { member(json, "text_config").set(key, value); });
  };
  expect_refused(
      ErrorKind::bad_input,
      "dir/config.json: text_config.vocab_size: 498, but the tokenizer's ids go up to 498",
      in_model("vocab_size", 498));
  expect_refused(ErrorKind::bad_input, "dir/config.json: text_config.vocab_size: an integer",
                 in_model("vocab_size", int64_t{1} << 40));
  expect_refused(ErrorKind::bad_input, "dir/config.json: text_config.bos_token_id: id 512, but",
                 in_model("bos_token_id", 512));
  expect_refused(ErrorKind::bad_input, "dir/generation_config.json: eos_token_id[0]: id 512, but",
                 changed(&HfTokenizerFiles::generation_config,
                         [](Json& json) { json.set("eos_token_id", Json(Json::Array{512})); }));
}

TEST(TokenizerSpecHf, RefusesBrokenJson) {
  HfTokenizerFiles files = tiny_files();
  files.folder = "dir";
  const std::string whole = *files.tokenizer_json;
  for (size_t size = 0; size + 2 < whole.size(); size += 1 + whole.size() / 200) {
    files.tokenizer_json = whole.substr(0, size);
    expect_refused(ErrorKind::bad_input, "dir/tokenizer.json: at byte ", files);
  }
  files.tokenizer_json = std::string(100000, '[');
  expect_refused(ErrorKind::bad_input, "dir/tokenizer.json: at byte 64: JSON nested deeper", files);
  files.tokenizer_json = std::string("{\0}", 3);
  expect_refused(ErrorKind::bad_input, "dir/tokenizer.json: at byte 1: zero byte", files);
  files.tokenizer_json = "{\"a\": \"\xFF\"}";
  expect_refused(ErrorKind::bad_input, "dir/tokenizer.json: at byte 7", files);
  files.tokenizer_json = "[]";
  expect_refused(ErrorKind::bad_input, "dir/tokenizer.json: not an object", files);
  files.tokenizer_json = "{\"model\": {\"vocab\": {\"a\": 1, \"a\": 2}}}";
  expect_refused(ErrorKind::bad_input, "dir/tokenizer.json: at byte 31: duplicate key", files);
}

TEST(TokenizerSpecHf, RefusesFilesBeyondReason) {
  HfTokenizerFiles files = tiny_files();
  files.folder = "dir";
  files.tokenizer_json = std::string((size_t{64} << 20) + 1, ' ');
  expect_refused(ErrorKind::bad_input, "dir/tokenizer.json: 67108865 bytes; at most", files);
}

// Any flipped bit gives a tokenizer or one of the two refusals.
TEST(TokenizerSpecHf, SurvivesFlippedBits) {
  HfTokenizerFiles files = tiny_files();
  const std::string whole = *files.tokenizer_json;
  base::Rng rng(10);
  size_t refused = 0;
  for (int i = 0; i < 400; ++i) {
    std::string flipped = whole;
    flipped[rng.below(flipped.size())] ^= static_cast<char>(1 << rng.below(8));
    files.tokenizer_json = flipped;
    try {
      const Tokenizer tokenizer(spec_from_hf(files));
      EXPECT_EQ(tokenizer.decode(tokenizer.encode("a b")).size(), 3u);
    } catch (const base::Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::bad_input || error.kind() == ErrorKind::unsupported)
          << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 200u);
}

TEST(TokenizerSpecHf, AddedTokensLookSpecialByTheirText) {
  const auto type_of = [](const char* content) {
    const TokenizerSpec spec = spec_from_hf(changed_tokenizer([&](Json& json) {
      member(json, "added_tokens")
          .push(Json(Json::Object{{"id", 500}, {"content", content}, {"special", false}}));
    }));
    return spec.types[500];
  };
  for (const char* special :
       {"<|x|>", "<pad>", "<mask>", "<unused7>", "<\uFF5Cx\uFF5C>", "[@BOS@]"}) {
    EXPECT_EQ(type_of(special), TokenType::control) << special;
  }
  for (const char* plain : {"<x>", "<|x>", "|x|", "<padding>", "x<|y|>"}) {
    EXPECT_EQ(type_of(plain), TokenType::user_defined) << plain;
  }
}

}  // namespace
}  // namespace karat::text
