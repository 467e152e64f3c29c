// Receipts held against what they speak of.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/threads.h"
#include "receipt/receipt.h"

namespace karat::receipt {

// OUT.receipt.json as read.
struct ReceiptFile {
  std::string path, version;
  Receipt receipt;
  std::vector<Input> outputs;
};

// Error{bad_input} for what is no receipt: not JSON, members that are missing or of other types.
ReceiptFile read_receipt(const std::string& path);

// The lines of the key karat.inputs. Lines that are none are kept as a name without a hash, which
// check_inputs refuses.
std::vector<Input> parse_inputs(const std::string& text);

// Each of the following gives a sentence per fault, nothing if all is well.

// The receipt's outputs are just these files: by name, size and SHA-256, which is computed.
std::vector<std::string> check_outputs(const ReceiptFile& file,
                                       const std::vector<std::string>& paths,
                                       base::ThreadPool& pool);

// The artifact's own karat.* keys say the same as the receipt.
std::vector<std::string> check_entries(
    const ReceiptFile& file, const std::vector<std::pair<std::string, std::string>>& entries);

// The inputs, as far as `folder` has files of their names, by size and SHA-256.
struct InputCheck {
  int64_t matching = 0;
  std::vector<std::string> absent;  // names of those that the folder does not have
  std::vector<std::string> faults;
};
InputCheck check_inputs(const std::vector<Input>& inputs, const std::string& folder,
                        base::ThreadPool& pool);

}  // namespace karat::receipt
