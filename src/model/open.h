// Opens what the command line calls MODEL: an HF folder or a GGUF file (the first of several
// shards).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "format/gguf.h"
#include "model/config.h"
#include "model/hf_source.h"
#include "tensor/source.h"
#include "text/tokenizer.h"

namespace karat::model {

struct OpenedModel {
  std::string path;
  bool is_gguf = false;
  std::vector<std::string> files;                // every file that determines the content
  std::unique_ptr<tensor::TensorSource> source;  // canonical tensors
  Config config;
  std::optional<text::TokenizerSpec> tokenizer;     // absent if the files have none
  std::string chat_template;                        // "" if there is none
  std::optional<format::Metadata> metadata;         // GGUF only: as in the file
  std::shared_ptr<const tensor::TensorSource> raw;  // HF only: the tensors under their own names
};

// Reads configuration and tensor table, no weights. Errors name file and place; paths of the wrong
// kind (a file of a checkpoint, a folder without config.json, a pickle) get a hint. The shapes of a
// GGUF file's tensors are checked against its metadata; which tensors are there is not. `options`
// say how an HF folder is presented.
OpenedModel open_model(const std::string& path, const HfOptions& options = {});

// Configuration of a GGUF file with this metadata and these tensors. Error{bad_input} if they
// contradict each other; `where` is the file that messages name.
Config check_gguf(const format::Metadata& metadata, const tensor::TensorSource& source,
                  const std::string& where);

// An HF folder before its tensors get canonical names: for make_hf_source and make_vision_source.
struct HfCheckpoint {
  Config config;  // as config.json says, whatever tensors there are
  std::shared_ptr<const tensor::TensorSource> raw;
  std::vector<std::string> files;  // of the tensors
};
// Errors as open_model's; {unsupported} for a checkpoint that is already quantized.
HfCheckpoint open_hf_checkpoint(const std::string& folder);

}  // namespace karat::model
