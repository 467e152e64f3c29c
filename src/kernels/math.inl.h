// exp and what is made from it. The polynomials are ours (minimax fits of the stated form by the
// exchange algorithm, coefficients rounded to float); the error bounds are measured against long
// double over every float of the range (elementwise_test.cc).

// e^x. Cody-Waite: n = round(x / ln 2), r = x - n ln 2 with ln 2 in two parts. The first product
// subtracts exactly, because r is a multiple of 2^-25 below 1/2. e^r = 1 + r + r^2 q(r), |r| <=
// ln(2) / 2, relative error of the form 2^-28. Scaling by 2^n in two steps rounds once, so
// subnormal results are right too. Exact at 0; infinity above 88.73, 0 below -104; NaN stays NaN.
// Error below 1.1 ulp.
ISA_INLINE F16x exp(F16x x) {
  const F16x round_magic =
      splat(0x1.8p23F);  // adding it rounds to an integer, kept in the low bits
  x = max(splat(-105.0F), min(splat(90.0F), x));
  const F16x shifted = fma(x, splat(0x1.715476p+0F), round_magic);
  const F16x n = sub(shifted, round_magic);
  F16x r = fnma(n, splat(0x1.62e43p-1F), x);
  r = fnma(n, splat(-0x1.05c61p-29F), r);
  F16x q = splat(0x1.6a2434p-10F);
  q = fma(q, r, splat(0x1.1239e2p-7F));
  q = fma(q, r, splat(0x1.5558f2p-5F));
  q = fma(q, r, splat(0x1.555492p-3F));
  q = fma(q, r, splat(0x1.fffffcp-2F));
  q = fma(mul(r, r), q, r);
  q = add(q, splat(1.0F));
  // n = 2 * half + rest, rest 0 or 1; both powers of two are normal numbers.
  const I16x number = add(bits(shifted), splat_i(512 - 0x4b400000));
  const I16x half = sub(shift_right(number, 1), splat_i(256));
  const I16x other = sub(sub(number, splat_i(512)), half);
  const F16x scale_half = from_bits(shift_left(add(half, splat_i(127)), 23));
  const F16x scale_other = from_bits(shift_left(add(other, splat_i(127)), 23));
  return mul(mul(q, scale_half), scale_other);
}

ISA_INLINE F16x negative_magnitude(F16x x) {
  return from_bits(bit_or(bits(x), splat_i(INT32_MIN)));
}

// 1 / (1 + e^-x), from e^-|x| on both sides, so that small results keep their relative precision.
// Error below 3 ulp.
ISA_INLINE F16x sigmoid(F16x x) {
  const F16x one = splat(1.0F);
  const F16x e = exp(negative_magnitude(x));
  return div(select(less(x, splat(0.0F)), e, one), add(one, e));
}

ISA_INLINE F16x silu(F16x x) { return mul(x, sigmoid(x)); }

// ln(1 + e^x) = max(x, 0) + ln(1 + e), e = e^-|x| in [0, 1], with ln(1 + e) = 2 atanh(s),
// s = e / (2 + e) <= 1/3, atanh(s) = s + s t r(t), t = s^2; relative error of the form 2^-33. Above
// 20, ln(1 + e) is below half an ulp of x and the result is x. Error below 4 ulp.
ISA_INLINE F16x softplus(F16x x) {
  const F16x e = exp(negative_magnitude(x));
  const F16x s = div(e, add(splat(2.0F), e));
  const F16x t = mul(s, s);
  F16x r = splat(0x1.f1aee2p-4F);
  r = fma(r, t, splat(0x1.b6d6a4p-4F));
  r = fma(r, t, splat(0x1.250972p-3F));
  r = fma(r, t, splat(0x1.9996a8p-3F));
  r = fma(r, t, splat(0x1.555558p-2F));
  const F16x atanh = fma(mul(s, t), r, s);
  return add(max(splat(0.0F), x), add(atanh, atanh));
}

// The same for one value.
ISA_INLINE float exp1(float x) { return first_lane(exp(splat(x))); }
