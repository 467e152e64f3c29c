// y += x s for a row-major s, the product that runs along rows of s: 2 rows k n operations. Vectors
// of outputs stay in registers over all of k.

template <int Rows, int Vectors>
ISA_INLINE void panel_tile(const PanelArgs& a, int64_t row, int64_t col, int64_t count) {
  F16x total[Rows][Vectors];
  ISA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    ISA_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      total[i][v] = load_piece(a.y + (row + i) * a.ldy + col + 16 * v, count);
    }
  }
  const float* x = a.x + row * a.row_stride;
  const float* s = a.s + col;
  for (int64_t l = 0; l < a.k; ++l) {
    F16x value[Vectors];
    ISA_UNROLL
    for (int v = 0; v < Vectors; ++v) value[v] = load_piece(s + l * a.lds + 16 * v, count);
    ISA_UNROLL
    for (int i = 0; i < Rows; ++i) {
      const F16x factor = splat(x[i * a.row_stride + l * a.step]);
      ISA_UNROLL
      for (int v = 0; v < Vectors; ++v) total[i][v] = fma(factor, value[v], total[i][v]);
    }
  }
  ISA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    ISA_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      store_piece(a.y + (row + i) * a.ldy + col + 16 * v, count, total[i][v]);
    }
  }
}

template <int Rows>
void panel_rows(const PanelArgs& a, int64_t row) noexcept {
  int64_t col = 0;
  for (; col + 16 * kPanel <= a.n; col += 16 * kPanel) panel_tile<Rows, kPanel>(a, row, col, 16);
  for (; col + 16 <= a.n; col += 16) panel_tile<Rows, 1>(a, row, col, 16);
  if (col < a.n) panel_tile<Rows, 1>(a, row, col, a.n - col);
}

void panel_product(const PanelArgs& a) noexcept {
  int64_t row = 0;
  for (; row + kPanelRows <= a.rows; row += kPanelRows) panel_rows<kPanelRows>(a, row);
  for (; row < a.rows; ++row) panel_rows<1>(a, row);
}
