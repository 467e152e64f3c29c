// softmax(q K^T scale) V for one query row: 4 * length * dim operations, and K and V are read once.
// A score is the 16-lane dot product times scale; the output adds p_t v_t in increasing t from 0,
// one fma each.

void attend(const AttendArgs& a) noexcept {
  gemm<F32Weight>({a.q, a.dim, 1, a.k, a.ldk, a.length, a.dim, a.scores, a.length});
  const F16x scale = splat(a.scale);
  for_each_piece(a.length, [&](int64_t i, int64_t count) {
    store_piece(a.scores + i, count, mul(load_piece(a.scores + i, count), scale));
  });
  softmax(a.scores, a.length);
  for_each_piece(a.dim,
                 [&](int64_t i, int64_t count) { store_piece(a.o + i, count, splat(0.0F)); });
  panel_product({a.scores, a.length, 1, a.v, a.ldv, a.o, a.dim, 1, a.length, a.dim});
}
