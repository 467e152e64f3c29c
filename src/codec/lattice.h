// Formats whose codes are points of a fixed list: what they share. An octet of eight elements is
// stored as the index of one point of eight coordinates or of two of four, and a byte of state: the
// signs of the coordinates or, in IQ1, on which side of the levels the values lie. A Code is the
// level with its sign, in units of the step.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "codec/codec.h"
#include "codec/lattice_view.h"
#include "codec/scalar_code.h"

namespace karat::codec {

inline constexpr int kOctet = 8;
inline constexpr int kOctets = kBlockElemsMax / kOctet;

// What an octet's state means: nothing but sign bits that make an even number of minus signs, any
// sign bits, or whether delta is negative, for a whole sub-block or for each octet.
enum class OctetState { even_signs, signs, sub_block_delta, delta };

struct LatticeFormat {
  tensor::DType type;
  std::span<const uint16_t> points;
  int point_coords;             // 8 or 4
  int top;                      // level numbers are 0..top
  std::array<int8_t, 8> level;  // by level number, in steps; with delta +1 where there is a delta
  OctetState state;
  int sub_elems;
  int scale_max;
  float unit;  // step = h(d) * (2 * scale + 1) * unit, exact in f32

  bool has_delta() const {
    return state == OctetState::sub_block_delta || state == OctetState::delta;
  }
  int point_bits() const { return point_coords == 8 ? 2 : 3; }
};

// The indices and states of a block as a file stores them.
struct LatticeBlock {
  std::array<std::array<uint16_t, 2>, kOctets> index{};  // the second if a point has 4 coordinates
  std::array<uint8_t, kOctets> state{};  // sign bits, bit j for element j; or 1 if delta is -1
};

// What is stored for one octet, but for its scale.
struct OctetChoice {
  std::array<uint16_t, 2> index{};
  uint8_t state = 0;
};

// A list of points with its inverse.
class Lattice {
 public:
  explicit Lattice(const LatticeFormat& format);
  Lattice(const Lattice&) = delete;
  Lattice& operator=(const Lattice&) = delete;

  const LatticeFormat& format() const { return format_; }
  const LatticeView& view() const { return view_; }
  uint16_t point(int index) const { return format_.points[static_cast<size_t>(index)]; }
  // Of a level of the format, with delta +1 where there is a delta.
  unsigned number_of(Code level) const { return number_[static_cast<size_t>(level & 63)]; }
  // The index of a point whose levels are nearest to those of `cell`, a point in or outside the
  // list: its own if it is in the list.
  uint16_t nearest(uint16_t cell) const { return nearest_[static_cast<size_t>(key(cell))]; }

 private:
  // Dense numbering of all cells: base 3 of the two-bit level numbers, the cell itself otherwise.
  int key(uint16_t cell) const;
  void find_nearest();
  void find_runs();

  LatticeFormat format_;
  LatticeView view_;
  std::array<uint8_t, 64> number_{};     // by the low bits of a level
  std::array<uint8_t, 256> base3_{};     // of four two-bit fields
  std::vector<uint16_t> nearest_;        // indices
  std::vector<uint16_t> nearest_point_;  // and what the view reads
  std::vector<int8_t> levels_;
  std::vector<uint8_t> high_;
  std::array<uint8_t, 256> run_near_{};
  std::vector<uint16_t> begin_;
  std::vector<uint16_t> first_;
  std::vector<uint8_t> low_;
};

// The eight codes of an octet, and the inverse: codes that are points with a sound state.
void octet_codes(const LatticeFormat& format, const OctetChoice& octet, Code* codes);
OctetChoice octet_of_codes(const Lattice& lattice, const Code* codes);

// All but the bytes of the block.
class LatticeCodec : public Codec {
 public:
  // Built when it is first needed, to encode.
  virtual const Lattice& lattice() const = 0;

  void weigh(std::span<const float> x, std::span<const float> importance,
             std::span<float> w) const override;
  Grid search_grid(const float* x, const float* w) const override;
  void round(const Grid& grid, int index, const float* x, const float* w, Code* codes,
             float* values) const override;
  void pack(const Grid& grid, const Code* codes, std::byte* block) const override;
  void unpack(const std::byte* block, Grid& grid, Code* codes) const override;

 protected:
  explicit LatticeCodec(const LatticeFormat& format);

  // The three steps without codes in between.
  void encode_checked(std::span<const float> x, std::span<const float> importance,
                      std::span<std::byte> out) const override;
  // Between a block's bytes and d, scale, min (1 where a sub-block's delta is negative), indices
  // and states.
  virtual void write_block(const Grid& grid, const LatticeBlock& content,
                           std::byte* bytes) const = 0;
  virtual void read_block(const std::byte* bytes, Grid& grid, LatticeBlock& content) const = 0;

 private:
  LatticeFormat format_;
};

// The codec of one Format: a struct with Block, format(), write(grid, content, block&),
// read(block, grid&, content&) and d(block), the bits of the block's scale.
template <class Format>
class LatticeCodecOf final : public LatticeCodec {
  using Block = typename Format::Block;

 public:
  LatticeCodecOf() : LatticeCodec(Format::format()) {}

  const Lattice& lattice() const override {
    static const Lattice instance(Format::format());
    return instance;
  }

  std::optional<int64_t> find_bad_block(std::span<const std::byte> bytes) const override {
    return find_block<Block>(bytes,
                             [](const Block& block) { return half_is_finite(Format::d(block)); });
  }

 protected:
  void write_block(const Grid& grid, const LatticeBlock& content, std::byte* bytes) const override {
    Block block = {};
    Format::write(grid, content, block);
    std::memcpy(bytes, &block, sizeof block);
  }
  void read_block(const std::byte* bytes, Grid& grid, LatticeBlock& content) const override {
    Block block;
    std::memcpy(&block, bytes, sizeof block);
    Format::read(block, grid, content);
  }
};

}  // namespace karat::codec
