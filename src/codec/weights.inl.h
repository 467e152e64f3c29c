// CodecTable::condition_weights, weigh_by_size and weigh_by_magnitude (weights.h). One or two
// passes of a few operations per 16 elements; n need not be a multiple of 16. Bound by memory.

// Zero where a weight is not a positive number.
ISA_INLINE F16x usable(F16x w) {
  const F16x zero = splat(0);
  const F16x finite = select(less(w, splat(std::numeric_limits<float>::infinity())), w, zero);
  return select(less(zero, w), finite, zero);
}

ISA_INLINE int lanes_left(int n, int i) { return n - i < 16 ? n - i : 16; }

// 2^exponent, in [-126, 127].
ISA_INLINE float power_of_two(int exponent) {
  return std::bit_cast<float>(static_cast<uint32_t>(exponent + 127) << 23);
}

// Exponent e of a normal value in [2^e, 2^(e + 1)).
ISA_INLINE int exponent_of(float value) {
  return static_cast<int>(std::bit_cast<uint32_t>(value) >> 23) - 127;
}

// In two steps, because the importances may be of any magnitude: first the largest comes into
// [1, 2), by two factors where one is no float, then the mean into [1/2, 1).
void condition_weights(const float* w, int n, float* out) noexcept {
  F16x most = splat(0);
  for (int i = 0; i < n; i += 16) most = max(usable(load_n(w + i, lanes_left(n, i))), most);
  const float top = largest(most);
  if (top == 0) {
    for (int i = 0; i < n; i += 16) store_n(out + i, lanes_left(n, i), splat(1));
    return;
  }
  const float toward_one = top < 0x1p-100F ? 0x1p100F : top > 0x1p100F ? 0x1p-100F : 1.0F;
  const F16x first = splat(toward_one);
  const F16x second = splat(power_of_two(-exponent_of(top * toward_one)));
  F16x sums = splat(0);
  for (int i = 0; i < n; i += 16) {
    const F16x value = mul(mul(usable(load_n(w + i, lanes_left(n, i))), first), second);
    sums = add(sums, value);
    store_n(out + i, lanes_left(n, i), value);
  }
  const float mean = sum(sums) / static_cast<float>(n);
  const float scale = power_of_two(-exponent_of(mean) - 1);
  const F16x third = splat(scale);
  const F16x floor = splat(mean * scale * 1e-6F);
  for (int i = 0; i < n; i += 16) {
    const int count = lanes_left(n, i);
    store_n(out + i, count, max(mul(load_n(out + i, count), third), floor));
  }
}

// Sums of pairs of pairs: four sums of every fourth vector keep the error of long sums low.
ISA_INLINE float mean_square(const float* x, int n) {
  F16x sums[4] = {splat(0), splat(0), splat(0), splat(0)};
  for (int i = 0, k = 0; i < n; i += 16, k = (k + 1) % 4) {
    const F16x value = load(x + i);
    sums[k] = add(sums[k], mul(value, value));
  }
  return sum(add(add(sums[0], sums[1]), add(sums[2], sums[3]))) / static_cast<float>(n);
}

void weigh_by_size(float factor, int block, const float* x, int n, float* w) noexcept {
  for (int begin = 0; begin < n; begin += block) {
    const F16x variance = splat(factor * mean_square(x + begin, block));
    for (int i = begin; i < begin + block; i += 16) {
      const F16x value = load(x + i);
      store(w + i, mul(load(w + i), sqrt(add(variance, mul(value, value)))));
    }
  }
}

void weigh_by_magnitude(const float* x, int n, float* w) noexcept {
  constexpr int kSub = 32;
  for (int begin = 0; begin < n; begin += kSub) {
    const F16x average = sqrt(splat(mean_square(x + begin, kSub)));
    for (int i = begin; i < begin + kSub; i += 16) store(w + i, add(average, abs(load(x + i))));
  }
}
