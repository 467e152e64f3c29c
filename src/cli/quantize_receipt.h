// What quantize says of itself in the file, beside it, and to its next run.
#pragma once

#include <string>
#include <vector>

#include "export/checkpoint.h"
#include "format/metadata.h"
#include "model/open.h"
#include "receipt/receipt.h"
#include "recipe/quantize.h"

namespace karat::cli {

// What of the command line ends up in metadata and receipt; type rules and options as given.
struct QuantizeRequest {
  std::string in, out, type, imatrix, output_type, embedding_type, rule_file;
  std::vector<std::string> rules, overrides, included, excluded;
  bool pure = false, leave_output = false, keep_split = false, allow_requantize = false;
  bool with_receipt = true;
  std::string plan = {}, plan_hash = {};  // the file, and its SHA-256; empty: no plan
};

// Options that determine the bytes, and notes on experts without statistics; no inputs yet.
receipt::Receipt quantize_receipt(const QuantizeRequest& request, const recipe::QuantizePlan& plan,
                                  const std::vector<recipe::TypeRule>& rules);

// The input's metadata, or what convert would write, then what llama-quantize adds in its order:
// version, file type, --override-kv, quantize.imatrix.*; and the receipt, if wanted.
format::Metadata quantize_metadata(const QuantizeRequest& request, const model::OpenedModel& opened,
                                   const recipe::QuantizePlan& plan,
                                   const tensor::Importance* importance,
                                   const receipt::Receipt& receipt);

// Options, version and build, the bytes of each file to be written (with the options, where
// everything stands in it), and of every input its name, size, time of change and the hash of its
// first MiB; of the statistics the hash of all.
exporting::Fingerprint quantize_fingerprint(const QuantizeRequest& request,
                                            const receipt::Receipt& receipt,
                                            const std::vector<std::string>& inputs,
                                            const std::vector<uint64_t>& file_bytes);

// The inputs of a receipt as large as they will be, before they are hashed.
std::vector<receipt::Input> unhashed(const std::vector<std::string>& paths);

}  // namespace karat::cli
