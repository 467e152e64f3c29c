// Kernels read nothing beyond their operands: every input and output ends at the end of a page
// whose successor may not be touched, so a vector read too far ends the test in any build.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "codec/codec.h"
#include "kernels/dispatch.h"

namespace karat::kernels {
namespace {

// `bytes` zero bytes that end where the forbidden page begins.
class GuardedBytes {
 public:
  explicit GuardedBytes(size_t bytes) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t pages = (bytes + page - 1) / page * page;
    mapped_ = pages + page;
    base_ = static_cast<std::byte*>(
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_EQ(mprotect(base_ + pages, page, PROT_NONE), 0);
    data_ = base_ + pages - bytes;
  }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;
  ~GuardedBytes() { munmap(base_, mapped_); }

  template <class T>
  T* as() {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* base_;
  std::byte* data_;
  size_t mapped_;
};

// Hands out guarded operands that live as long as it does.
class Operands {
 public:
  float* floats(int64_t n) { return take(static_cast<size_t>(n) * sizeof(float))->as<float>(); }
  uint16_t* halves(int64_t n) {
    return take(static_cast<size_t>(n) * sizeof(uint16_t))->as<uint16_t>();
  }
  std::byte* bytes(int64_t n) { return take(static_cast<size_t>(n))->as<std::byte>(); }

 private:
  GuardedBytes* take(size_t bytes) {
    all_.push_back(std::make_unique<GuardedBytes>(bytes));
    return all_.back().get();
  }
  std::vector<std::unique_ptr<GuardedBytes>> all_;
};

constexpr int64_t kLengths[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 40, 64, 65};

void run_rows(const KernelTable& t, int64_t n) {
  Operands o;
  float* a = o.floats(n);
  float* b = o.floats(n);
  float* c = o.floats(n);
  float* y = o.floats(n);
  t.round_bf16(a, n, y);
  t.rms_norm(a, b, 1e-6F, n, y);
  t.l2_norm(a, 1e-6F, 1.0F, n, y);
  t.gated_norm(a, b, c, 1e-6F, n, y);
  t.silu(a, n, y);
  t.silu_mul(a, b, n, y);
  t.sigmoid(a, n, y);
  t.sigmoid_mul(a, b, n, y);
  t.delta_gate(a, b, c, n, y);
  t.add(a, n, y);
  t.axpy(2.0F, a, n, y);
  std::vector<double> sum2(static_cast<size_t>(n)), sum(static_cast<size_t>(n));
  t.moments({a, n, 1, n, sum2.data(), sum.data()});
  t.softmax(y, n, 0.5F);
  t.rope(o.floats(2 * n), a, b, n);
  for (const int64_t taps : {1, 3, 4}) {
    std::vector<const float*> rows;
    for (int64_t j = 0; j < taps; ++j) rows.push_back(o.floats(n));
    t.conv_silu(rows.data(), o.floats(n * taps), taps, n, y);
  }
}

void run_products(const KernelTable& t, int64_t k) {
  for (const int64_t m : {1, 2, 5, 9, 30}) {
    constexpr int64_t kCols = 9;
    Operands o;
    const float* x = o.floats(m * k);
    float* y = o.floats(m * kCols);
    t.gemm_f32({x, k, m, o.floats(kCols * k), k, kCols, k, y, kCols});
    t.gemm_bf16({x, k, m, o.halves(kCols * k), k, kCols, k, y, kCols});
    t.gemm_bf16_pairs({o.halves(m * k), k, m, o.halves(kCols * k), k, kCols, k, y, kCols});
    t.gemm_f16({x, k, m, o.halves(kCols * k), k, kCols, k, y, kCols});
  }
}

void run_heads(const KernelTable& t, int64_t n) {
  constexpr int64_t kRows = 9;
  Operands o;
  t.panel({o.floats(kRows * 5), 5, 1, o.floats(5 * n), n, o.floats(kRows * n), n, kRows, 5, n});
  const int64_t keys = n % 11 + 1;
  const DeltaArgs delta = {o.floats(kRows * keys),
                           o.floats(kRows * keys),
                           o.floats(kRows * n),
                           o.floats(kRows),
                           o.floats(kRows),
                           o.floats(kRows * n),
                           o.floats(keys * n),
                           keys,
                           keys,
                           n,
                           1,
                           n,
                           kRows,
                           keys,
                           n,
                           o.floats(delta_scratch_floats(keys, n))};
  t.delta_recurrent(delta);
  t.delta_chunked(delta);
}

TEST(Bounds, KernelsStayInsideTheirOperands) {
  for (const KernelTable* t : supported_tables()) {
    for (const int64_t n : kLengths) {
      run_rows(*t, n);
      run_products(*t, n);
      run_heads(*t, n);
    }
    run_products(*t, 2065);
  }
}

TEST(Bounds, DecodeStaysInsideItsBlocks) {
  for (const KernelTable* t : supported_tables()) {
    for (const codec::Codec* codec : codec::codecs()) {
      for (const int64_t blocks : {1, 2, 5, 19}) {
        Operands o;
        const int64_t n = blocks * codec->block_elems();
        t->decode(codec->type(), o.bytes(blocks * codec->block_bytes()), n, o.floats(n));
      }
    }
  }
}

}  // namespace
}  // namespace karat::kernels
