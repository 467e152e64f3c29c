// Input: a receipt file, then, behind 0x1e, the inputs' lines that a GGUF file holds.
#include "receipt/check.h"

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static karat::fuzz::MemoryFile file;
  karat::fuzz::Parts parts(data, size);
  const std::string_view json = parts.next();
  file.set(reinterpret_cast<const uint8_t*>(json.data()), json.size());
  karat::fuzz::accepted([] {
    const karat::receipt::ReceiptFile read = karat::receipt::read_receipt(file.path());
    karat::receipt::check_entries(read, karat::receipt::metadata_entries(read.receipt));
  });
  karat::receipt::parse_inputs(std::string(parts.next()));
  return 0;
}
