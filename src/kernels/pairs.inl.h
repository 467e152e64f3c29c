// bf16 rows times bf16 weights where there is no instruction for it: an operand is split into its
// odd and its even elements as floats, and both are multiplied and added in that order. The
// products are exact, so a fused multiply-add rounds as VDPBF16PS does.

template <class V>
struct SplitPairs {
  typename V::Vector odd, even;
};

ISA_INLINE F16x odd_of(F16x words) {
  return from_bits(bit_and(bits(words), splat_i(static_cast<int32_t>(0xffff0000U))));
}
ISA_INLINE F16x even_of(F16x words) { return from_bits(shift_left(bits(words), 16)); }

// The first n of 32 elements, then zeros.
struct PaddedPairs {
  alignas(64) uint16_t element[32] = {};
  ISA_INLINE PaddedPairs(const uint16_t* p, int64_t n) { std::copy_n(p, n, element); }
};

struct SplitProduct : PairLayout {
  using Copied = SplitProduct;
  template <class V>
  ISA_INLINE static SplitPairs<V> get_x(const uint16_t* p) {
    const auto words = V::get_raw(p);
    return {odd_of(words), even_of(words)};
  }
  template <class V>
  ISA_INLINE static SplitPairs<V> get_x_n(const uint16_t* p, int64_t n) {
    return get_x<V>(PaddedPairs(p, n).element);
  }
  template <class V>
  ISA_INLINE static SplitPairs<V> get_w(const uint16_t* p) {
    return get_x<V>(p);
  }
  template <class V>
  ISA_INLINE static SplitPairs<V> get_w_n(const uint16_t* p, int64_t n) {
    return get_x_n<V>(p, n);
  }
  template <class Pairs, class Vector>
  ISA_INLINE static Vector multiply_add(const Pairs& x, const Pairs& w, Vector total) {
    return fma(x.even, w.even, fma(x.odd, w.odd, total));
  }
};
