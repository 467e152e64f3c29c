// Input: a GGUF file. Its head is checked, every key printed, and every row of every tensor read,
// checked and decoded.
#include "format/gguf.h"

#include <vector>

#include "codec/codec.h"
#include "fuzz/fuzz.h"

namespace {

using karat::codec::Codec;

void decode(const karat::tensor::TensorSource& source, const karat::tensor::TensorInfo& tensor) {
  const Codec* codec = karat::codec::find_codec(tensor.dtype);
  const int64_t rows = tensor.shape.rows();
  std::vector<std::byte> bytes(static_cast<size_t>(tensor.bytes()));
  source.read(tensor, bytes);
  if (codec == nullptr) return;
  std::vector<float> values(static_cast<size_t>(tensor.shape.cols()));
  const size_t row_bytes = bytes.size() / static_cast<size_t>(rows);
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
    const auto stored = std::span(bytes).subspan(row * row_bytes, row_bytes);
    codec->find_bad_block(stored);
    codec->decode(stored, values);
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static karat::fuzz::MemoryFile file;
  file.set(data, size);
  karat::fuzz::accepted([] {
    const karat::format::GgufSource source(file.path());
    for (const auto& entry : source.metadata().entries()) {
      const std::string shown = entry.value.str();
      CHECK(shown == karat::base::printable(shown, shown.size() + 3));
    }
    for (const auto& tensor : source.tensors()) decode(source, tensor);
  });
  return 0;
}
