// Products of packed weights with int8 rows (packed.h says what is computed and in which order): a
// panel of 16 outputs x 256 columns is unpacked once and multiplied by all rows. Lanes are outputs,
// so nothing is added across lanes and no result depends on the other rows. Lanes (dot_*.inl.h)
// names the instructions, a format (unpack.inl.h) the bytes; here neither is known.
//   2 x 16 x 32 integer operations, 2 to 4 float vector operations, per block and row.
// Bound: integer products from some 30 rows on, reading the packed weights at one.

constexpr int64_t kRowsAtATime = 192;  // totals of 12 KiB; the rows of 2048 columns fit an L2
static_assert(kRowsAtATime % Lanes::kTileRows == 0);

// Where the fields of a QuantizedBlock start, in words; in a tile of n rows n times that.
constexpr int kScaleWord = offsetof(QuantizedBlock, scale) / 4;
constexpr int kProductWord = offsetof(QuantizedBlock, product) / 4;
constexpr int kSum32Word = offsetof(QuantizedBlock, minus_sum32) / 4;
constexpr int kSum16Word = offsetof(QuantizedBlock, minus_sum16) / 4;

ISA_INLINE float word_as_float(const int32_t* word) { return std::bit_cast<float>(*word); }

// Adds one block of 32 columns, one scale for all of them, to the totals of Rows rows of a tile.
template <class Kind, int Rows, int Tile>
ISA_INLINE void add_block(const Panel& panel, int b, int lane, const int32_t* x,
                          Lanes::Float (&total)[Rows]) requires(Kind::kSub == 32) {
  Lanes::Int n[Rows];
  const int32_t* scales = x + (kScaleWord + b) * Tile;
  Lanes::dot<Kind, Rows, Tile>(panel.code + 512 * b + 4 * lane, x + 8 * b * Tile,
                               x + (kSum32Word + b) * Tile, n);
  const Lanes::Float scale = Lanes::get(panel.scale + 16 * b + lane);
  ISA_UNROLL
  for (int c = 0; c < Rows; ++c) {
    const Lanes::Float both = mul(scale, Lanes::broadcast(word_as_float(scales + c)));
    total[c] = fma(Lanes::from_int(n[c]), both, total[c]);
  }
  if constexpr (Kind::kOffset) {
    const int32_t* products = x + (kProductWord + b) * Tile;
    const Lanes::Float offset = Lanes::get(panel.offset + 16 * b + lane);
    ISA_UNROLL
    for (int c = 0; c < Rows; ++c) {
      total[c] = fma(offset, Lanes::broadcast(word_as_float(products + c)), total[c]);
    }
  }
}

// The same with a scale for each half of the block.
template <class Kind, int Rows, int Tile>
ISA_INLINE void add_block(const Panel& panel, int b, int lane, const int32_t* x,
                          Lanes::Float (&total)[Rows]) requires(Kind::kSub == 16) {
  Lanes::Float part[Rows];
  ISA_UNROLL
  for (int s = 2 * b; s < 2 * b + 2; ++s) {
    Lanes::Int n[Rows];
    const int32_t* sums = x + (kSum16Word + s) * Tile;
    Lanes::dot<Kind, Rows, Tile>(panel.code + 256 * s + 4 * lane, x + 4 * s * Tile, sums, n);
    const Lanes::Float scale = Lanes::get(panel.scale + 16 * s + lane);
    ISA_UNROLL
    for (int c = 0; c < Rows; ++c) {
      const Lanes::Float product = Lanes::from_int(n[c]);
      part[c] = s % 2 == 0 ? mul(product, scale) : fma(product, scale, part[c]);
    }
    if constexpr (Kind::kOffset) {
      const Lanes::Float offset = Lanes::get(panel.offset + 16 * s + lane);
      ISA_UNROLL
      for (int c = 0; c < Rows; ++c) {
        const auto sum = static_cast<float>(-sums[c]);
        part[c] = fma(offset, Lanes::broadcast(sum), part[c]);
      }
    }
  }
  const int32_t* scales = x + (kScaleWord + b) * Tile;
  ISA_UNROLL
  for (int c = 0; c < Rows; ++c) {
    total[c] = fma(part[c], Lanes::broadcast(word_as_float(scales + c)), total[c]);
  }
}

// Adds a panel times `Rows` rows of a tile of `Tile` to totals of [rows][16].
template <class Kind, int Rows, int Tile>
void add_panel(const Panel& panel, int blocks, const int32_t* x, float* totals) noexcept {
  for (int lane = 0; lane < 16; lane += Lanes::kCount) {
    Lanes::Float total[Rows];
    ISA_UNROLL
    for (int c = 0; c < Rows; ++c) total[c] = Lanes::get(totals + 16 * c + lane);
    for (int b = 0; b < blocks; ++b) add_block<Kind, Rows, Tile>(panel, b, lane, x, total);
    ISA_UNROLL
    for (int c = 0; c < Rows; ++c) Lanes::put(totals + 16 * c + lane, total[c]);
  }
}

