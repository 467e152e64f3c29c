// Writes FOLDER/TARGET/NAME: inputs from which the fuzz targets start, made from the fixtures and
// from the files of the tests. The corpus beside this file is what libFuzzer kept of them and found
// from there.
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "format/gguf.h"
#include "format/gguf_writer.h"
#include "format/imatrix.h"
#include "support/files.h"
#include "support/hostile.h"
#include "text/tokenizer_testing.h"

namespace {

using karat::base::Json;
using karat::base::parse_json;
using karat::format::Metadata;
using karat::tensor::TensorInfo;

class Seeds {
 public:
  explicit Seeds(std::string folder) : folder_(std::move(folder)) {}

  // Empties the target's folder.
  void begin(const std::string& target) {
    target_ = folder_ + "/" + target;
    std::filesystem::remove_all(target_);
    std::filesystem::create_directories(target_);
    count_ = 0;
  }
  std::string next_path() { return target_ + "/seed-" + std::to_string(count_++); }
  void add(std::string_view bytes) { std::ofstream(next_path(), std::ios::binary) << bytes; }
  void add(const std::vector<karat::test::HostileFile>& files) {
    for (const auto& file : files) add(file.bytes);
  }

 private:
  std::string folder_, target_;
  size_t count_ = 0;
};

std::string fixture_text(const std::string& name) {
  return karat::base::read_file(karat::text::fixture(name));
}

// One block, and two rows of two, of every type, with bytes of every value.
std::string gguf_of_every_type() {
  std::vector<TensorInfo> tensors;
  for (const karat::tensor::DTypeInfo& type : karat::tensor::dtypes()) {
    tensors.push_back({std::string(type.name), type.type, {type.block_elems}});
    tensors.push_back({std::string(type.name) + ".2", type.type, {2, 2 * type.block_elems}});
  }
  const karat::format::GgufLayout layout(Metadata("seed"), tensors);
  std::string bytes = layout.shards()[0].head;
  while (bytes.size() < layout.file_bytes()) bytes += static_cast<char>(bytes.size() * 7);
  return bytes;
}

// The tiny model's keys and smallest tensors under the small tokenizer.
std::string small_model(bool with_tokenizer) {
  const karat::format::GgufSource tiny(karat::text::fixture("goldens/gguf/tiny-f32.gguf"));
  Metadata keys("seed");
  for (const auto& entry : tiny.metadata().entries()) {
    if (!karat::base::starts_with(entry.key, "tokenizer.")) keys.set(entry.key, entry.value);
  }
  if (with_tokenizer) {
    const karat::text::GgufTokenizer gguf = karat::text::small_gguf();
    keys.set("tokenizer.ggml.model", gguf.model);
    keys.set("tokenizer.ggml.pre", gguf.pre);
    keys.set("tokenizer.ggml.tokens", gguf.tokens);
    keys.set("tokenizer.ggml.token_type", gguf.types);
    keys.set("tokenizer.ggml.merges", gguf.merges);
    for (const auto& special : gguf.special_ids) {
      keys.set("tokenizer.ggml." + special.name + "_token_id", special.id);
    }
    keys.set("tokenizer.ggml.add_bos_token", false);
    keys.set("tokenizer.chat_template", "{% for m in messages %}{{ m.content }}{% endfor %}");
  }
  std::vector<TensorInfo> tensors;
  for (const TensorInfo& tensor : tiny.tensors()) {
    if (tensor.bytes() <= 64) tensors.push_back(tensor);
  }
  const karat::format::GgufLayout layout(keys, tensors);
  std::string bytes = layout.shards()[0].head;
  bytes.resize(layout.file_bytes());
  return bytes;
}

void add_imatrices(Seeds& seeds) {
  for (const int64_t count_size : {int64_t{1}, int64_t{2}}) {
    karat::tensor::Importance importance;
    importance.datasets = {"a text"};
    importance.chunk_count = 3;
    importance.chunk_size = 512;
    karat::tensor::ImportanceEntry entry;
    entry.mats = 2;
    entry.cols = 4;
    entry.in_sum2 = {1, 2, 3, 4, 0, 0, 0, 0};
    if (count_size == 2) entry.in_sum = {-1, 1, 0, 2, 0, 0, 0, 0};
    entry.counts.assign(static_cast<size_t>(count_size), 7);
    importance.entries.emplace("blk.0.ffn_up_exps.weight", entry);
    karat::format::write_imatrix(seeds.next_path(), importance);
    karat::format::write_imatrix(seeds.next_path(), importance, karat::format::ImatrixLayout::dat);
  }
  seeds.add(karat::test::hostile_gguf());
  seeds.add(karat::test::other_files());
}

// The tiny model's tokenizer.json with the bytes and the first merges only.
Json small_tokenizer() {
  Json tokenizer = parse_json(fixture_text("tiny-random/tokenizer.json"));
  const karat::text::GgufTokenizer gguf = karat::text::small_gguf();
  Json vocab = Json::object(), merges = Json::array(), added = Json::array();
  for (size_t id = 0; id < gguf.tokens.size(); ++id) {
    if (gguf.types[id] == 1) vocab.set(gguf.tokens[id], static_cast<int>(id));
  }
  for (const std::string& merge : gguf.merges) merges.push(merge);
  for (Json token : tokenizer.at("added_tokens").as_array()) {
    token.set("id", static_cast<int>(vocab.as_object().size() + added.as_array().size()));
    if (added.as_array().size() < 3) added.push(token);
  }
  Json model = tokenizer.at("model");
  model.set("vocab", vocab);
  model.set("merges", merges);
  tokenizer.set("model", model);
  tokenizer.set("added_tokens", added);
  return tokenizer;
}

void add_tokenizers(Seeds& seeds) {
  const Json tokenizer = small_tokenizer();
  const std::string config =
      R"({"added_tokens_decoder": {"263": {"content": "<|endoftext|>", "special": true}},)"
      R"("eos_token": "<|im_end|>", "pad_token": {"content": "<|endoftext|>"},)"
      R"("add_bos_token": false, "tokenizer_class": "Qwen2Tokenizer"})";
  const std::string model = R"({"vocab_size": 270, "eos_token_id": 265})";
  const std::string generation = R"({"eos_token_id": [265, 263], "bos_token_id": 263})";
  const Json& bpe = tokenizer.at("model");
  std::string merges = "#version: 0.2\n";
  for (const Json& merge : bpe.at("merges").as_array()) merges += merge.as_string() + "\n";
  const std::string end = "\x1e";
  seeds.add(tokenizer.dump());
  seeds.add(tokenizer.dump() + end + config + end + end + end + model + end + generation);
  seeds.add(end + config + end + bpe.at("vocab").dump() + end + merges + end + model);
  seeds.add(end + end + bpe.at("vocab").dump() + end + merges);
  seeds.add(R"({"model": {"type": "BPE", "vocab": {}, "merges": []}})");
}

void add_configs(Seeds& seeds) {
  const Json whole = parse_json(fixture_text("tiny-random/config.json"));
  seeds.add(whole.dump());
  seeds.add(whole.at("text_config").dump());
}

void add_templates(Seeds& seeds) {
  const Json goldens = parse_json(fixture_text("goldens/jinja_snippets.json"));
  for (const Json& item : goldens.at("cases").as_array()) {
    seeds.add(item.at("template").as_string());
  }
  seeds.add(fixture_text("tiny-random/chat_template.jinja"));
  seeds.add("{{ a.b[0] }}\x1e{\"a\": {\"b\": [1, \"x\"]}}");
}

void add_texts(Seeds& seeds) {
  karat::base::Rng rng(1);
  for (size_t size = 1; size <= 64; size *= 2) {
    seeds.add(karat::text::random_text(rng, size));
    seeds.add(karat::text::random_bytes(rng, size));
  }
  seeds.add("<|im_start|>the \x1e\x07\x1e\x08\x1e\x0a<think>");
}

void add_receipts(Seeds& seeds) {
  const std::string hash(64, 'a');
  const std::string receipt =
      R"({"schema": 1, "version": "0.1.0", "verb": "quantize", "inputs": [{"name": "a.gguf",)"
      R"( "bytes": 12, "sha256": ")" +
      hash + R"("}], "options": {"type": "Q8_0"}, "notes": {"t": "cold"}, "outputs": []})";
  seeds.add(receipt);
  seeds.add(receipt + "\x1e" + hash + " 12 a.gguf\n" + hash + " 7 b c\nx");
}

