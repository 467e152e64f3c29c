#include "codec/table.h"

namespace karat::codec {

const CodecTable& table_for(simd::Isa isa) {
  switch (isa) {
    case simd::Isa::avx512_bf16:
    case simd::Isa::avx512:
      return avx512_table;
    case simd::Isa::avx2:
      return avx2_table;
    case simd::Isa::scalar:
      break;
  }
  return scalar_table;
}

const CodecTable& table() {
  static const CodecTable& in_use = table_for(simd::chosen());
  return in_use;
}

}  // namespace karat::codec
