// Models that are well-formed files but cannot be right: checkpoint folders, metadata, tokenizers,
// chat templates, shards, statistics of another model.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "base/json.h"
#include "format/gguf.h"
#include "format/gguf_writer.h"
#include "format/safetensors.h"
#include "support/files.h"
#include "support/program.h"

namespace karat {
namespace {

namespace fs = std::filesystem;
using format::Metadata;
using tensor::TensorInfo;
using test::Checkpoint;
using test::Outcome;
using test::refused;
using test::run_karat;
using test::succeeded;
using test::TempDir;

const std::string kTiny = test::fixture("tiny-random");
const std::string kShard1 = "model.safetensors-00001-of-00002.safetensors";
const std::string kIndex = "model.safetensors.index.json";

class BadModel : public testing::Test {
 protected:
  // Every verb that opens MODEL has to refuse it with the words, and leave nothing.
  void expect_refused(const std::string& model, const std::vector<std::string>& words) {
    const size_t before = dir_.file_count();
    std::vector<std::vector<std::string>> lines = {
        {"inspect", model},
        {"quantize", model, dir_.path("out.gguf"), "Q8_0"},
        {"eval", "ppl", "-m", model, "-f", kTiny + "/merges.txt", "-c", "64"}};
    if (fs::is_directory(model)) lines.push_back({"convert", model, "-o", dir_.path("out.gguf")});
    for (const std::vector<std::string>& line : lines) {
      EXPECT_TRUE(refused(run_karat(line), 3, words)) << line[0];
    }
    EXPECT_EQ(dir_.file_count(), before);
  }

  // The tiny model as GGUF, with changed metadata or tensors and zeros for data (in holes).
  std::string changed_gguf(const std::function<void(Metadata&, std::vector<TensorInfo>&)>& change) {
    if (converted_.empty()) {
      converted_ = dir_.path("tiny.gguf");
      EXPECT_TRUE(succeeded(run_karat({"convert", kTiny, "-o", converted_, "-q"})));
    }
    const format::GgufSource source(converted_);
    Metadata metadata = source.metadata();
    std::vector<TensorInfo> tensors = source.tensors();
    change(metadata, tensors);
    const format::GgufLayout layout(metadata, tensors);
    const std::string path = dir_.write("changed.gguf", layout.shards()[0].head);
    fs::resize_file(path, layout.file_bytes());
    return path;
  }

