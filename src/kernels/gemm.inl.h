// y = x w^T: 2 m n k operations. Rows of x and w are both contiguous along k, so a register tile of
// kTileRows x kTileCols outputs reads kTileRows + kTileCols vectors per kTileRows * kTileCols fused
// multiply-adds. Every output has its own 16-lane accumulator over all of k: its bits depend
// neither on the tile it fell into nor on m and n. Bound: fused multiply-adds from a few rows on,
// memory at one row.

struct F32Weight {
  using Stored = float;
  ISA_INLINE static F16x get(const float* p) { return load(p); }
  ISA_INLINE static F16x get_n(const float* p, int64_t n) { return load_n(p, n); }
};

struct Bf16Weight {
  using Stored = uint16_t;
  ISA_INLINE static F16x get(const uint16_t* p) { return load_bf16(p); }
  ISA_INLINE static F16x get_n(const uint16_t* p, int64_t n) { return load_bf16_n(p, n); }
};

struct F16Weight {
  using Stored = uint16_t;
  ISA_INLINE static F16x get(const uint16_t* p) { return load_f16(p); }
  ISA_INLINE static F16x get_n(const uint16_t* p, int64_t n) { return load_f16_n(p, n); }
};

// Adds one 16-element step to all accumulators of the tile.
template <int Rows, int Cols, class GetX, class GetW>
ISA_INLINE void gemm_step(F16x (&total)[Rows][Cols], GetX get_x, GetW get_w) {
  F16x w[Cols];
  ISA_UNROLL
  for (int j = 0; j < Cols; ++j) w[j] = get_w(j);
  ISA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    const F16x x = get_x(i);
    ISA_UNROLL
    for (int j = 0; j < Cols; ++j) total[i][j] = fma(x, w[j], total[i][j]);
  }
}

template <class Weight, int Rows, int Cols>
void gemm_tile(const GemmArgs<typename Weight::Stored>& a, int64_t row, int64_t col) noexcept {
  const float* x = a.x + row * a.ldx;
  const auto* w = a.w + col * a.ldw;
  F16x total[Rows][Cols];
  ISA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    ISA_UNROLL
    for (int j = 0; j < Cols; ++j) total[i][j] = splat(0.0F);
  }
  int64_t k = 0;
  for (; k + 16 <= a.k; k += 16) {
    gemm_step<Rows, Cols>(
        total, [&](int i) { return load(x + i * a.ldx + k); },
        [&](int j) { return Weight::get(w + j * a.ldw + k); });
  }
  if (k < a.k) {
    const int64_t rest = a.k - k;
    gemm_step<Rows, Cols>(
        total, [&](int i) { return load_n(x + i * a.ldx + k, rest); },
        [&](int j) { return Weight::get_n(w + j * a.ldw + k, rest); });
  }
  ISA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    ISA_UNROLL
    for (int j = 0; j < Cols; ++j) a.y[(row + i) * a.ldy + col + j] = sum(total[i][j]);
  }
}

// The last `rows` < kTileRows rows as one narrower tile.
template <class Weight, int Rows, int Cols>
void gemm_edge(const GemmArgs<typename Weight::Stored>& a, int64_t row, int64_t rows,
               int64_t col) noexcept {
  if constexpr (Rows > 0) {
    if (rows == Rows) {
      gemm_tile<Weight, Rows, Cols>(a, row, col);
    } else {
      gemm_edge<Weight, Rows - 1, Cols>(a, row, rows, col);
    }
  }
}

// Rows [begin, end) against weights [col, col + Cols).
template <class Weight, int Cols>
void gemm_columns(const GemmArgs<typename Weight::Stored>& a, int64_t begin, int64_t end,
                  int64_t col) noexcept {
  int64_t row = begin;
  for (; row + kTileRows <= end; row += kTileRows) gemm_tile<Weight, kTileRows, Cols>(a, row, col);
  gemm_edge<Weight, kTileRows - 1, Cols>(a, row, end - row, col);
}

template <class Weight>
void gemm(const GemmArgs<typename Weight::Stored>& a) noexcept {
  // Rows of x that stay in the second-level cache while all of w passes by.
  constexpr int64_t kCachedFloats = 96 * 1024;
  const int64_t block =
      std::max<int64_t>(1, kCachedFloats / std::max<int64_t>(1, a.k) / kTileRows) * kTileRows;
  for (int64_t begin = 0; begin < a.m; begin += block) {
    const int64_t end = std::min(a.m, begin + block);
    int64_t col = 0;
    for (; col + kTileCols <= a.n; col += kTileCols) {
      gemm_columns<Weight, kTileCols>(a, begin, end, col);
    }
    for (; col < a.n; ++col) gemm_columns<Weight, 1>(a, begin, end, col);
  }
}
