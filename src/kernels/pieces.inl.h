// Loops over rows in vectors, the last one in part.

// Calls body(offset, count) for the 16-element pieces of n; count is 16 except perhaps at the end.
template <class Body>
ISA_INLINE void for_each_piece(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) body(i, 16);
  if (i < n) body(i, n - i);
}

ISA_INLINE F16x load_piece(const float* p, int64_t count) {
  return count == 16 ? load(p) : load_n(p, count);
}

ISA_INLINE void store_piece(float* p, int64_t count, F16x a) {
  if (count == 16) {
    store(p, a);
  } else {
    store_n(p, count, a);
  }
}
