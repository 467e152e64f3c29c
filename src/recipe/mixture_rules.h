// The mixtures as data: which tensors of which preset get another type than the preset's base
// (llama.cpp, src/llama-quant.cpp, as of build 3.22.1 of node-llama-cpp; FORMATS.md section 4).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "recipe/presets.h"
#include "tensor/dtype.h"

namespace karat::recipe {

// What a tensor is to the rules.
enum class Category : uint8_t {
  output,  // output.weight, or token_embd.weight where there is no output
  token_embd,
  value,  // attn_v, and DeltaNet's fused attn_qkv
  key,
  query,
  attention_output,
  up,
  gate,   // ffn_gate*, the fused ffn_gate_up_exps, too
  down,   // ffn_down_exps and ffn_down_shexp alike
  other,  // attn_gate, ssm_*, nextn.eh_proj
};
// By name; the first match in the order above counts. token_embd.weight is token_embd here.
Category category_of(std::string_view name);

// What rules ask of a tensor and its model, as bits. i and n number the tensor among its like:
// value tensors in the order of the file, everything else by block number of all blocks, MTP
// included.
enum Fact : uint32_t {
  kAlways = 0,
  kEightExperts = 1 << 0,          // exactly
  kOtherExperts = 1 << 1,          // any other number
  kFourQueriesPerKey = 1 << 2,     // four or more
  kFourQueriesOrExperts = 1 << 3,  // four queries per key, or four experts, or more
  kImatrix = 1 << 4,
  kNoImatrix = 1 << 5,
  kFirstTwo = 1 << 6,        // i < 2
  kFirstFour = 1 << 7,       // i < 4
  kFirstSixteenth = 1 << 8,  // i < n / 16
  kFirstEighth = 1 << 9,     // i < n / 8
  kMiddle = 1 << 10,         // n / 8 <= i < 7 n / 8
  kMoreBits = 1 << 11,       // first and last eighth and every third block between
  kFirstDowns = 1 << 12,     // fewer than n / 8 ffn_down tensors, of either kind, came before
  kExpertStack = 1 << 13,    // three dimensions
  kOddRows = 1 << 14,        // the base type's blocks do not fill the rows
};

// The facts that follow from a position; i < 2, i < 4, ..., kMoreBits.
uint32_t position_facts(int64_t i, int64_t n);

// The type of a tensor of this category for which `facts` are true; nothing if it keeps the base.
std::optional<tensor::DType> ruled_type(Ftype ftype, Category category, uint32_t facts);

// The type that takes the place of `type` where rows of `cols` elements do not fill its blocks;
// `type` where they do; nothing if llama-quantize knows none.
std::optional<tensor::DType> fitting_type(tensor::DType type, int64_t cols);

// Whether a tensor of this type cannot be quantized without statistics.
bool requires_imatrix(Category category, tensor::DType type, Ftype ftype);

}  // namespace karat::recipe
