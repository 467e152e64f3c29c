// y = x w^T: 2 m n k operations. Every output has its own 16-lane accumulator over all of k, so its
// bits depend neither on the tile it fell into nor on m and n; only how operands travel is chosen
// here:
//   * a register tile of R x C outputs reads R + C vectors per R * C fused multiply-adds; where a
//     vector is two registers, a large tile runs over the lower halves first, then the upper ones;
//   * with enough rows, blocks of kTileCols x kDepth weights are copied, widened, and used for up
//   to
//     kBlockRows rows; between blocks of k the accumulators rest in memory. That saves conversions
//     and the cache conflicts of rows that lie a multiple of 4 KiB apart.
// Bound: fused multiply-adds from a few rows on, memory at one row.

constexpr int64_t kBlockRows = 48;
static_assert(kDepth % 16 == 0 && kBlockRows % kTileRows == 0);

// A vector in all its registers; Part (vec_*.h) is one register of it.
struct Whole {
  using Vector = F16x;
  static constexpr int kLanes = 16;
  ISA_INLINE static F16x zero() { return splat(0.0F); }
  ISA_INLINE static F16x get(const float* p) { return load(p); }
  ISA_INLINE static F16x get_n(const float* p, int64_t n) { return load_n(p, n); }
  ISA_INLINE static F16x get_bf16(const void* p) { return load_bf16(p); }
  ISA_INLINE static F16x get_bf16_n(const void* p, int64_t n) { return load_bf16_n(p, n); }
  ISA_INLINE static F16x get_f16(const void* p) { return load_f16(p); }
  ISA_INLINE static F16x get_f16_n(const void* p, int64_t n) { return load_f16_n(p, n); }
  ISA_INLINE static void put(float* p, F16x a) { store(p, a); }
};

struct F32Weight {
  using Stored = float;
  template <class V>
  ISA_INLINE static auto get(const float* p) {
    return V::get(p);
  }
  template <class V>
  ISA_INLINE static auto get_n(const float* p, int64_t n) {
    return V::get_n(p, n);
  }
};

struct Bf16Weight {
  using Stored = uint16_t;
  template <class V>
  ISA_INLINE static auto get(const uint16_t* p) {
    return V::get_bf16(p);
  }
  template <class V>
  ISA_INLINE static auto get_n(const uint16_t* p, int64_t n) {
    return V::get_bf16_n(p, n);
  }
};

struct F16Weight {
  using Stored = uint16_t;
  template <class V>
  ISA_INLINE static auto get(const uint16_t* p) {
    return V::get_f16(p);
  }
  template <class V>
  ISA_INLINE static auto get_n(const uint16_t* p, int64_t n) {
    return V::get_f16_n(p, n);
  }
};

// The operands of a tile over one block of k. Its accumulators: total[Rows][Cols][16], read unless
// the block is the first; written, except that the last block writes the outputs to y instead.
template <class Stored>
struct TileArgs {
  const float* x;
  int64_t ldx;
  const Stored* w;
  int64_t ldw;
  int64_t k;
  bool first, last;
  float* total;
  float* y;
  int64_t ldy;
};

// One step of k for all accumulators of a tile.
template <class Vector, int Rows, int Cols, class GetX, class GetW>
ISA_INLINE void gemm_step(Vector (&total)[Rows][Cols], GetX get_x, GetW get_w) {
  Vector weight[Cols];
  ISA_UNROLL
  for (int j = 0; j < Cols; ++j) weight[j] = get_w(j);
  ISA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    const Vector value = get_x(i);
    ISA_UNROLL
    for (int j = 0; j < Cols; ++j) total[i][j] = fma(value, weight[j], total[i][j]);
  }
}

// Adds the block's products to the lanes of the accumulators that start at `shift`.
template <class V, class Weight, int Rows, int Cols>
ISA_INLINE void gemm_lanes(const TileArgs<typename Weight::Stored>& a, int shift,
                           typename V::Vector (&total)[Rows][Cols]) {
  const float* x = a.x + shift;
  const auto* w = a.w + shift;
  int64_t l = 0;
  for (; l + 16 <= a.k; l += 16) {
    gemm_step(
        total, [&](int i) { return V::get(x + i * a.ldx + l); },
        [&](int j) { return Weight::template get<V>(w + j * a.ldw + l); });
  }
  if (const int64_t rest = a.k - l - shift; rest > 0) {
    const int64_t n = std::min<int64_t>(rest, V::kLanes);
    gemm_step(
        total, [&](int i) { return V::get_n(x + i * a.ldx + l, n); },
        [&](int j) { return Weight::template get_n<V>(w + j * a.ldw + l, n); });
  }
}

