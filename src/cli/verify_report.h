// What verify found, and how it is said.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "export/validate.h"
#include "receipt/check.h"

namespace karat::cli {

struct Verification {
  std::string path, format;  // "GGUF", "safetensors", "imatrix", "calibration packet"
  int64_t tensors = 0, params = 0;
  uint64_t file_bytes = 0;
  exporting::Validation values;
  std::string receipt;                      // its file; "" if there is none
  std::vector<std::string> receipt_faults;  // one sentence each
  receipt::InputCheck inputs;
  bool inputs_asked = false;
};

std::string verification_text(const Verification& verification);
base::Json verification_json(const Verification& verification);

// Error{bad_input} for damaged values, else Error{gate} for a receipt or inputs that do not fit;
// returns if there is neither.
void refuse_faults(const Verification& verification);

}  // namespace karat::cli
