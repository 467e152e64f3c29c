// Every operation of the vocabulary once, for vec_test.cc: included in each region. Results go to
// out, 16 words each; returns how many words were written.

ISA_INLINE uint32_t* put(uint32_t* out, F16x a) {
  float lanes[16];
  store(lanes, a);
  std::memcpy(out, lanes, sizeof lanes);
  return out + 16;
}
ISA_INLINE uint32_t* put(uint32_t* out, I16x a) { return put(out, from_bits(a)); }
ISA_INLINE uint32_t* put(uint32_t* out, M16x m) {
  return put(out, select(m, splat_i(1), splat_i(0)));
}

// a, b, c: 64 floats each (16 are used but for the strided loads); words: 64 bytes of any pattern;
// n in [0, 16].
int64_t run_operations(const float* a, const float* b, const float* c, const uint8_t* words,
                       int64_t n, uint32_t* begin) {
  uint32_t* out = begin;
  const F16x x = load(a), y = load(b), z = load(c);
  const I16x i = load_u8(words), j = load_i8(reinterpret_cast<const int8_t*>(words));
  for (const F16x value : {splat(a[0]),
                           load_n(a, n, 7.0F),
                           load_strided(a, 3),
                           load_strided_n(a, 3, n),
                           add(x, y),
                           sub(x, y),
                           mul(x, y),
                           div(x, y),
                           fma(x, y, z),
                           fnma(x, y, z),
                           min(x, y),
                           max(x, y),
                           abs(x),
                           select(less(x, y), x, y),
                           sqrt(abs(x)),
                           to_float(i),
                           from_bits(i),
                           lookup16(x, i),
                           load_raw(words),
                           load_bf16(words),
                           load_bf16_n(words, n),
                           load_f16(words),
                           load_f16_n(words, n)}) {
    out = put(out, value);
  }
  for (const I16x value :
       {bits(x), to_int(x), i, j, add(i, j), sub(i, j), bit_and(i, j), bit_or(i, j),
        shift_left(j, 5), shift_right(j, 5),
        lookup_u16(reinterpret_cast<const uint16_t*>(words), bit_and(i, splat_i(15))),
        select(less(x, y), i, j), splat_i(words[0]),
        lookup_bytes(words + 3, bit_and(bits(load_raw(words)), splat_i(0x0f0f0f0f)))}) {
    out = put(out, value);
  }
  for (const M16x value : {less(x, y), is_nan(x), first(n)}) {
    *out++ = lane_bits(value);
    out = put(out, value);
  }
  F16x apart[4];
  load_interleaved(a, apart);
  for (const F16x value : apart) out = put(out, value);
  float sums[4];
  sum4(x, y, z, apart[0], sums);
  for (const float value :
       {sums[0], sums[1], sums[2], sums[3], sum(x), largest(y), first_lane(x)}) {
    *out++ = std::bit_cast<uint32_t>(value);
  }
  int32_t integers[16];
  store(integers, j);
  std::memcpy(out, integers, sizeof integers);
  out += 16;
  float kept[16] = {};
  store_n(kept, n, x);
  out = put(out, load(kept));
  *out++ = static_cast<uint32_t>(sum(add(i, j)));
  store_bytes(out, i);
  out += 16;
  store_i8(reinterpret_cast<int8_t*>(out), add(i, shift_left(j, 7)));
  return out + 4 - begin;
}
