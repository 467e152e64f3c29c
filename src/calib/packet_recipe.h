// What a calibration packet is made of, as a TOML file says it (docs/FORMATS.md, section 10).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "calib/documents.h"

namespace karat::calib {

inline constexpr int64_t kPacketTokensMax = int64_t{1} << 32;

// A file, or all files of a folder.
struct PacketSource {
  std::string path;  // as the recipe says, relative to the recipe's folder
  DocumentForm form = DocumentForm::file;
  std::vector<std::string> fields;  // of json records; "text" if not given
  bool cut = false;                 // documents longer than the context: in pieces, or left out
  bool special = false;             // special tokens spelled in texts are tokens
  std::optional<bool> thinking;     // what the chat template hears as enable_thinking
};

struct PacketDomain {
  std::string name;
  double share = 0;  // of the tokens, as a part of the sum of all shares
  std::vector<PacketSource> sources;
};

struct EvaluationSet {
  std::string name, path;
  DocumentForm form = DocumentForm::json;
  std::vector<std::string> fields;
};

struct PacketRecipe {
  std::string file, folder;  // the recipe's path, and the folder that paths are relative to
  int64_t tokens = 0;        // exactly
  int64_t context = 0;       // the longest sequence
  uint64_t seed = 0;
  bool refuse_overlap = false;  // an overlap is an error; otherwise the document is removed
  std::vector<PacketDomain> domains;
  std::vector<EvaluationSet> evaluations;

  // A path of the recipe as it can be opened.
  std::string path_of(const std::string& path) const;
  // Tokens of each domain: the shares of `tokens`, rounded so that they add up (largest remainder).
  std::vector<int64_t> budgets() const;
};

// Error{bad_input} "FILE:LINE: ..." for what is not TOML, unknown or missing keys, and values that
// make no sense.
PacketRecipe parse_packet_recipe(const std::string& text, const std::string& file);

}  // namespace karat::calib
