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
  ISA_INLINE static F16x get_raw(const void* p) { return load_raw(p); }
  ISA_INLINE static F16x get_n(const float* p, int64_t n) { return load_n(p, n); }
  ISA_INLINE static F16x get_bf16(const void* p) { return load_bf16(p); }
  ISA_INLINE static F16x get_bf16_n(const void* p, int64_t n) { return load_bf16_n(p, n); }
  ISA_INLINE static F16x get_f16(const void* p) { return load_f16(p); }
  ISA_INLINE static F16x get_f16_n(const void* p, int64_t n) { return load_f16_n(p, n); }
  ISA_INLINE static void put(float* p, F16x a) { store(p, a); }
};

// How rows of x and of w are stored and multiplied: kStep elements of each make one step of the 16
// lanes. Copied is the product once w has been copied by copy().
struct F32Product {
  using X = float;
  using W = float;
  using Copied = F32Product;
  static constexpr int kStep = 16;
  template <class V>
  ISA_INLINE static auto get_x(const float* p) {
    return V::get(p);
  }
  template <class V>
  ISA_INLINE static auto get_x_n(const float* p, int64_t n) {
    return V::get_n(p, n);
  }
  template <class V>
  ISA_INLINE static auto get_w(const float* p) {
    return V::get(p);
  }
  template <class V>
  ISA_INLINE static auto get_w_n(const float* p, int64_t n) {
    return V::get_n(p, n);
  }
  template <class Vector>
  ISA_INLINE static Vector multiply_add(Vector x, Vector w, Vector total) {
    return fma(x, w, total);
  }
  ISA_INLINE static void copy(const float* w, int64_t n, float* to) { std::copy_n(w, n, to); }
};

// Weights of 16 bits, widened exactly.
template <class Product>
ISA_INLINE void widen(const uint16_t* w, int64_t n, float* to) {
  for_each_piece(n, [&](int64_t l, int64_t count) {
    store_piece(to + l, count,
                count == 16 ? Product::template get_w<Whole>(w + l)
                            : Product::template get_w_n<Whole>(w + l, count));
  });
}

struct Bf16Product : F32Product {
  using W = uint16_t;
  template <class V>
  ISA_INLINE static auto get_w(const uint16_t* p) {
    return V::get_bf16(p);
  }
  template <class V>
  ISA_INLINE static auto get_w_n(const uint16_t* p, int64_t n) {
    return V::get_bf16_n(p, n);
  }
  ISA_INLINE static void copy(const uint16_t* w, int64_t n, float* to) {
    widen<Bf16Product>(w, n, to);
  }
};

struct F16Product : F32Product {
  using W = uint16_t;
  template <class V>
  ISA_INLINE static auto get_w(const uint16_t* p) {
    return V::get_f16(p);
  }
  template <class V>
  ISA_INLINE static auto get_w_n(const uint16_t* p, int64_t n) {
    return V::get_f16_n(p, n);
  }
  ISA_INLINE static void copy(const uint16_t* w, int64_t n, float* to) {
    widen<F16Product>(w, n, to);
  }
};

// bf16 rows and weights, two elements to a lane; whatever multiplies them has get_x() and so on.
struct PairLayout {
  using X = uint16_t;
  using W = uint16_t;
  static constexpr int kStep = 32;
  ISA_INLINE static void copy(const uint16_t* w, int64_t n, uint16_t* to) { std::copy_n(w, n, to); }
};

// The operands of a tile over one block of k. Its accumulators: total[Rows][Cols][16], read unless
// the block is the first; written, except that the last block writes the outputs to y instead.
template <class Product>
struct TileArgs {
  const typename Product::X* x;
  int64_t ldx;
  const typename Product::W* w;
  int64_t ldw;
  int64_t k;
  bool first, last;
  float* total;
  float* y;
  int64_t ldy;
};

