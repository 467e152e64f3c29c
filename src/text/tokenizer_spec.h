// Everything that defines a tokenizer, as plain data: what a Hugging Face folder and a GGUF file
// say, checked, in one form. The GGUF writer stores it as tokenizer.ggml.*, Tokenizer works from
// it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace karat::text {

// Values of tokenizer.ggml.token_type.
enum class TokenType : int32_t { normal = 1, control = 3, user_defined = 4, unused = 5, byte = 6 };

// A token that is matched as a whole in the input, before any other step.
struct AddedToken {
  uint32_t id = 0;
  std::string content;
  bool special = false;     // left out by decode(..., {.skip_special = true})
  bool normalized = false;  // matched against the text after NFC instead of before
};

// A token with a role: `name` as in the key tokenizer.ggml.NAME_token_id ("bos", "eos", "padding",
// "unknown", "seperator" (sic), "cls", "mask").
struct SpecialId {
  std::string name;
  uint32_t id = 0;
};

struct TokenizerSpec {
  std::string model = "gpt2";  // tokenizer.ggml.model: byte-level BPE, the only kind there is here
  std::string pre = "qwen35";  // tokenizer.ggml.pre: stands for the regular expression of split()
  bool nfc = true;             // Unicode NFC before pre-tokenization

  // One entry per row of the embedding. Base tokens are spelled in the byte alphabet (bpe.h), added
  // tokens as they are, rows without a token as [PAD<id>].
  std::vector<std::string> tokens;
  std::vector<TokenType> types;     // same length
  std::vector<std::string> merges;  // "left right" in the byte alphabet, best rank first
  std::vector<AddedToken> added;    // by rising id

  // In the order of the reference converter, which is the order of the keys in a GGUF file.
  std::vector<SpecialId> special_ids;
  std::optional<bool> add_bos;  // tokenizer.ggml.add_bos_token, absent if nothing says so
  std::optional<bool> add_eos;

  // Tokens that end a reply, rising: the eos token, generation_config.json's eos_token_id and the
  // control tokens that llama.cpp takes for ends by their text (<|im_end|>, <|endoftext|>,
  // <|fim_pad|>, <|repo_name|>, <|file_sep|>).
  std::vector<uint32_t> end_ids;

  // The id with that name in special_ids.
  std::optional<uint32_t> special_id(std::string_view name) const;
};

// The texts of the files of a Hugging Face folder that have to do with tokens; absent files are
// nullopt. tokenizer.json wins; without it vocab.json and merges.txt are needed.
struct HfTokenizerFiles {
  std::string folder;  // for messages
  std::optional<std::string> tokenizer_json;
  std::optional<std::string> tokenizer_config;
  std::optional<std::string> vocab_json;
  std::optional<std::string> merges_txt;
  std::optional<std::string> config;             // vocab_size, bos/eos/pad ids
  std::optional<std::string> generation_config;  // end tokens
};

// Reads those files of `folder`; Error{bad_input} if one is there but cannot be read.
HfTokenizerFiles read_hf_tokenizer_files(const std::string& folder);

// Merges the added tokens of tokenizer.json and tokenizer_config.json (a token may stand in only
// one of them; where both have it, tokenizer.json's flags count) and fills up to config.json's
// vocab_size. Token types as the reference converter gives them: control if special or of a look
// that says so
// ("<|...|>"), else user-defined.
// Error{bad_input} names file and place for whatever contradicts itself: wrong types, ids out of
// range or used twice, merges of unknown tokens, repeated merges, bytes without a token.
// Error{unsupported} names what is another kind of tokenizer: model, normalizer, pre-tokenizer,
// added-token flags.
TokenizerSpec spec_from_hf(const HfTokenizerFiles& files);

// The tokenizer.ggml.* values of a GGUF file.
struct GgufTokenizer {
  std::string file;  // for messages
  std::string model, pre;
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<std::string> merges;
  std::vector<SpecialId> special_ids;
  std::optional<bool> add_bos, add_eos;
};

// Same checks as spec_from_hf. Added tokens are those of type control and user_defined; control
// ones count as special. NFC is on: the file format has no key for it, the model's tokenizer does
// it.
TokenizerSpec spec_from_gguf(GgufTokenizer gguf);

}  // namespace karat::text
