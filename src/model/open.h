// Opens what the command line calls MODEL: an HF folder or a GGUF file (the first of several shards).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "format/gguf.h"
#include "model/config.h"
#include "tensor/source.h"
#include "text/tokenizer.h"

namespace karat::model {

struct OpenedModel {
  std::string path;
  bool is_gguf = false;
  std::vector<std::string> files;                // every file that determines the content
  std::unique_ptr<tensor::TensorSource> source;  // canonical tensors
  Config config;
  std::optional<text::TokenizerSpec> tokenizer;  // absent if the files have none
  std::string chat_template;                     // "" if there is none
  std::optional<format::Metadata> metadata;      // GGUF only: as in the file
};

// Reads configuration and tensor table, no weights. Errors name file and place.
OpenedModel open_model(const std::string& path);

}  // namespace karat::model