// One step of k for all accumulators of a tile.
template <class Product, class Vector, int Rows, int Cols, class GetX, class GetW>
ISA_INLINE void gemm_step(Vector (&total)[Rows][Cols], GetX get_x, GetW get_w) {
  decltype(get_w(0)) weight[Cols];
  ISA_UNROLL
  for (int j = 0; j < Cols; ++j) weight[j] = get_w(j);
  ISA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    const auto value = get_x(i);
    ISA_UNROLL
    for (int j = 0; j < Cols; ++j)
      total[i][j] = Product::multiply_add(value, weight[j], total[i][j]);
  }
}

// Adds the block's products to the lanes of the accumulators that start at `lane`.
template <class V, class Product, int Rows, int Cols>
ISA_INLINE void gemm_lanes(const TileArgs<Product>& a, int lane,
                           typename V::Vector (&total)[Rows][Cols]) {
  constexpr int kPerLane = Product::kStep / 16;
  const auto* x = a.x + lane * kPerLane;
  const auto* w = a.w + lane * kPerLane;
  int64_t l = 0;
  for (; l + Product::kStep <= a.k; l += Product::kStep) {
    gemm_step<Product>(
        total, [&](int i) { return Product::template get_x<V>(x + i * a.ldx + l); },
        [&](int j) { return Product::template get_w<V>(w + j * a.ldw + l); });
  }
  if (const int64_t rest = a.k - l - lane * kPerLane; rest > 0) {
    const int64_t n = std::min<int64_t>(rest, V::kLanes * kPerLane);
    gemm_step<Product>(
        total, [&](int i) { return Product::template get_x_n<V>(x + i * a.ldx + l, n); },
        [&](int j) { return Product::template get_w_n<V>(w + j * a.ldw + l, n); });
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

template <class V, class Product, int Rows, int Cols>
void gemm_tile(const TileArgs<Product>& a) noexcept {
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
    gemm_lanes<V, Product>(a, shift, total);
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

template <class Product>
using Gemm = GemmArgs<typename Product::W, typename Product::X>;

// A tile over all of k: in blocks if it passes over its operands more than once.
template <class V, class Product, int Rows, int Cols>
ISA_INLINE void gemm_deep_tile(TileArgs<Product> a) {
  if constexpr (V::kLanes < 16) {
    for (; a.k > kDepth; a.k -= kDepth) {
      TileArgs<Product> block = a;
      block.k = kDepth;
      block.last = false;
      gemm_tile<V, Product, Rows, Cols>(block);
      a.first = false;
      a.x += kDepth;
      a.w += kDepth;
    }
  }
  gemm_tile<V, Product, Rows, Cols>(a);
}

// A tile of `rows` <= Rows rows.
template <class Product, int Rows, int Cols>
void gemm_edge(const TileArgs<Product>& a, int64_t rows) noexcept {
  if constexpr (Rows > 0) {
    if (rows == Rows) {
      gemm_tile<Part, Product, Rows, Cols>(a);
    } else {
      gemm_edge<Product, Rows - 1, Cols>(a, rows);
    }
  }
}

template <class Product, int Cols>
void gemm_rows(TileArgs<Product> a, int64_t rows) noexcept {
  for (; rows >= kTileRows; rows -= kTileRows) {
    gemm_tile<Part, Product, kTileRows, Cols>(a);
    a.x += kTileRows * a.ldx;
    a.total += kTileRows * Cols * 16;
    a.y += kTileRows * a.ldy;
  }
  gemm_edge<Product, kTileRows - 1, Cols>(a, rows);
}

// Rows [row, row + rows) against weights [col, col + Cols) through copies; rows <= kBlockRows.
template <class Product, int Cols>
void gemm_copied(const Gemm<Product>& a, int64_t row, int64_t rows, int64_t col) noexcept {
  using Copied = typename Product::Copied;
  // An odd number of cache lines, so that the copied rows start in different sets.
  constexpr int64_t kStride = kDepth + Copied::kStep;
  alignas(64) float total[kBlockRows * Cols * 16];
  alignas(64) typename Copied::W copy[Cols * kStride];
  int64_t k = 0;
  do {
    const int64_t depth = std::min(kDepth, a.k - k);
    for (int j = 0; j < Cols; ++j) {
      Product::copy(a.w + (col + j) * a.ldw + k, depth, copy + j * kStride);
    }
    gemm_rows<Copied, Cols>({a.x + row * a.ldx + k, a.ldx, copy, kStride, depth, k == 0,
                             k + depth == a.k, total, a.y + row * a.ldy + col, a.ldy},
                            rows);
    k += depth;
  } while (k < a.k);
}

// The same straight from the weights, over all of k.
template <class Product, int Cols>
void gemm_direct(const Gemm<Product>& a, int64_t row, int64_t rows, int64_t col) noexcept {
  alignas(64) float total[kBlockRows * Cols * 16];
  gemm_rows<Product, Cols>({a.x + row * a.ldx, a.ldx, a.w + col * a.ldw, a.ldw, a.k, true, true,
                            total, a.y + row * a.ldy + col, a.ldy},
                           rows);
}

// All rows in one tile: m <= Rows.
template <class Product, int Rows>
void gemm_few(const Gemm<Product>& a) noexcept {
  if (a.m < Rows) {
    if constexpr (Rows > 1) gemm_few<Product, Rows - 1>(a);
    return;
  }
  constexpr int kCols = tile_cols(Rows);
  using V = std::conditional_t<whole_tile(Rows), Whole, Part>;
  alignas(64) float total[Rows * kCols * 16];
  TileArgs<Product> tile = {a.x, a.ldx, a.w, a.ldw, a.k, true, true, total, a.y, a.ldy};
  int64_t col = 0;
  for (; col + kCols <= a.n; col += kCols) {
    gemm_deep_tile<V, Product, Rows, kCols>(tile);
    tile.w += kCols * a.ldw;
    tile.y += kCols;
  }
  for (; col < a.n; ++col) {
    gemm_deep_tile<V, Product, Rows, 1>(tile);
    tile.w += a.ldw;
    tile.y += 1;
  }
}

// Whether copying weights pays: it saves conversions, or where there are none (on rows long enough
// to fill the first-level cache) conflicts.
template <class Product>
ISA_INLINE bool worth_copying(int64_t rows, int64_t k) {
  constexpr bool kSame = std::is_same_v<Product, typename Product::Copied>;
  return rows >= kCopyRows || (kSame && rows >= kBlockRows / 2 && k >= 1024);
}

template <class Product>
void gemm(const Gemm<Product>& a) noexcept {
  if (a.m <= kTileRows) return gemm_few<Product, kTileRows>(a);
  for (int64_t row = 0; row < a.m; row += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, a.m - row);
    const bool copy = worth_copying<Product>(rows, a.k);
    int64_t col = 0;
    for (; col + kTileCols <= a.n; col += kTileCols) {
      (copy ? gemm_copied<Product, kTileCols> : gemm_direct<Product, kTileCols>)(a, row, rows, col);
    }
    for (; col < a.n; ++col) gemm_direct<Product, 1>(a, row, rows, col);
  }
}

// Denormal operands and results count as zero while it lives, as VDPBF16PS takes them (Intel SDM
// volume 1, 10.2.3.3-4).
class FlushDenormals {
 public:
  FlushDenormals() noexcept : kept_(_mm_getcsr()) { _mm_setcsr(kept_ | 0x8040U); }
  ~FlushDenormals() { _mm_setcsr(kept_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned kept_;
};

// A function of its own, so that nothing of it is moved out of the guard's life.
template <class Product>
[[gnu::noinline]] void gemm_flushed(const Gemm<Product>& a) noexcept {
  gemm<Product>(a);
}

template <class Product>
void gemm_pairs(const Gemm<Product>& a) noexcept {
  const FlushDenormals flush;
  gemm_flushed<Product>(a);
}
