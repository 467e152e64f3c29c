#include "base/error.h"
#include "codec/blocks.h"
#include "codec/codebook.h"
#include "kernels/packed.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace karat::kernels {
namespace {

using tensor::DType;

static_assert(std::endian::native == std::endian::little);

constexpr uint64_t bytes_of(uint64_t byte) { return byte * 0x0101010101010101U; }

uint64_t eight_bytes(const void* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

uint64_t nibbles(const uint8_t* q, bool high) {
  return eight_bytes(q) >> (high ? 4 : 0) & bytes_of(15);
}

// The eight bits of a byte, each in a byte of its own.
uint64_t spread_bits(uint8_t bits) {
  uint64_t word = 0;
  for (int i = 0; i < 8; ++i) word |= static_cast<uint64_t>(bits >> i & 1) << 8 * i;
  return word;
}

// Where a panel of one row begins in its stored blocks, and how long it is.
struct StoredPanel {
  const std::byte* blocks;
  int64_t count;  // blocks of 32 columns
};

// One type's stored blocks: codes8 gives the codes of columns [k, k + 8) of the panel, one to a
// byte, as they are packed; pack_scales writes row `lane` of the scale arrays.
template <class Block>
const Block& block_at(const StoredPanel& row, int64_t index) {
  return *reinterpret_cast<const Block*>(row.blocks + index * static_cast<int64_t>(sizeof(Block)));
}

void put_half(std::byte* halves, int64_t index, uint16_t half) {
  std::memcpy(halves + 2 * index, &half, sizeof half);
}

// Types of 32-element blocks: d of [blocks][16 rows], then m likewise.
template <class Block>
void pack_halves(const StoredPanel& row, int64_t lane, std::byte* out) {
  for (int64_t b = 0; b < row.count; ++b) {
    const Block& block = block_at<Block>(row, b);
    put_half(out, 16 * b + lane, block.d);
    if constexpr (requires { block.m; }) put_half(out, 16 * (row.count + b) + lane, block.m);
  }
}

struct StoredQ8_0 {
  static uint64_t codes8(const StoredPanel& row, int64_t k) {
    return eight_bytes(block_at<codec::BlockQ8_0>(row, k / 32).q + k % 32) ^ bytes_of(0x80);
  }
  static void pack_scales(const StoredPanel& row, int64_t lane, std::byte* out) {
    pack_halves<codec::BlockQ8_0>(row, lane, out);
  }
};

// Q4_0, Q4_1, Q5_0, Q5_1 and IQ4_NL.
template <class Block>
struct StoredNibbles {
  static uint64_t codes8(const StoredPanel& row, int64_t k) {
    const Block& block = block_at<Block>(row, k / 32);
    const int64_t i = k % 32;
    uint64_t codes = nibbles(block.q + i % 16, i >= 16);
    if constexpr (requires { block.qh; }) codes |= spread_bits(block.qh[i / 8]) << 4;
    return codes;
  }
  static void pack_scales(const StoredPanel& row, int64_t lane, std::byte* out) {
    pack_halves<Block>(row, lane, out);
  }
};

struct StoredMXFP4 {
  static uint64_t codes8(const StoredPanel& row, int64_t k) {
    const int64_t i = k % 32;
    return nibbles(block_at<codec::BlockMXFP4>(row, k / 32).q + i % 16, i >= 16);
  }
  // e of [blocks][16 rows].
  static void pack_scales(const StoredPanel& row, int64_t lane, std::byte* out) {
    for (int64_t b = 0; b < row.count; ++b) {
      out[16 * b + lane] = std::byte{block_at<codec::BlockMXFP4>(row, b).e};
    }
  }
};

// d, d of the mins with its sign turned, then three lines of six-bit fields: five to a dword from
// its lowest bits up, field 15 in the top two bits of the three dwords, the lowest first. Fields:
// eight scales, eight mins.
template <class Block>
struct StoredQ45K {
  static uint64_t codes8(const StoredPanel& row, int64_t k) {
    const Block& block = block_at<Block>(row, 0);
    uint64_t codes = nibbles(block.q + 32 * (k / 64) + k % 32, k % 64 >= 32);
    if constexpr (requires { block.qh; }) {
      codes |= (eight_bytes(block.qh + k % 32) >> k / 32 & bytes_of(1)) << 4;
    }
    return codes;
  }
  static void pack_scales(const StoredPanel& row, int64_t lane, std::byte* out) {
    const Block& block = block_at<Block>(row, 0);
    put_half(out, lane, block.d);
    put_half(out, 16 + lane, static_cast<uint16_t>(block.dmin ^ 0x8000U));
    uint32_t fields[16];
    for (int j = 0; j < 8; ++j) {
      const codec::ScaleMin pair = codec::scale_min(block.scales, j);
      fields[j] = static_cast<uint32_t>(pair.scale);
      fields[8 + j] = static_cast<uint32_t>(pair.min);
    }
    for (int line = 0; line < 3; ++line) {
      uint32_t word = (fields[15] >> 2 * line & 3U) << 30;
      for (int f = 0; f < 5; ++f) word |= fields[5 * line + f] << 6 * f;
      std::memcpy(out + 64 + 64 * line + 4 * lane, &word, sizeof word);
    }
  }
};

// d, then scales of [16 sub-blocks][16 rows].
struct StoredQ6K {
  static uint64_t codes8(const StoredPanel& row, int64_t k) {
    const auto& block = block_at<codec::BlockQ6K>(row, 0);
    const int64_t n = k / 128;
    const int64_t r = k % 128;
    const uint64_t high = eight_bytes(block.qh + 32 * n + r % 32) >> 2 * (r / 32) & bytes_of(3);
    return nibbles(block.ql + 64 * n + r % 64, r >= 64) | high << 4;
  }
  static void pack_scales(const StoredPanel& row, int64_t lane, std::byte* out) {
    const auto& block = block_at<codec::BlockQ6K>(row, 0);
    put_half(out, lane, block.d);
    for (int64_t s = 0; s < 16; ++s) {
      out[32 + 16 * s + lane] = static_cast<std::byte>(block.scales[s]);
    }
  }
};

uint64_t two_bits(const uint8_t* q, int64_t k) {
  return eight_bytes(q + 32 * (k / 128) + k % 32) >> 2 * (k % 128 / 32) & bytes_of(3);
}

// d, d of the mins with its sign turned, then the bytes of [16 sub-blocks][16 rows] as stored.
struct StoredQ2K {
  static uint64_t codes8(const StoredPanel& row, int64_t k) {
    return two_bits(block_at<codec::BlockQ2K>(row, 0).q, k);
  }
  static void pack_scales(const StoredPanel& row, int64_t lane, std::byte* out) {
    const auto& block = block_at<codec::BlockQ2K>(row, 0);
    put_half(out, lane, block.d);
    put_half(out, 16 + lane, static_cast<uint16_t>(block.dmin ^ 0x8000U));
    for (int64_t s = 0; s < 16; ++s) out[64 + 16 * s + lane] = std::byte{block.scales[s]};
  }
};

// d, then the twelve bytes of [12][16 rows] as stored.
struct StoredQ3K {
  static uint64_t codes8(const StoredPanel& row, int64_t k) {
    const auto& block = block_at<codec::BlockQ3K>(row, 0);
    return two_bits(block.q, k) | (eight_bytes(block.hmask + k % 32) >> k / 32 & bytes_of(1)) << 2;
  }
  static void pack_scales(const StoredPanel& row, int64_t lane, std::byte* out) {
    const auto& block = block_at<codec::BlockQ3K>(row, 0);
    put_half(out, lane, block.d);
    for (int64_t s = 0; s < 12; ++s) out[32 + 16 * s + lane] = std::byte{block.scales[s]};
  }
};

// d, the bytes of the scales' high bits of [2][16 rows], then their low bits of [4][16 rows].
struct StoredIQ4XS {
  static uint64_t codes8(const StoredPanel& row, int64_t k) {
    const int64_t i = k % 32;
    return nibbles(block_at<codec::BlockIQ4XS>(row, 0).q + 16 * (k / 32) + i % 16, i >= 16);
  }
  static void pack_scales(const StoredPanel& row, int64_t lane, std::byte* out) {
    const auto& block = block_at<codec::BlockIQ4XS>(row, 0);
    put_half(out, lane, block.d);
    out[32 + lane] = static_cast<std::byte>(block.scales_h & 255);
    out[48 + lane] = static_cast<std::byte>(block.scales_h >> 8);
    for (int64_t s = 0; s < 4; ++s) out[64 + 16 * s + lane] = std::byte{block.scales_l[s]};
  }
};

// Adds the four codes of a step, one to a byte, to the lines of a block.
void put_codes(PackedCodes form, int step, int64_t lane, uint32_t codes, std::byte* block) {
  const auto put = [&](std::byte* line, int bits, uint32_t values) {
    values &= static_cast<uint32_t>(bytes_of((1U << bits) - 1));
    uint32_t word;
    std::memcpy(&word, line + 4 * lane, sizeof word);
    word |= values << bits * (step % (8 / bits));
    std::memcpy(line + 4 * lane, &word, sizeof word);
  };
  put(block + low_line(form, step), form.low_bits, codes);
  if (form.high_bits > 0) {
    put(block + high_line(form, step), form.high_bits, codes >> form.low_bits);
  }
}

template <class Stored>
void pack(DType type, const std::byte* stored, int64_t rows, int64_t cols, std::byte* out) {
  const PackedCodes form = packed_codes(type);
  const int64_t row_bytes = tensor::row_bytes(type, cols);
  const int64_t panel_stored = tensor::row_bytes(type, kPanelCols);
  const int64_t group_bytes = packed_bytes(type, kGroupRows, cols);
  std::memset(out, 0, static_cast<size_t>(packed_bytes(type, rows, cols)));
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t lane = r % kGroupRows;
    std::byte* group = out + r / kGroupRows * group_bytes;
    for (int64_t p = 0; p < panels_of(cols); ++p) {
      const int64_t blocks = std::min<int64_t>(kPanelBlocks, cols / kBlockCols - kPanelBlocks * p);
      const StoredPanel row{stored + r * row_bytes + p * panel_stored, blocks};
      std::byte* panel = group + p * panel_bytes(type, kPanelCols);
      Stored::pack_scales(row, lane, panel);
      std::byte* block = panel + panel_scale_bytes(type, kBlockCols * blocks);
      for (int64_t b = 0; b < blocks; ++b, block += code_bytes(form)) {
        for (int step = 0; step < kBlockSteps; step += 2) {
          const uint64_t codes = Stored::codes8(row, kBlockCols * b + 4 * step);
          put_codes(form, step, lane, static_cast<uint32_t>(codes), block);
          put_codes(form, step + 1, lane, static_cast<uint32_t>(codes >> 32), block);
        }
      }
    }
  }
}

}  // namespace

