// Products of packed weights with int8 rows (packed.h says what is computed and in which order): a
// panel of 16 outputs x 256 columns is unpacked once and multiplied by all rows, or for few rows
// multiplied as it is read. Lanes are outputs, so nothing is added across lanes and no result
// depends on the other rows. Lanes (dot_*.inl.h) names the instructions, a format (unpack.inl.h)
// the bytes; here neither is known.
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

// Where add_block gets a panel's codes and scales from: what was unpacked, or the packed bytes.
template <class PanelKind, int kLane>
struct Unpacked {
  using Kind = PanelKind;
  const Panel& panel;
  ISA_INLINE Lanes::Codes codes(int b, int s) const {
    return Lanes::codes_at(panel.code + 64 * (kBlockSteps * b + s) + 4 * kLane);
  }
  ISA_INLINE Lanes::Float scale(int i) const { return Lanes::get(panel.scale + 16 * i + kLane); }
  ISA_INLINE Lanes::Float offset(int i) const { return Lanes::get(panel.offset + 16 * i + kLane); }
};
template <class Format, int kLane>
struct Direct {
  using Kind = typename Format::Kind;
  const Format& format;
  ISA_INLINE Lanes::Codes codes(int b, int s) const {
    return Lanes::part<kLane>(format.codes(b, s));
  }
  ISA_INLINE Lanes::Float scale(int i) const { return Lanes::part<kLane>(format.scale(i)); }
  ISA_INLINE Lanes::Float offset(int i) const { return Lanes::part<kLane>(format.offset(i)); }
};

// Adds one block of 32 columns, one scale for all of them, to the totals of Rows rows of a tile.
template <int Rows, int Tile, class Weights, class Kind = typename Weights::Kind>
ISA_INLINE void add_block(const Weights& w, int b, const int32_t* x,
                          Lanes::Float (&total)[Rows]) requires(Kind::kSub == 32) {
  Lanes::Int n[Rows];
  const int32_t* scales = x + (kScaleWord + b) * Tile;
  Lanes::dot<Kind, Rows, Tile>([&](int s) { return w.codes(b, s); }, x + 8 * b * Tile,
                               x + (kSum32Word + b) * Tile, n);
  const Lanes::Float scale = w.scale(b);
  ISA_UNROLL
  for (int c = 0; c < Rows; ++c) {
    const Lanes::Float both = mul(scale, Lanes::broadcast(word_as_float(scales + c)));
    total[c] = fma(Lanes::from_int(n[c]), both, total[c]);
  }
  if constexpr (Kind::kOffset) {
    const int32_t* products = x + (kProductWord + b) * Tile;
    const Lanes::Float offset = w.offset(b);
    ISA_UNROLL
    for (int c = 0; c < Rows; ++c) {
      total[c] = fma(offset, Lanes::broadcast(word_as_float(products + c)), total[c]);
    }
  }
}

