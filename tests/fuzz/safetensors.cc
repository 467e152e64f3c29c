// Input: a .safetensors file. Its head is checked and every tensor read.
#include "format/safetensors.h"

#include <vector>

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static karat::fuzz::MemoryFile file;
  file.set(data, size);
  karat::fuzz::accepted([] {
    const karat::format::SafetensorsSource source(file.path());
    std::vector<std::byte> bytes;
    for (const auto& tensor : source.tensors()) {
      bytes.resize(static_cast<size_t>(tensor.bytes()));
      source.read(tensor, bytes);
    }
  });
  return 0;
}
