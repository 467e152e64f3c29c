#include "kernels/dispatch.h"

#include <vector>

#include "codec/codec.h"
#include "kernels/tables.h"

namespace karat::kernels {

void decode_by_codec(tensor::DType type, const std::byte* blocks, int64_t n, float* out) noexcept {
  const auto bytes = static_cast<size_t>(tensor::row_bytes(type, n));
  codec::codec_for(type).decode({blocks, bytes}, {out, static_cast<size_t>(n)});
}

const KernelTable& table_for(simd::Isa isa) {
  switch (isa) {
    case simd::Isa::avx512_bf16:
      return avx512_bf16_table();
    case simd::Isa::avx512:
      return avx512_table;
    case simd::Isa::avx2:
      return avx2_table;
    case simd::Isa::scalar:
      break;
  }
  return scalar_table;
}

std::span<const KernelTable* const> supported_tables() {
  static const std::vector<const KernelTable*> tables = [] {
    std::vector<const KernelTable*> list;
    for (const simd::Isa isa : simd::supported()) list.push_back(&table_for(isa));
    return list;
  }();
  return tables;
}

const KernelTable& table_named(std::string_view name) { return table_for(simd::isa_named(name)); }

const KernelTable& table() {
  static const KernelTable& in_use = table_for(simd::chosen());
  return in_use;
}

}  // namespace karat::kernels