// The outputs from complete accumulators, four sums at a time where the tile is four wide or high.
template <int Rows, int Cols, class Get>
ISA_INLINE void put_sums(Get get, float* y, int64_t ldy) {
  if constexpr (Cols % 4 == 0) {
    ISA_UNROLL
    for (int i = 0; i < Rows; ++i) {
      ISA_UNROLL
      for (int j = 0; j < Cols; j += 4) {
        sum4(get(i, j), get(i, j + 1), get(i, j + 2), get(i, j + 3), y + i * ldy + j);
      }
    }
  } else if constexpr (Rows == 4) {
    ISA_UNROLL
    for (int j = 0; j < Cols; ++j) {
      float column[4];
      sum4(get(0, j), get(1, j), get(2, j), get(3, j), column);
      for (int i = 0; i < 4; ++i) y[i * ldy + j] = column[i];
    }
  } else {
    ISA_UNROLL
    for (int i = 0; i < Rows; ++i) {
      ISA_UNROLL
      for (int j = 0; j < Cols; ++j) y[i * ldy + j] = sum(get(i, j));
    }
  }
}

template <class V, class Weight, int Rows, int Cols>
void gemm_tile(const TileArgs<typename Weight::Stored>& a) noexcept {
  float* const memory = a.total;
  for (int shift = 0; shift < 16; shift += V::kLanes) {
    typename V::Vector total[Rows][Cols];
    ISA_UNROLL
    for (int i = 0; i < Rows; ++i) {
      ISA_UNROLL
      for (int j = 0; j < Cols; ++j) {
        total[i][j] = a.first ? V::zero() : V::get(memory + (i * Cols + j) * 16 + shift);
      }
    }
    gemm_lanes<V, Weight>(a, shift, total);
    if constexpr (V::kLanes == 16) {
      if (a.last) {
        return put_sums<Rows, Cols>([&](int i, int j) { return total[i][j]; }, a.y, a.ldy);
      }
    }
    ISA_UNROLL
    for (int i = 0; i < Rows; ++i) {
      ISA_UNROLL
      for (int j = 0; j < Cols; ++j) V::put(memory + (i * Cols + j) * 16 + shift, total[i][j]);
    }
  }
  if (a.last) {
    const auto from_memory = [&](int i, int j) { return load(memory + (i * Cols + j) * 16); };
    put_sums<Rows, Cols>(from_memory, a.y, a.ldy);
  }
}

// A tile over all of k: in blocks if it passes over its operands more than once.
template <class V, class Weight, int Rows, int Cols>
ISA_INLINE void gemm_deep_tile(TileArgs<typename Weight::Stored> a) {
  if constexpr (V::kLanes < 16) {
    for (; a.k > kDepth; a.k -= kDepth) {
      TileArgs<typename Weight::Stored> block = a;
      block.k = kDepth;
      block.last = false;
      gemm_tile<V, Weight, Rows, Cols>(block);
      a.first = false;
      a.x += kDepth;
      a.w += kDepth;
    }
  }
  gemm_tile<V, Weight, Rows, Cols>(a);
}

// A tile of `rows` <= Rows rows.
template <class Weight, int Rows, int Cols>
void gemm_edge(const TileArgs<typename Weight::Stored>& a, int64_t rows) noexcept {
  if constexpr (Rows > 0) {
    if (rows == Rows) {
      gemm_tile<Part, Weight, Rows, Cols>(a);
    } else {
      gemm_edge<Weight, Rows - 1, Cols>(a, rows);
    }
  }
}

template <class Weight, int Cols>
void gemm_rows(TileArgs<typename Weight::Stored> a, int64_t rows) noexcept {
  for (; rows >= kTileRows; rows -= kTileRows) {
    gemm_tile<Part, Weight, kTileRows, Cols>(a);
    a.x += kTileRows * a.ldx;
    a.total += kTileRows * Cols * 16;
    a.y += kTileRows * a.ldy;
  }
  gemm_edge<Weight, kTileRows - 1, Cols>(a, rows);
}

