// The gated delta rule of one value head (Yang, Kautz, Hatamizadeh: Gated Delta Networks, 2024).
//
// Recurrent form. The columns of S evolve independently given k, q, g and beta, so a panel of
// columns stays in the first-level cache over all tokens. With T_t = exp(g_t) S_{t-1} the step is
//   d = beta (v - T^T k);  S = T + k d^T;  o = S^T q
// and one pass over the panel makes S_t, o_t, T_{t+1} and T_{t+1}^T k_{t+1} together: 4 dk dv
// vector operations (8 dk dv flops with the sums), one read and one write of S per token. Both sums
// run over the rows of S in increasing order from 0, one fma each.

// A panel's k, q and decay at one token; the last token of a call is followed by decay 1 and k 0.
template <int Vectors>
struct DeltaPanel {
  const DeltaArgs& a;
  int64_t col, count;

  // T = exp(g_0) S in place; `read` = T^T k_0.
  ISA_INLINE void begin(F16x (&read)[Vectors]) const {
    const F16x decay = splat(exp1(a.g[0]));
    ISA_UNROLL
    for (int v = 0; v < Vectors; ++v) read[v] = splat(0.0F);
    for (int64_t i = 0; i < a.dk; ++i) {
      const F16x key = splat(a.k[i]);
      ISA_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        float* state = a.state + i * a.dv + col + 16 * v;
        const F16x decayed = mul(load_piece(state, count), decay);
        read[v] = fma(decayed, key, read[v]);
        store_piece(state, count, decayed);
      }
    }
  }

  // beta (v - read) of token t.
  ISA_INLINE void deltas(int64_t t, const F16x (&read)[Vectors], F16x (&delta)[Vectors]) const {
    const F16x beta = splat(a.beta[t * a.ld_gate]);
    ISA_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      const F16x value = load_piece(a.v + t * a.ldv + col + 16 * v, count);
      delta[v] = mul(beta, sub(value, read[v]));
    }
  }

  // Token t; if it is not the last one also decays for the next and reads with its key.
  template <bool Last>
  ISA_INLINE void step(int64_t t, F16x (&read)[Vectors]) const {
    const float* key = a.k + t * a.ldk;
    const float* query = a.q + t * a.ldq;
    const F16x decay = Last ? splat(1.0F) : splat(exp1(a.g[(t + 1) * a.ld_gate]));
    F16x delta[Vectors];
    F16x out[Vectors];
    deltas(t, read, delta);
    ISA_UNROLL
    for (int v = 0; v < Vectors; ++v) out[v] = read[v] = splat(0.0F);
    for (int64_t i = 0; i < a.dk; ++i) {
      ISA_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        float* state = a.state + i * a.dv + col + 16 * v;
        F16x s = fma(splat(key[i]), delta[v], load_piece(state, count));
        out[v] = fma(s, splat(query[i]), out[v]);
        if constexpr (!Last) {
          s = mul(s, decay);
          read[v] = fma(s, splat(key[a.ldk + i]), read[v]);
        }
        store_piece(state, count, s);
      }
    }
    ISA_UNROLL
    for (int v = 0; v < Vectors; ++v) store_piece(a.o + t * a.ldo + col + 16 * v, count, out[v]);
  }

  void run() const noexcept {
    F16x read[Vectors];
    begin(read);
    for (int64_t t = 0; t + 1 < a.tokens; ++t) step<false>(t, read);
    step<true>(a.tokens - 1, read);
  }
};

void delta_recurrent(const DeltaArgs& a) noexcept {
  if (a.tokens <= 0) return;
  int64_t col = 0;
  for (; col + 16 * kDeltaPanel <= a.dv; col += 16 * kDeltaPanel) {
    DeltaPanel<kDeltaPanel>{a, col, 16}.run();
  }
  for (; col + 16 <= a.dv; col += 16) DeltaPanel<1>{a, col, 16}.run();
  if (col < a.dv) DeltaPanel<1>{a, col, a.dv - col}.run();
}

// Chunked form: C = 64 tokens at once, S read and written once per chunk. With G the inclusive
// cumulative sum of g, D_ij = exp(G_i - G_j) for i >= j and S the state before the chunk:
//   (I + A) W = R,  A_ij = beta_i (k_i . k_j) D_ij for i > j,
//                   R_i  = beta_i (v_i - exp(G_i) S^T k_i)
//   o_i = exp(G_i) S^T q_i + sum over j <= i of (q_i . k_j) D_ij W_j
//   S  <- exp(G_C) S + sum over j of k_j (exp(G_C - G_j) W_j)^T
// The paper's U - W S, with S inside the right-hand side so that one triangular solve is left. A
// partial chunk is a smaller one. 6 C dk dv + 4 C^2 (dk + dv) flops per chunk.
struct DeltaChunk {
  const DeltaArgs& a;   // advanced to the chunk's first token; tokens = the chunk's
  float* system;        // [C, C]: -A
  float* mix;           // [C, C]: (q k) D
  float* writes;        // [C, dv]: R, then W
  float* log_decay;     // [C]: G
  float* decay;         // [C]: exp(G)
  float* decay_to_end;  // [C]: exp(G_C - G)