  TempDir dir_;
  std::string converted_;
};

TEST_F(BadModel, Folders) {
  fs::create_directory(dir_.path("empty"));
  expect_refused(dir_.path("empty"), {dir_.path("empty"), "config.json"});
  fs::create_directory(dir_.path("pickles"));
  dir_.write("pickles/config.json", "{}");
  dir_.write("pickles/pytorch_model.bin", "\x80\x02");
  expect_refused(dir_.path("pickles"), {"pytorch_model.bin", "pickle", "safetensors"});
  const std::string pickle = dir_.write("model.pt", "\x80\x02");
  expect_refused(pickle, {pickle, "pickle"});
  const Checkpoint no_config(dir_, "no-config");
  no_config.remove("config.json");
  expect_refused(no_config.path(), {no_config.path(), "config.json"});
  const Checkpoint no_weights(dir_, "no-weights");
  no_weights.remove(kShard1);
  no_weights.remove("model.safetensors-00002-of-00002.safetensors");
  no_weights.remove(kIndex);
  expect_refused(no_weights.path(), {no_weights.path()});
}

TEST_F(BadModel, ConfigFiles) {
  const Checkpoint model(dir_);
  const std::string config = model.text("config.json"), path = model.path("config.json");
  struct Case {
    const char *from, *to;
    std::vector<std::string> words;
  };
  const std::vector<Case> cases = {
      {"Qwen3_5MoeForConditionalGeneration", "LlamaForCausalLM", {}},
      {"\"qwen3_5_moe\"", "\"llama\"", {"llama"}},
      {"\"text_config\"", "\"txt_config\"", {}},
      {"\"model_type\": \"qwen3_5_moe\",",
       "\"model_type\": \"qwen3_5_moe\", \"quantization_config\": {\"quant_method\": \"fp8\"},",
       {"quantized", "fp8"}},
      {"\"hidden_size\": 64", "\"hidden_size\": 128", {"hidden_size"}},
      {"\"hidden_size\": 64", "\"hidden_size\": -64", {"hidden_size"}},
      {"\"hidden_size\": 64", "\"hidden_size\": 1e99", {"hidden_size"}},
      {"\"hidden_size\": 64", "\"hidden_size\": \"64\"", {"hidden_size"}},
      {"\"num_hidden_layers\": 4", "\"num_hidden_layers\": 1000000000", {"num_hidden_layers"}},
      {"\"num_experts\": 8", "\"num_experts\": 0", {"num_experts"}},
      {"\"num_experts\": 8", "\"num_experts\": 9", {}},
      {"\"num_experts_per_tok\": 2", "\"num_experts_per_tok\": 9", {"num_experts_per_tok"}},
      {"\"num_attention_heads\": 4", "\"num_attention_heads\": 0", {"num_attention_heads"}},
      {"\"vocab_size\": 512", "\"vocab_size\": 511", {}},
      {"\"full_attention\"", "\"sliding_attention\"", {"sliding_attention"}},
      {"\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", {"hidden_act"}},
      {"\"num_experts\": 8", "\"num_experts\": 8, \"num_experts\": 8", {"duplicate key"}},
  };
  for (const Case& c : cases) {
    model.replace("config.json", config);
    model.change("config.json", c.from, c.to);
    std::vector<std::string> words = c.words;
    words.push_back(model.path());
    SCOPED_TRACE(c.to);
    expect_refused(model.path(), words);
  }
  const std::vector<std::pair<std::string, std::string>> texts = {
      {"", "JSON"},
      {"[]", ""},
      {"42", ""},
      {config + "x", "JSON"},
      {config.substr(0, config.size() / 2), "JSON"},
      {"{\"a\": " + std::string(100'000, '[') + std::string(100'000, ']') + "}", "nested deeper"},
      {"{\"\xff\xfe\": 1}", "UTF-8"},
      {std::string(64, '\0'), "JSON"}};
  for (const auto& [text, word] : texts) {
    model.replace("config.json", text);
    expect_refused(model.path(), {path, word});
  }
  model.replace("config.json", config);
  fs::resize_file(path, 20 << 20);  // padded with zeros to more than any configuration
  expect_refused(model.path(), {path});
}

TEST_F(BadModel, AutoMapCodeIsIgnored) {
  const Checkpoint model(dir_);
  model.change("config.json", "\"model_type\": \"qwen3_5_moe\",",
               "\"model_type\": \"qwen3_5_moe\", \"auto_map\": {\"AutoModel\": \"evil.Model\"},");
  model.replace("evil.py", "raise SystemExit('run')\n");
  const Outcome outcome = run_karat({"inspect", model.path()});
  EXPECT_TRUE(succeeded(outcome));
  EXPECT_EQ(outcome.out.find("evil"), std::string::npos);
}

TEST_F(BadModel, Index) {
  const Checkpoint model(dir_);
  const std::string index = model.text(kIndex);
  fs::copy_file(kTiny + "/" + kShard1, dir_.path("outside.safetensors"));
  const std::string entry = "\"lm_head.weight\": \"" + kShard1 + "\"";
  const auto with = [&](const std::string& from, const std::string& to,
                        const std::vector<std::string>& words) {
    model.replace(kIndex, index);
    model.change(kIndex, from, to);
    SCOPED_TRACE(to);
    expect_refused(model.path(), words);
  };
  with(entry, "\"lm_head.weight\": \"../outside.safetensors\"", {kIndex, "../outside"});
  with(entry, "\"lm_head.weight\": \"" + dir_.path("outside.safetensors") + "\"", {kIndex});
  with(entry, "\"lm_head.weight\": \"sub/../../outside.safetensors\"", {kIndex});
  with(entry, "\"lm_head.weight\": \"missing.safetensors\"", {"missing.safetensors"});
  with(entry, "\"lm_head.weight\": \"\"", {kIndex});
  with(entry, "\"lm_head.weight\": 1", {kIndex});
  with(entry, "\"lm_head.weight\": \"model.safetensors-00002-of-00002.safetensors\"",
       {"lm_head.weight"});
  with(entry, entry + ", \"absent.weight\": \"" + kShard1 + "\"", {"absent.weight"});
  with("\"weight_map\"", "\"weight_mop\"", {kIndex, "weight_map"});
  with("{", "[", {kIndex});
  model.replace(kIndex, index);
  model.remove(kShard1);
  expect_refused(model.path(), {kShard1});
  model.replace(kShard1, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
  expect_refused(model.path(), {kShard1, "git lfs pull"});
}

TEST_F(BadModel, NanAndInfinityAreNamedByTensorAndPlace) {
  const Checkpoint model(dir_);
  const std::string whole = model.text(kShard1);
  const format::SafetensorsSource source(kTiny);
  const std::string hf_name = "model.language_model.layers.0.linear_attn.out_proj.weight";
  const TensorInfo& tensor = source.at(hf_name);
  const std::string shard = fs::path(source.files()[source.place(tensor).file]).filename().string();
  for (const int value : {0x7fc0, 0x7f80, 0xff80}) {  // NaN, +inf, -inf in BF16
    std::string bytes = test::read_bytes(kTiny + "/" + shard);
    const size_t at = source.place(tensor).offset + 2 * (3 * 64 + 5);
    bytes.replace(at, 2, test::raw(static_cast<uint16_t>(value)));
    model.replace(shard, bytes);
    for (const std::vector<std::string>& line :
         {std::vector<std::string>{"convert", model.path(), "-o", dir_.path("out.gguf")},
          {"quantize", model.path(), dir_.path("out.gguf"), "Q8_0"},
          {"quantize", model.path(), dir_.path("out.gguf"), "BF16"}}) {
      EXPECT_TRUE(refused(run_karat(line), 3, {model.path(), "blk.0.ssm_out.weight"}))
          << line[0] << " " << line.back();
    }
    ASSERT_EQ(dir_.file_count(), 1u);
  }
}

TEST_F(BadModel, NanWeightsDoNotBecomeStatisticsOrScores) {
  const Checkpoint model(dir_);
  const format::SafetensorsSource source(kTiny);
  const TensorInfo& tensor = source.at("model.language_model.layers.0.linear_attn.out_proj.weight");
  const std::string shard = fs::path(source.files()[source.place(tensor).file]).filename().string();
  std::string bytes = test::read_bytes(kTiny + "/" + shard);
  bytes.replace(source.place(tensor).offset, 2, test::raw(uint16_t{0x7fc0}));
  model.replace(shard, bytes);
  const std::string text = kTiny + "/merges.txt";
  EXPECT_TRUE(refused(run_karat({"calibrate", "-m", model.path(), "-f", text, "-c", "64",
                                 "--chunks", "2", "-o", dir_.path("i.gguf")}),
                      3, {model.path()}));
  EXPECT_TRUE(refused(run_karat({"eval", "ppl", "-m", model.path(), "-f", text, "-c", "64"}), 3,
                      {model.path()}));
  EXPECT_TRUE(
      refused(run_karat({"chat", "-m", model.path(), "-p", "x", "-n", "3"}), 3, {model.path()}));
  EXPECT_EQ(dir_.file_count(), 1u);
}

TEST_F(BadModel, TokenizerFiles) {
  const Checkpoint model(dir_);
  const std::string whole = model.text("tokenizer.json");
  struct Case {
    const char *from, *to;
  };
  const std::vector<Case> cases = {
      {"\"vocab\":", "\"vocab\": [], \"v\":"},
      {"\"merges\":", "\"merges\": {}, \"m\":"},
      {"\"merges\":", "\"merges\": [[\"one\"]], \"m\":"},
      {"\"merges\":", "\"merges\": [[\"no\", \"such\"]], \"m\":"},
      {"\"BPE\"", "\"Unigram\""},
      {"\"id\": 467", "\"id\": -1"},
      {"\"id\": 467", "\"id\": 467.5"},
      {"\"id\": 467", "\"id\": 4000000000"},
      {"\"id\": 467", "\"id\": \"467\""},
      {"\"added_tokens\":", "\"added_tokens\": 7, \"a\":"},
  };
  for (const Case& c : cases) {
    model.replace("tokenizer.json", whole);
    // Whatever blanks the file has after its colons.
    std::string from = c.from, bytes = whole;
    if (bytes.find(from) == std::string::npos) from.erase(from.find(": ") + 1, 1);
    ASSERT_NE(bytes.find(from), std::string::npos) << c.from;
    model.replace("tokenizer.json", bytes.replace(bytes.find(from), from.size(), c.to));
    SCOPED_TRACE(c.to);
    expect_refused(model.path(), {model.path("tokenizer.json")});
  }
  for (const std::string& text : {std::string(), std::string("[]"), whole.substr(0, 1000),
                                  "{\"a\":" + std::string(100'000, '[')}) {
    model.replace("tokenizer.json", text);
    expect_refused(model.path(), {model.path("tokenizer.json")});
  }
}

TEST_F(BadModel, TokenizerInGguf) {
  const auto expect = [&](const std::vector<std::string>& words,
                          const std::function<void(Metadata&)>& change) {
    const std::string path = changed_gguf([&](Metadata& metadata, auto&) { change(metadata); });
    std::vector<std::string> all = words;
    all.push_back(path);
    expect_refused(path, all);
  };
  const auto array = [](auto values) { return format::Array{std::move(values)}; };
  expect({"tokenizer.ggml.tokens"},
         [&](Metadata& m) { m.set("tokenizer.ggml.tokens", array(std::vector<int32_t>(512, 7))); });
  expect({"token_embd.weight"}, [&](Metadata& m) {
    m.set("tokenizer.ggml.tokens", array(std::vector<std::string>{"a", "b"}));
  });
  expect({"token_type"}, [&](Metadata& m) {
    m.set("tokenizer.ggml.token_type", array(std::vector<int32_t>(511, 1)));
  });
  expect({"token_type"}, [&](Metadata& m) {
    m.set("tokenizer.ggml.token_type", array(std::vector<std::string>(512, "x")));
  });
  expect({"merges"}, [&](Metadata& m) {
    m.set("tokenizer.ggml.merges", array(std::vector<std::string>{"nosuch merge"}));
  });
  expect({"merges"}, [&](Metadata& m) { m.set("tokenizer.ggml.merges", uint32_t{1}); });
  expect({"eos_token_id", "4000000000"},
         [&](Metadata& m) { m.set("tokenizer.ggml.eos_token_id", uint32_t{4000000000}); });
  expect({"eos_token_id"},
         [&](Metadata& m) { m.set("tokenizer.ggml.eos_token_id", std::string("end")); });
  expect({"tokenizer.ggml.model"},
         [&](Metadata& m) { m.set("tokenizer.ggml.model", std::string("llama")); });
}

TEST_F(BadModel, MetadataOutOfRangeOrAgainstTheTensors) {
  const std::string p = "qwen35moe.";
  const std::vector<std::pair<std::string, uint32_t>> cases = {
      {"attention.head_count", 0},
      {"attention.head_count", 5},
      {"block_count", 1'000'000'000},
      {"block_count", 0},
      {"expert_used_count", 9},
      {"expert_count", 0},
      {"expert_count", 7},
      {"embedding_length", 128},
      {"embedding_length", 0},
      {"ssm.state_size", 0},
      {"ssm.group_count", 3},
      {"full_attention_interval", 0},
      {"nextn_predict_layers", 100},
      {"rope.dimension_count", 1'000'000},
      {"attention.key_length", 31},
      {"context_length", 0},
      {"ssm.conv_kernel", 4000000000},
  };
  for (const auto& [key, value] : cases) {
    const std::string path = changed_gguf(
        [&, k = key, v = value](Metadata& metadata, auto&) { metadata.set(p + k, v); });
    SCOPED_TRACE(key + " = " + std::to_string(value));
    expect_refused(path, {path});
  }
  const std::string other = changed_gguf([&](Metadata& metadata, auto&) {
    metadata.set("general.architecture", std::string("llama"));
  });
  expect_refused(other, {other, "llama"});
}

TEST_F(BadModel, NamesWithControlCharactersArePrintedEscaped) {
  const std::string path = changed_gguf([](Metadata& metadata, std::vector<TensorInfo>& tensors) {
    metadata.set("general.name", std::string("red \x1b[31m\nname"));
    tensors.push_back({"evil\x1b[2J\nname", tensor::DType::f32, tensor::Shape{4}});
  });
  for (const char* flag : {"--tensors", "--json"}) {
    const Outcome outcome = run_karat({"inspect", path, flag});
    for (const std::string& text : {outcome.out, outcome.err}) {
      for (const char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 32);
      EXPECT_EQ(text.find("evil\n"), std::string::npos);
    }
  }
}

TEST_F(BadModel, GgufShards) {
  EXPECT_TRUE(succeeded(
      run_karat({"convert", kTiny, "-o", dir_.path("s.gguf"), "-q", "--split-max-size", "400K"})));
  const std::string first = dir_.path("s-00001-of-00003.gguf"),
                    second = dir_.path("s-00002-of-00003.gguf"),
                    third = dir_.path("s-00003-of-00003.gguf");
  ASSERT_TRUE(fs::exists(third));
  EXPECT_TRUE(succeeded(run_karat({"inspect", first})));
  expect_refused(second, {second, "first"});
  fs::rename(second, dir_.path("away"));
  expect_refused(first, {second});
  fs::copy_file(third, second);  // one shard in the place of another
  expect_refused(first, {second});
  fs::copy_file(first, second, fs::copy_options::overwrite_existing);  // repeated
  expect_refused(first, {second});
  fs::remove(second);
  EXPECT_TRUE(
      succeeded(run_karat({"convert", test::fixture("tiny-random"), "-o", dir_.path("o.gguf"), "-q",
                           "--fuse-gate-up-exps", "--split-max-size", "400K"})));
  fs::copy_file(dir_.path("o-00001-of-00003.gguf"), first, fs::copy_options::overwrite_existing);
  fs::rename(dir_.path("away"), second);  // of another model
  expect_refused(first, {"s-0000"});
}

TEST_F(BadModel, HostileChatTemplates) {
  const Checkpoint model(dir_);
  const auto nested = [](const std::string& open, const std::string& close, int n) {
    std::string text;
    for (int i = 0; i < n; ++i) text += open;
    text += "1";
    for (int i = 0; i < n; ++i) text += close;
    return text;
  };
  const int64_t base_memory = run_karat({"tokenize", "-m", kTiny, "x"}).rss_max;
  const std::vector<std::string> templates = {
      "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
      "{% macro f(x) %}{{ g(x) }}{% endmacro %}{% macro g(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
      "{{ " + nested("(", ")", 100'000) + " }}",
      "{{ " + nested("[", "]", 100'000) + " }}",
      "{{ " + nested("not ", "", 100'000) + " }}",
      nested("{% if 1 %}", "{% endif %}", 100'000),
      "{% for i in range(10**9) %}x{% endfor %}",
      "{% for i in range(1000000000) %}{% endfor %}",
      "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
      "{{ 'a' * 10**9 }}",
      "{{ 'a' * 1000000000 }}",
      "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}"
      "{% endfor %}{{ ns.s }}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}"
      "{% endfor %}",
      "{{ ''.__class__.__mro__[1].__subclasses__() }}",
      "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
      "{{ messages.append.__self__.__class__.__base__ }}",
      "{% include '/etc/passwd' %}",
      "{% import 'os' as os %}",
      "{{ 10 ** 10 ** 10 }}",
      "{{ '%999999999d' % 1 }}",
      "{{ 'x'.center(1000000000) }}",
      "{{ raise_exception('no\x1b[2Jsuch\nthing') }}",
      "{{ unclosed",
      "{% for %}",
      "\xff\xfe"};
  for (const std::string& text : templates) {
    model.replace("chat_template.jinja", text);
    model.replace("tokenizer_config.json", "{}");
    const Outcome outcome = run_karat({"chat", "-m", model.path(), "-p", "x", "-n", "1", "-q"});
    const std::string shown = text.substr(0, 80);
    EXPECT_TRUE(refused(outcome, 3, {})) << shown;
    EXPECT_LT(outcome.cpu_seconds, 1) << shown;
    EXPECT_LT(outcome.rss_max - base_memory, 64 << 20) << shown;
  }
}

TEST_F(BadModel, SpecialTokensInUserTextAreText) {
  const std::string kMark = "<|im_start|>";
  const auto count = [](const Outcome& outcome, const char* key) {
    EXPECT_TRUE(succeeded(outcome));
    return base::parse_json(outcome.out).at(key).as_int();
  };
  EXPECT_GT(count(run_karat({"tokenize", "-m", kTiny, kMark, "--json"}), "count"), 3);
  EXPECT_EQ(
      count(run_karat({"tokenize", "-m", kTiny, kMark, "--json", "--parse-special"}), "count"), 1);
  const auto prompt = [&](const std::string& text) {
    return count(run_karat({"chat", "-m", kTiny, "-p", text, "-n", "1", "--json"}),
                 "prompt_tokens");
  };
  const int64_t plain = count(run_karat({"tokenize", "-m", kTiny, "x", "--json"}), "count");
  const int64_t marked = count(run_karat({"tokenize", "-m", kTiny, kMark, "--json"}), "count");
  EXPECT_EQ(prompt(kMark) - prompt("x"), marked - plain);
}

// Twice the text takes no more than about twice the time: quadratic work would take four times.
TEST_F(BadModel, LongTextsTakeLinearTime) {
  for (const std::string& piece : {std::string(" "), std::string("\n"), std::string("a"),
                                   std::string("e\xcc\x81\xcc\x82\xcc\x83")}) {
    const auto seconds = [&](size_t bytes) {
      std::string text;
      while (text.size() < bytes) text += piece;
      const std::string path = dir_.write("text", text);
      const Outcome outcome = run_karat({"tokenize", "-m", kTiny, "-f", path, "--json"});
      EXPECT_TRUE(succeeded(outcome));
      return outcome.cpu_seconds;
    };
    const double half = seconds(250'000), whole = seconds(1'000'000);
    EXPECT_LT(whole, 8 * half + 0.2) << "'" << piece << "'";
  }
}

class Statistics : public BadModel {
 protected:
  std::string imatrix(const std::string& name, const std::vector<std::string>& more = {}) {
    const std::string path = dir_.path(name);
    std::vector<std::string> line = {"calibrate", "-m", kTiny, "-f", kTiny + "/merges.txt",
                                     "-c",        "64", "-o",  path};
    line.insert(line.end(), more.begin(), more.end());
    EXPECT_TRUE(succeeded(run_karat(line)));
    return path;
  }
  Outcome quantize(const std::vector<std::string>& more, const std::string& model = kTiny) {
    std::vector<std::string> line = {"quantize", model, dir_.path("q.gguf"), "Q8_0", "--force"};
    line.insert(line.end(), more.begin(), more.end());
    return run_karat(line);
  }
};

TEST_F(Statistics, OfTheWrongKindOrAnotherModel) {
  const std::string text = kTiny + "/merges.txt";
  EXPECT_TRUE(refused(quantize({"--imatrix", text}), 3, {text, "plain text", "calibrate"}));
  const std::string model = changed_gguf([](auto&, auto&) {});
  EXPECT_TRUE(refused(quantize({"--imatrix", model}), 3, {model, "model", "calibrate"}));
  EXPECT_TRUE(refused(quantize({"--imatrix", kTiny}), 3, {kTiny, "folder"}));
  EXPECT_TRUE(refused(quantize({"--imatrix", "nowhere.gguf"}), 3, {"nowhere.gguf"}));

  // Statistics with other names, and with other widths.
  const std::string good = imatrix("i.gguf");
  const format::GgufSource source(good);
  const auto rewritten = [&](const std::string& name,
                             const std::function<void(TensorInfo&)>& change) {
    std::vector<TensorInfo> tensors = source.tensors();
    for (TensorInfo& tensor : tensors) change(tensor);
    const std::string path = dir_.path(name);
    format::GgufWriter writer(path, source.metadata(), tensors);
    for (size_t i = 0; i < tensors.size(); ++i) {
      writer.write(i,
                   std::vector<std::byte>(static_cast<size_t>(tensors[i].bytes()), std::byte{0}));
    }
    writer.commit();
    return path;
  };
  const std::string renamed =
      rewritten("renamed.gguf", [](TensorInfo& t) { t.name = "other." + t.name; });
  EXPECT_TRUE(refused(quantize({"--imatrix", renamed}), 3, {renamed, "another model"}));
  const std::string wide = rewritten("wide.gguf", [](TensorInfo& t) {
    if (t.name.find("counts") != std::string::npos) return;
    std::vector<int64_t> dims;
    for (int i = 0; i < t.shape.rank(); ++i) dims.push_back(t.shape[i]);
    dims.back() *= 2;
    t.shape = tensor::Shape(dims);
  });
  EXPECT_TRUE(refused(quantize({"--imatrix", wide}), 3, {wide, "another model"}));
  EXPECT_FALSE(fs::exists(dir_.path("q.gguf")));
}

TEST_F(Statistics, ExpertsThatSawNoTokenAreReported) {
  const std::string path = dir_.path("cold.gguf");
  const std::vector<std::string> line = {"calibrate", "-m",    kTiny, "-f", kTiny + "/merges.txt",
                                         "-c",        "4",     "-o",  path, "--chunks",
                                         "1",         "--json"};
  const Outcome measured = run_karat(line);
  ASSERT_TRUE(succeeded(measured));
  EXPECT_GT(base::parse_json(measured.out).at("matrices_without_data").as_int(), 0);
  EXPECT_NE(measured.err.find("no token reached expert"), std::string::npos) << measured.err;
  const Outcome outcome = quantize({"--imatrix", path});
  ASSERT_TRUE(succeeded(outcome));
  EXPECT_NE(outcome.err.find("saw no token"), std::string::npos) << outcome.err;
  const std::string notes =
      format::GgufSource(dir_.path("q.gguf")).metadata().get_string("karat.notes");
  EXPECT_NE(notes.find("experts without statistics"), std::string::npos) << notes;
  const base::Json receipt = base::parse_json(test::read_bytes(dir_.path("q.gguf.receipt.json")));
  EXPECT_FALSE(receipt.at("notes").as_object().empty());
}

TEST_F(Statistics, TypeRulesThatDecideNothing) {
  EXPECT_TRUE(refused(quantize({"--tensor-type", "nothing=q8_0"}), 2, {"'nothing'", "no tensor"}));
  EXPECT_TRUE(refused(quantize({"--tensor-type", "ffn=q8_0", "--tensor-type", "ffn_down=bf16"}), 2,
                      {"'ffn_down'", "earlier rule"}));
  EXPECT_TRUE(refused(
      run_karat({"quantize", kTiny, dir_.path("q.gguf"), "BF16", "--tensor-type", "ffn=q8_0"}), 2,
      {"--tensor-type"}));
  EXPECT_EQ(dir_.file_count(), 0u);
}

TEST_F(Statistics, QuantizedInputIsRefused) {
  ASSERT_TRUE(succeeded(quantize({})));
  fs::rename(dir_.path("q.gguf"), dir_.path("in.gguf"));
  EXPECT_TRUE(refused(run_karat({"quantize", dir_.path("in.gguf"), dir_.path("q.gguf"), "BF16"}), 2,
                      {dir_.path("in.gguf"), "already q8_0"}));
}

}  // namespace
}  // namespace karat
