// A Codec is one storage format of weights: what its bytes mean (decode) and how values become
// bytes (encode, in three steps so that other encoders can drive the same formats).
//
//   1. choose_grid: from a block's values and weights, the block's scales and mins, all levels
//      included, rounded as they will be stored;
//   2. round: one element (or one group, see group_elems) to its code under that grid, and the
//   value
//      the code decodes to;
//   3. pack: grid and codes to the block's bytes.
//
// encode_row is exactly these three for every block. An error-feedback encoder calls choose_grid
// when it reaches a block, round column by column with the error of earlier columns folded into x,
// and pack at the block's end.
//
// Formats whose codes are points of a fixed list (IQ1-IQ3: eight elements share one or two indices,
// signs under a parity rule) have group_elems() 8: round takes the whole group's values and weights
// and finds the best listed point, one Code per element holding its signed level, and pack looks
// the index up again. Their scales live in Grid as any other format's; IQ1_S stores in Grid::min
// whether a sub-block's delta is negative.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "tensor/dtype.h"

namespace karat::codec {

inline constexpr int kBlockElemsMax = 256;
inline constexpr int kSubBlocksMax = 16;

// The integer stored for one element, as the format's formula uses it: Q4_K 0..15, Q6_K -32..31,
// Q8_0 -128..127. For F32, F16 and BF16 the stored bit pattern.
using Code = int32_t;

// What a decoder reads of a block besides the codes. Sub-block s covers elements
// [s * sub_elems, (s + 1) * sub_elems). Empty for F32, F16 and BF16.
struct Grid {
  uint16_t d = 0;                              // block scale, bits as stored
  uint16_t dmin = 0;                           // block scale of the mins, 0 if there are none
  std::array<int16_t, kSubBlocksMax> scale{};  // second-level integers, as stored
  std::array<int16_t, kSubBlocksMax> min{};    //
  std::array<float, kSubBlocksMax> step{};     // derived: value = step[s] * code - offset[s],
  std::array<float, kSubBlocksMax> offset{};   // both products in f32
};

// Stateless; every call is safe from any thread. Rows are whole numbers of blocks: a row of n
// elements takes tensor::row_bytes(type, n) bytes. Importances are the mean squared activation of
// each column (any common factor is allowed); zeros, denormals and non-finite importances are
// replaced by a small share of the block's mean.
class Codec {
 public:
  virtual ~Codec() = default;
  Codec(const Codec&) = delete;
  Codec& operator=(const Codec&) = delete;

  const tensor::DTypeInfo& info() const { return info_; }
  tensor::DType type() const { return info_.type; }
  int block_elems() const { return info_.block_elems; }
  int block_bytes() const { return info_.block_bytes; }
  int sub_elems() const { return sub_elems_; }      // elements under one step and offset
  int group_elems() const { return group_elems_; }  // elements rounded together, 1 for scalar codes
  float range_max() const { return range_max_; }    // largest magnitude that can be stored

  // The scalar decode that defines the format: bytes.size() == row_bytes(out.size()). Bytes need no
  // alignment. Never fails: a NaN scale decodes to NaNs.
  virtual void decode(std::span<const std::byte> bytes, std::span<float> out) const;

  // Encodes a row under the format's own search; `importance` is empty or has x.size() entries.
  // Deterministic. Error{bad_input} "column N: ..." if a value is NaN, infinite or beyond
  // range_max().
  void encode_row(std::span<const float> x, std::span<const float> importance,
                  std::span<std::byte> out) const;

  // The weight of each element's squared error that encode_row hands to choose_grid: from values
  // and importance (empty or one per value). w.size() == x.size().
  virtual void weigh(std::span<const float> x, std::span<const float> importance,
                     std::span<float> w) const;

  // Step 1. x and w have block_elems() entries; w may be anything (guarded as importances are).
  Grid choose_grid(const float* x, const float* w) const;

  // Step 2. Rounds elements [index, index + group_elems()) of the block to the codes whose values
  // have the least weighted squared error under the grid. x, w, codes and values point at the
  // group's first element; w may be null (all equal) and is ignored by formats of group_elems() 1.
  virtual void round(const Grid& grid, int index, const float* x, const float* w, Code* codes,
                     float* values) const = 0;

  // Step 2 for all elements of a block, codes only: what round gives for each group.
  virtual void round_block(const Grid& grid, const float* x, const float* w, Code* codes) const;

  // Step 3. codes has block_elems() entries within the format's range; block has block_bytes().
  virtual void pack(const Grid& grid, const Code* codes, std::byte* block) const = 0;

  // The inverse of pack for every byte pattern; step and offset are filled in.
  virtual void unpack(const std::byte* block, Grid& grid, Code* codes) const = 0;

  // Index of the first block that holds a NaN or infinity (in a scale, or in a value of the plain
  // float types); nothing if the row is sound. The same checks as ggml's row validation.
  virtual std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const = 0;

  // Column of the first value that is NaN, infinite or beyond range_max(); nothing if all fit.
  std::optional<int64_t> find_out_of_range(std::span<const float> x) const;

 protected:
  Codec(tensor::DType type, int sub_elems, int group_elems, float range_max);

  // choose_grid with weights that a least-squares fit can use (condition_weights).
  virtual Grid search_grid(const float* x, const float* w) const = 0;

  // encode_row after its checks: the three steps per block. The plain float formats, which have no
  // grid, convert directly; the lattice formats pass indices on, not codes.
  virtual void encode_checked(std::span<const float> x, std::span<const float> importance,
                              std::span<std::byte> out) const;

 private:
  const tensor::DTypeInfo& info_;
  int sub_elems_;
  int group_elems_;
  float range_max_;
};

// The formats that can be encoded and decoded.
std::span<const Codec* const> codecs();
// Null if there is no codec for the type.
const Codec* find_codec(tensor::DType type);
// Error{unsupported} naming the type if there is no codec for it.
const Codec& codec_for(tensor::DType type);

}  // namespace karat::codec