void add_replies(Seeds& seeds) {
  const std::string call =
      "<tool_call>\n<function=f>\n<parameter=s>\nx\n</parameter>\n<parameter=i>\n3\n</parameter>\n"
      "</function>\n</tool_call>";
  const std::string old =
      "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"o\": {\"a\": \"}\"}}}\n"
      "</tool_call>";
  for (const char* switches : {"\x01\x03", "\x02\x05", "\x03\x02"}) {
    seeds.add(switches + std::string("so\n</think>\n\nYes.\n\n") + call + "\n" + old);
    seeds.add(switches + std::string("<think>\nso\n</think>\n\nYes <tool") + old + call);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_seeds FOLDER\n");
    return 2;
  }
  Seeds seeds(argv[1]);
  seeds.begin("config");
  add_configs(seeds);
  seeds.begin("detokenizer");
  add_texts(seeds);
  seeds.begin("gguf");
  seeds.add(karat::test::small_gguf().str());
  seeds.add(gguf_of_every_type());
  seeds.add(karat::test::hostile_gguf());
  seeds.begin("imatrix");
  add_imatrices(seeds);
  seeds.begin("jinja");
  add_templates(seeds);
  seeds.begin("json");
  for (const char* text : {R"({"a": [1, -2.5e3, "x\u00e9\ud83d\ude00", true, null, {}]})", "[[[]]]",
                           "18446744073709551615", "\"\\ud800\"", "{\"a\":1,\"a\":2}", "-0.0"}) {
    seeds.add(text);
  }
  seeds.begin("model");
  seeds.add(small_model(true));
  seeds.add(small_model(false));
  seeds.begin("receipt");
  add_receipts(seeds);
  seeds.begin("reply");
  add_replies(seeds);
  seeds.begin("safetensors");
  seeds.add(karat::test::small_safetensors());
  seeds.add(karat::test::hostile_safetensors());
  seeds.begin("tokenizer");
  add_tokenizers(seeds);
  return 0;
}