bool has_integer_form(DType type) { return packed_codes(type).low_bits > 0; }

int64_t panel_bytes(DType type, int64_t cols) {
  return (kGroupRows * tensor::row_bytes(type, cols) + 63) / 64 * 64;
}

int64_t panel_scale_bytes(DType type, int64_t cols) {
  return panel_bytes(type, cols) - cols / kBlockCols * code_bytes(packed_codes(type));
}

int64_t packed_bytes(DType type, int64_t rows, int64_t cols) {
  const int64_t whole = cols / kPanelCols * panel_bytes(type, kPanelCols);
  const int64_t group = whole + panel_bytes(type, cols % kPanelCols);
  return (rows + kGroupRows - 1) / kGroupRows * group;
}

void pack_rows(DType type, const std::byte* stored, int64_t rows, int64_t cols, std::byte* out) {
  switch (type) {
    case DType::q8_0:
      return pack<StoredQ8_0>(type, stored, rows, cols, out);
    case DType::q4_0:
      return pack<StoredNibbles<codec::BlockQ4_0>>(type, stored, rows, cols, out);
    case DType::q4_1:
      return pack<StoredNibbles<codec::BlockQ4_1>>(type, stored, rows, cols, out);
    case DType::q5_0:
      return pack<StoredNibbles<codec::BlockQ5_0>>(type, stored, rows, cols, out);
    case DType::q5_1:
      return pack<StoredNibbles<codec::BlockQ5_1>>(type, stored, rows, cols, out);
    case DType::iq4_nl:
      return pack<StoredNibbles<codec::BlockIQ4NL>>(type, stored, rows, cols, out);
    case DType::mxfp4:
      return pack<StoredMXFP4>(type, stored, rows, cols, out);
    case DType::q4_k:
      return pack<StoredQ45K<codec::BlockQ4K>>(type, stored, rows, cols, out);
    case DType::q5_k:
      return pack<StoredQ45K<codec::BlockQ5K>>(type, stored, rows, cols, out);
    case DType::q6_k:
      return pack<StoredQ6K>(type, stored, rows, cols, out);
    case DType::q2_k:
      return pack<StoredQ2K>(type, stored, rows, cols, out);
    case DType::q3_k:
      return pack<StoredQ3K>(type, stored, rows, cols, out);
    case DType::iq4_xs:
      return pack<StoredIQ4XS>(type, stored, rows, cols, out);
    default:
      CHECK(false);
  }
}

}  // namespace karat::kernels