// Rows [row, row + rows) against weights [col, col + Cols) through copies; rows <= kBlockRows.
template <class Weight, int Cols>
void gemm_copied(const GemmArgs<typename Weight::Stored>& a, int64_t row, int64_t rows,
                 int64_t col) noexcept {
  // An odd number of cache lines, so that the copied rows start in different sets.
  constexpr int64_t kStride = kDepth + 16;
  alignas(64) float total[kBlockRows * Cols * 16];
  alignas(64) float copy[Cols * kStride];
  int64_t k = 0;
  do {
    const int64_t depth = std::min(kDepth, a.k - k);
    for (int j = 0; j < Cols; ++j) {
      const auto* w = a.w + (col + j) * a.ldw + k;
      for_each_piece(depth, [&](int64_t l, int64_t count) {
        store_piece(copy + j * kStride + l, count,
                    count == 16 ? Weight::template get<Whole>(w + l)
                                : Weight::template get_n<Whole>(w + l, count));
      });
    }
    gemm_rows<F32Weight, Cols>({a.x + row * a.ldx + k, a.ldx, copy, kStride, depth, k == 0,
                                k + depth == a.k, total, a.y + row * a.ldy + col, a.ldy},
                               rows);
    k += depth;
  } while (k < a.k);
}

// The same straight from the weights, over all of k.
template <class Weight, int Cols>
void gemm_direct(const GemmArgs<typename Weight::Stored>& a, int64_t row, int64_t rows,
                 int64_t col) noexcept {
  alignas(64) float total[kBlockRows * Cols * 16];
  gemm_rows<Weight, Cols>({a.x + row * a.ldx, a.ldx, a.w + col * a.ldw, a.ldw, a.k, true, true,
                           total, a.y + row * a.ldy + col, a.ldy},
                          rows);
}

// All rows in one tile: m <= Rows.
template <class Weight, int Rows>
void gemm_few(const GemmArgs<typename Weight::Stored>& a) noexcept {
  if (a.m < Rows) {
    if constexpr (Rows > 1) gemm_few<Weight, Rows - 1>(a);
    return;
  }
  constexpr int kCols = tile_cols(Rows);
  using V = std::conditional_t<whole_tile(Rows), Whole, Part>;
  alignas(64) float total[Rows * kCols * 16];
  TileArgs<typename Weight::Stored> tile = {a.x,  a.ldx, a.w,   a.ldw, a.k,
                                            true, true,  total, a.y,   a.ldy};
  int64_t col = 0;
  for (; col + kCols <= a.n; col += kCols) {
    gemm_deep_tile<V, Weight, Rows, kCols>(tile);
    tile.w += kCols * a.ldw;
    tile.y += kCols;
  }
  for (; col < a.n; ++col) {
    gemm_deep_tile<V, Weight, Rows, 1>(tile);
    tile.w += a.ldw;
    tile.y += 1;
  }
}

// Whether copying weights pays: it saves conversions, or for floats (on rows long enough to fill
// the first-level cache) conflicts.
template <class Weight>
ISA_INLINE bool worth_copying(int64_t rows, int64_t k) {
  constexpr bool kFloats = std::is_same_v<Weight, F32Weight>;
  return rows >= kCopyRows || (kFloats && rows >= kBlockRows / 2 && k >= 1024);
}

template <class Weight>
void gemm(const GemmArgs<typename Weight::Stored>& a) noexcept {
  if (a.m <= kTileRows) return gemm_few<Weight, kTileRows>(a);
  for (int64_t row = 0; row < a.m; row += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, a.m - row);
    const bool copy = worth_copying<Weight>(rows, a.k);
    int64_t col = 0;
    for (; col + kTileCols <= a.n; col += kTileCols) {
      (copy ? gemm_copied<Weight, kTileCols> : gemm_direct<Weight, kTileCols>)(a, row, rows, col);
    }
    for (; col < a.n; ++col) gemm_direct<Weight, 1>(a, row, rows, col);
  }
}