// The same with a scale for each half of the block.
template <int Rows, int Tile, class Weights, class Kind = typename Weights::Kind>
ISA_INLINE void add_block(const Weights& w, int b, const int32_t* x,
                          Lanes::Float (&total)[Rows]) requires(Kind::kSub == 16) {
  Lanes::Float part[Rows];
  ISA_UNROLL
  for (int half = 0; half < 2; ++half) {
    Lanes::Int n[Rows];
    const int sub = 2 * b + half;
    const int32_t* sums = x + (kSum16Word + sub) * Tile;
    Lanes::dot<Kind, Rows, Tile>([&](int s) { return w.codes(b, 4 * half + s); },
                                 x + 4 * sub * Tile, sums, n);
    const Lanes::Float scale = w.scale(sub);
    ISA_UNROLL
    for (int c = 0; c < Rows; ++c) {
      const Lanes::Float product = Lanes::from_int(n[c]);
      part[c] = half == 0 ? mul(product, scale) : fma(product, scale, part[c]);
    }
    if constexpr (Kind::kOffset) {
      const Lanes::Float offset = w.offset(sub);
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

// Adds a panel times `Rows` rows of a tile of `Tile` to totals of [rows][16], the lanes from kLane
// on.
template <class Kind, int Rows, int Tile, int kLane = 0>
ISA_INLINE void add_unpacked(const Panel& panel, int blocks, const int32_t* x, float* totals) {
  const Unpacked<Kind, kLane> weights{panel};
  Lanes::Float total[Rows];
  ISA_UNROLL
  for (int c = 0; c < Rows; ++c) total[c] = Lanes::get(totals + 16 * c + kLane);
  for (int b = 0; b < blocks; ++b) add_block<Rows, Tile>(weights, b, x, total);
  ISA_UNROLL
  for (int c = 0; c < Rows; ++c) Lanes::put(totals + 16 * c + kLane, total[c]);
  if constexpr (kLane + Lanes::kCount < 16) {
    add_unpacked<Kind, Rows, Tile, kLane + Lanes::kCount>(panel, blocks, x, totals);
  }
}

template <class Kind, int Rows, int Tile>
void add_panel(const Panel& panel, int blocks, const int32_t* x, float* totals) noexcept {
  add_unpacked<Kind, Rows, Tile>(panel, blocks, x, totals);
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

// Where the panels of a group lie.
struct PanelPlan {
  explicit PanelPlan(const IntegerProduct& a)
      : count(panels_of(a.cols)),
        bytes(panel_bytes(a.type, kPanelCols)),
        scale_bytes(panel_scale_bytes(a.type, kPanelCols)) {
    const int64_t last_cols = a.cols - kPanelCols * (count - 1);
    last_scale_bytes = panel_scale_bytes(a.type, last_cols);
    last_blocks = static_cast<int>(last_cols / kBlockCols);
  }
  int64_t count, bytes, scale_bytes, last_scale_bytes;
  int last_blocks;
};
struct PanelPlace {
  const uint8_t *scales, *codes;
  int blocks;
  ISA_INLINE PanelPlace(const PanelPlan& plan, const uint8_t* group, int64_t index) {
    const bool last = index + 1 == plan.count;
    scales = group + index * plan.bytes;
    codes = scales + (last ? plan.last_scale_bytes : plan.scale_bytes);
    blocks = last ? plan.last_blocks : kPanelBlocks;
  }
};

// The outputs of one group for up to kRowsAtATime rows.
template <class Format>
ISA_INLINE void multiply_group(const PanelPlan& plan, const uint8_t* w, const int32_t* x,
                               int64_t rows, float* totals) {
  Panel panel;
  std::memset(totals, 0, static_cast<size_t>(rows) * 16 * sizeof(float));
  for (int64_t p = 0; p < plan.count; ++p) {
    const PanelPlace at(plan, w, p);
    unpack(Format(at.scales, at.codes, at.blocks), at.blocks, panel);
    for (int64_t r = 0; r < rows;) {
      const int64_t width = tile_width(rows - r, Lanes::kTileRows);
      const int32_t* tile = x + (r * plan.count + p * width) * kBlockWords;
      add_tile_of<typename Format::Kind, Lanes::kTileRows>(width, panel, at.blocks, tile,
                                                           totals + 16 * r);
      r += width;
    }
  }
}

// The same for one tile of `Rows` rows, without unpacking: a code is used as soon as it is read.
// The lines of the scales are asked for in order before the first of them is needed, so that memory
// is read from the panel's first byte to its last.
template <class Format, int Rows, int kLane = 0>
ISA_INLINE void multiply_directly(const PanelPlan& plan, const uint8_t* w, const int32_t* x,
                                  float* totals) {
  Lanes::Float total[Rows];
  ISA_UNROLL
  for (int c = 0; c < Rows; ++c) total[c] = Lanes::broadcast(0.0F);
  for (int64_t p = 0; p < plan.count; ++p) {
    const PanelPlace at(plan, w, p);
    for (const uint8_t* line = at.scales; line < at.codes; line += 64) __builtin_prefetch(line);
    const Format format(at.scales, at.codes, at.blocks);
    const Direct<Format, kLane> weights{format};
    ISA_UNROLL
    for (int b = 0; b < kPanelBlocks; ++b) {
      if (b == at.blocks) break;
      add_block<Rows, Rows>(weights, b, x + p * Rows * kBlockWords, total);
    }
  }
  ISA_UNROLL
  for (int c = 0; c < Rows; ++c) Lanes::put(totals + 16 * c + kLane, total[c]);
  if constexpr (kLane + Lanes::kCount < 16) {
    multiply_directly<Format, Rows, kLane + Lanes::kCount>(plan, w, x, totals);
  }
}

// All rows tile after tile, Tile being the largest that is left to try: after the first the weights
// are in a cache.
template <class Format, int Tile>
ISA_INLINE void multiply_tiles(const PanelPlan& plan, const uint8_t* w, const int32_t* x,
                               int64_t rows, float* totals) {
  while (rows >= Tile) {
    multiply_directly<Format, Tile>(plan, w, x, totals);
    x += Tile * plan.count * kBlockWords;
    totals += Tile * 16;
    rows -= Tile;
  }
  if constexpr (Tile > 1) {
    constexpr int kNext = static_cast<int>(tile_width(Tile - 1, Tile));
    multiply_tiles<Format, kNext>(plan, w, x, rows, totals);
  }
}

// Whichever of the two is faster.
template <class Format>
ISA_INLINE void multiply_rows(const PanelPlan& plan, const uint8_t* w, const int32_t* x,
                              int64_t rows, float* totals) {
  if constexpr (Lanes::kRowsDirectly > 0) {
    if (rows <= Lanes::kRowsDirectly) {
      return multiply_tiles<Format, Lanes::kTileRows>(plan, w, x, rows, totals);
    }
  }
  multiply_group<Format>(plan, w, x, rows, totals);
}

template <class Format>
void gemm_packed(const IntegerProduct& a) noexcept {
  const int64_t group_bytes = packed_bytes(a.type, kGroupRows, a.cols);
  const int64_t row_words = panels_of(a.cols) * kBlockWords;
  const PanelPlan plan(a);
  alignas(64) float totals[kRowsAtATime * 16];
  for (int64_t row = 0; row < a.rows; row += kRowsAtATime) {
    const int64_t rows = std::min(kRowsAtATime, a.rows - row);
    const int32_t* x = reinterpret_cast<const int32_t*>(a.x) + row * row_words;
    const auto* w = reinterpret_cast<const uint8_t*>(a.w);
    for (int64_t f = 0; f < a.features; f += kGroupRows, w += group_bytes) {
      multiply_rows<Format>(plan, w, x, rows, totals);
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
