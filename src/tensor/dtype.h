// The element types of tensors: one table row per type.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace karat::tensor {

// Values are GGUF type ids.
enum class DType : uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q8_1 = 9,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  q8_k = 15,
  iq2_xxs = 16,
  iq2_xs = 17,
  iq3_xxs = 18,
  iq1_s = 19,
  iq4_nl = 20,
  iq3_s = 21,
  iq2_s = 22,
  iq4_xs = 23,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  iq1_m = 29,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  mxfp4 = 39,
  nvfp4 = 40,
  q1_0 = 41,
  q2_0 = 42,
};

struct DTypeInfo {
  DType type;
  std::string_view name;         // ggml's spelling: "f32", "q4_K"
  int block_elems;               // elements per block; 1 for plain types
  int block_bytes;               // bytes per block
  std::string_view safetensors;  // "F32", or "" if safetensors has no such type
  bool quantized() const { return block_elems > 1; }
};

// Every known type, by GGUF id.
std::span<const DTypeInfo> dtypes();
const DTypeInfo& info(DType type);
// By GGUF id, ggml name (any case) or safetensors name; nothing if unknown.
std::optional<DType> dtype_from_id(uint32_t id);
std::optional<DType> dtype_from_name(std::string_view name);
std::optional<DType> dtype_from_safetensors(std::string_view name);

// Bytes of a row of `cols` elements. Error{bad_input} if cols is not a multiple of the block, or if
// the bytes do not fit 63 bits.
int64_t row_bytes(DType type, int64_t cols);

}  // namespace karat::tensor