// A whole tile, in parts of as many rows as registers hold.
template <class Kind, int Tile>
void add_tile(const Panel& panel, int blocks, const int32_t* x, float* totals) noexcept {
  if constexpr (Tile <= Lanes::kRowsAtOnce<Kind>) {
    add_panel<Kind, Tile, Tile>(panel, blocks, x, totals);
  } else {
    constexpr int kPart = Tile / 2;
    add_panel<Kind, kPart, Tile>(panel, blocks, x, totals);
    add_panel<Kind, kPart, Tile>(panel, blocks, x + kPart, totals + 16 * kPart);
  }
}

// The tile of `width` rows, Tile being the largest that is left to try.
template <class Kind, int Tile>
ISA_INLINE void add_tile_of(int64_t width, const Panel& panel, int blocks, const int32_t* x,
                            float* totals) {
  if (width == Tile) {
    add_tile<Kind, Tile>(panel, blocks, x, totals);
  } else if constexpr (Tile > 1) {
    constexpr int kNext = static_cast<int>(tile_width(Tile - 1, Tile));
    add_tile_of<Kind, kNext>(width, panel, blocks, x, totals);
  }
}

// The outputs of one group for up to kRowsAtATime rows.
template <class Format>
ISA_INLINE void multiply_group(const IntegerProduct& a, const uint8_t* w, const int32_t* x,
                               int64_t rows, float* totals) {
  Panel panel;
  const int64_t panels = panels_of(a.cols);
  const int64_t bytes = panel_bytes(a.type, kPanelCols);
  std::memset(totals, 0, static_cast<size_t>(rows) * 16 * sizeof(float));
  for (int64_t p = 0; p < panels; ++p) {
    const int64_t left = a.cols / kBlockCols - kPanelBlocks * p;
    const int blocks = static_cast<int>(std::min<int64_t>(kPanelBlocks, left));
    Format::unpack(w + p * bytes, blocks, panel);
    for (int64_t r = 0; r < rows;) {
      const int64_t width = tile_width(rows - r, Lanes::kTileRows);
      const int32_t* tile = x + (r * panels + p * width) * kBlockWords;
      add_tile_of<typename Format::Kind, Lanes::kTileRows>(width, panel, blocks, tile,
                                                           totals + 16 * r);
      r += width;
    }
  }
}

template <class Format>
void gemm_packed(const IntegerProduct& a) noexcept {
  const int64_t group_bytes = packed_bytes(a.type, kGroupRows, a.cols);
  const int64_t row_words = panels_of(a.cols) * kBlockWords;
  alignas(64) float totals[kRowsAtATime * 16];
  for (int64_t row = 0; row < a.rows; row += kRowsAtATime) {
    const int64_t rows = std::min(kRowsAtATime, a.rows - row);
    const int32_t* x = reinterpret_cast<const int32_t*>(a.x) + row * row_words;
    const auto* w = reinterpret_cast<const uint8_t*>(a.w);
    for (int64_t f = 0; f < a.features; f += kGroupRows, w += group_bytes) {
      multiply_group<Format>(a, w, x, rows, totals);
      const int64_t count = std::min(kGroupRows, a.features - f);
      for (int64_t r = 0; r < rows; ++r) {
        store_piece(a.y + (row + r) * a.ldy + f, count, load(totals + 16 * r));
      }
    }
  }
}

void gemm_i8(const IntegerProduct& a) noexcept {
  switch (a.type) {
    case tensor::DType::q8_0:
      return gemm_packed<PackedQ8_0>(a);
    case tensor::DType::q4_0:
      return gemm_packed<PackedSymmetric<0>>(a);
    case tensor::DType::q5_0:
      return gemm_packed<PackedSymmetric<1>>(a);
    case tensor::DType::q4_1:
      return gemm_packed<PackedAffine<0>>(a);
    case tensor::DType::q5_1:
      return gemm_packed<PackedAffine<1>>(a);
    case tensor::DType::iq4_nl:
      return gemm_packed<PackedIQ4NL>(a);
    case tensor::DType::iq4_xs:
      return gemm_packed<PackedIQ4XS>(a);
    case tensor::DType::mxfp4:
      return gemm_packed<PackedMXFP4>(a);
    case tensor::DType::q2_k:
      return gemm_packed<PackedQ2K>(a);
    case tensor::DType::q3_k:
      return gemm_packed<PackedQ3K>(a);
    case tensor::DType::q4_k:
      return gemm_packed<PackedQ45K<0>>(a);
    case tensor::DType::q5_k:
      return gemm_packed<PackedQ45K<1>>(a);
    case tensor::DType::q6_k:
      return gemm_packed<PackedQ6K>(a);
    default:
      return;  // no integer form (has_integer_form)
  }
}
