// What TYPE on the command line may be: llama-quantize's presets ("ftypes").
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "tensor/dtype.h"

namespace karat::recipe {

// general.file_type, llama.cpp's enum llama_ftype.
enum class Ftype : uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q8_0 = 7,
  q5_0 = 8,
  q5_1 = 9,
  q2_k = 10,
  q3_k_s = 11,
  q3_k_m = 12,
  q3_k_l = 13,
  q4_k_s = 14,
  q4_k_m = 15,
  q5_k_s = 16,
  q5_k_m = 17,
  q6_k = 18,
  iq2_xxs = 19,
  iq2_xs = 20,
  q2_k_s = 21,
  iq3_xs = 22,
  iq3_xxs = 23,
  iq1_s = 24,
  iq4_nl = 25,
  iq3_s = 26,
  iq3_m = 27,
  iq2_s = 28,
  iq2_m = 29,
  iq4_xs = 30,
  iq1_m = 31,
  bf16 = 32,
  tq1_0 = 36,
  tq2_0 = 37,
  mxfp4_moe = 38,
  q1_0 = 40,
  q2_0 = 41,
};

struct Preset {
  std::string_view name;  // "Q4_K_M"
  Ftype ftype;            // ignored by COPY: the file keeps the input's
  tensor::DType base;     // the type of everything without a rule of its own
  bool copies = false;    // COPY: every tensor keeps its type
  bool quantizes() const { return !copies && tensor::info(base).quantized(); }
};

// All of them, smallest first.
std::span<const Preset> presets();

// By name in any case, by alias (Q3_K, Q4_K, Q5_K: the _M preset) or by general.file_type as a
// number; null if there is none.
const Preset* find_preset(std::string_view name);
// The same; Error{usage} listing the names if there is none.
const Preset& preset_named(std::string_view name);

}  // namespace karat::recipe