  explicit DeltaChunk(const DeltaArgs& args)
      : a(args),
        system(args.scratch),
        mix(system + kDeltaChunk * kDeltaChunk),
        writes(mix + kDeltaChunk * kDeltaChunk),
        log_decay(writes + kDeltaChunk * args.dv),
        decay(log_decay + kDeltaChunk),
        decay_to_end(decay + kDeltaChunk) {}

  void decays() const noexcept {
    float total = 0;
    for (int64_t i = 0; i < a.tokens; ++i) log_decay[i] = total += a.g[i * a.ld_gate];
    for_each_piece(a.tokens, [&](int64_t i, int64_t count) {
      const F16x g = load_piece(log_decay + i, count);
      store_piece(decay + i, count, exp(g));
      store_piece(decay_to_end + i, count, exp(sub(splat(total), g)));
    });
  }

  // matrix[i][j] <- factor_i * matrix[i][j] * D_ij for j < i + diagonal, else 0.
  void weigh_row(float* matrix, int64_t i, float factor, int64_t diagonal) const noexcept {
    const F16x last = splat(log_decay[i]);
    const F16x scale = splat(factor);
    for_each_piece(a.tokens, [&](int64_t j, int64_t count) {
      const F16x d = exp(sub(last, load_piece(log_decay + j, count)));
      const F16x weighed = mul(mul(scale, load_piece(matrix + i * kDeltaChunk + j, count)), d);
      const int64_t kept = std::clamp<int64_t>(i + diagonal - j, 0, 16);
      store_piece(matrix + i * kDeltaChunk + j, count, select(first(kept), weighed, splat(0.0F)));
    });
  }

  void matrices() const noexcept {
    const int64_t n = a.tokens;
    gemm<F32Product>({a.k, a.ldk, n, a.k, a.ldk, n, a.dk, system, kDeltaChunk});
    gemm<F32Product>({a.q, a.ldq, n, a.k, a.ldk, n, a.dk, mix, kDeltaChunk});
    for (int64_t i = 0; i < n; ++i) {
      weigh_row(system, i, -a.beta[i * a.ld_gate], 0);
      weigh_row(mix, i, 1.0F, 1);
    }
  }

  ISA_INLINE void clear(float* row) const {
    for_each_piece(a.dv,
                   [&](int64_t c, int64_t count) { store_piece(row + c, count, splat(0.0F)); });
  }

  ISA_INLINE void scale(float* row, float factor) const {
    for_each_piece(a.dv, [&](int64_t c, int64_t count) {
      store_piece(row + c, count, mul(splat(factor), load_piece(row + c, count)));
    });
  }

  void solve() const noexcept {
    for (int64_t i = 0; i < a.tokens; ++i) clear(writes + i * a.dv);
    panel_product({a.k, a.ldk, 1, a.state, a.dv, writes, a.dv, a.tokens, a.dk, a.dv});
    for (int64_t i = 0; i < a.tokens; ++i) {
      float* row = writes + i * a.dv;
      for_each_piece(a.dv, [&](int64_t c, int64_t count) {
        const F16x error = fnma(splat(decay[i]), load_piece(row + c, count),
                                load_piece(a.v + i * a.ldv + c, count));
        store_piece(row + c, count, mul(splat(a.beta[i * a.ld_gate]), error));
      });
      panel_product({system + i * kDeltaChunk, 0, 1, writes, a.dv, row, a.dv, 1, i, a.dv});
    }
  }

  void read() const noexcept {
    for (int64_t i = 0; i < a.tokens; ++i) clear(a.o + i * a.ldo);
    panel_product({a.q, a.ldq, 1, a.state, a.dv, a.o, a.ldo, a.tokens, a.dk, a.dv});
    for (int64_t i = 0; i < a.tokens; ++i) scale(a.o + i * a.ldo, decay[i]);
    // Rows in groups, each against the columns that are not zero for all of the group.
    constexpr int64_t kGroup = 16;
    for (int64_t i = 0; i < a.tokens; i += kGroup) {
      const int64_t rows = std::min(kGroup, a.tokens - i);
      panel_product({mix + i * kDeltaChunk, kDeltaChunk, 1, writes, a.dv, a.o + i * a.ldo, a.ldo,
                     rows, i + rows, a.dv});
    }
  }

  void write() const noexcept {
    for (int64_t i = 0; i < a.tokens; ++i) scale(writes + i * a.dv, decay_to_end[i]);
    for (int64_t i = 0; i < a.dk; ++i) scale(a.state + i * a.dv, decay[a.tokens - 1]);
    panel_product({a.k, 1, a.ldk, writes, a.dv, a.state, a.dv, a.dk, a.tokens, a.dv});
  }
};

void delta_chunked(const DeltaArgs& all) noexcept {
  DeltaArgs a = all;
  for (int64_t t = 0; t < all.tokens; t += kDeltaChunk) {
    a.tokens = std::min(kDeltaChunk, all.tokens - t);
    const DeltaChunk chunk(a);
    chunk.decays();
    chunk.matrices();
    chunk.solve();
    chunk.read();
    chunk.write();
    a.q += a.tokens * a.ldq;
    a.k += a.tokens * a.ldk;
    a.v += a.tokens * a.ldv;
    a.g += a.tokens * a.ld_gate;
    a.beta += a.tokens * a.ld_gate;
    a.o += a.tokens * a.ldo;
  }
}
