// Sums of values and of their squares down the columns of a few rows, in double precision. The
// square of a float is exact there, so that fused or not the sums are the same. 4 operations an
// element; bound by the reading of the rows.

// Columns whose sums stay in registers.
constexpr int64_t kMomentColumns = 32;

ISA_INLINE void moment_columns(const MomentArgs& a, int64_t first, int64_t count) {
  double squares[kMomentColumns] = {};
  double values[kMomentColumns] = {};
  std::copy_n(a.sum2 + first, count, squares);
  std::copy_n(a.sum + first, count, values);
  for (int64_t r = 0; r < a.rows; ++r) {
    const float* row = a.x + r * a.ldx + first;
    for (int64_t c = 0; c < count; ++c) {
      const auto x = static_cast<double>(row[c]);
      squares[c] += x * x;
      values[c] += x;
    }
  }
  std::copy_n(squares, count, a.sum2 + first);
  std::copy_n(values, count, a.sum + first);
}

void moments(const MomentArgs& a) noexcept {
  int64_t first = 0;
  for (; first + kMomentColumns <= a.n; first += kMomentColumns) {
    moment_columns(a, first, kMomentColumns);
  }
  if (first < a.n) moment_columns(a, first, a.n - first);
}
