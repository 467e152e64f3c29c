// Pins the bits of every kernel on fixed inputs, one checksum each. Results are promised to be the
// same for every compiler, machine and release; a change that moves them is a change of the
// numerics and belongs into docs/NUMERICS.md together with the new checksums (the failure prints
// them).
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "base/text.h"
#include "kernels/dispatch.h"
#include "support/buffers.h"

namespace karat::kernels {
namespace {

using test::Floats;

Floats random(int64_t n, uint64_t seed, double scale = 2) {
  base::Rng rng(seed);
  Floats f(n);
  test::fill_random(f, rng, scale);
  return f;
}

// FNV-1a over the bits, a NaN counted as one pattern.
uint64_t checksum(const Floats& f) {
  uint64_t hash = 0xcbf29ce484222325U;
  for (int64_t i = 0; i < f.size(); ++i) {
    hash = (hash ^ test::comparable_bits(f[i])) * 0x100000001b3U;
  }
  return hash;
}

class Report {
 public:
  void add(const char* kernel, const Floats& f) {
    text_ += base::strf("%s %016llx\n", kernel, static_cast<unsigned long long>(checksum(f)));
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void products(const KernelTable& t, Report& report) {
  const Floats x = random(5 * 77, 1);
  const Floats w = random(9 * 77, 2);
  test::Buffer<uint16_t> bf16(w.size());
  test::Buffer<uint16_t> f16(w.size());
  for (int64_t i = 0; i < w.size(); ++i) {
    bf16[i] = base::f32_to_bf16(w[i]);
    f16[i] = base::f32_to_f16(w[i]);
  }
  Floats y(45);
  t.gemm_f32({x.data(), 77, 5, w.data(), 77, 9, 77, y.data(), 9});
  report.add("gemm_f32", y);
  t.gemm_bf16({x.data(), 77, 5, bf16.data(), 77, 9, 77, y.data(), 9});
  report.add("gemm_bf16", y);
  t.gemm_f16({x.data(), 77, 5, f16.data(), 77, 9, 77, y.data(), 9});
  report.add("gemm_f16", y);
  test::Buffer<uint16_t> rows16(x.size());
  t.to_bf16(x.data(), x.size(), rows16.data());
  t.gemm_bf16_pairs({rows16.data(), 77, 5, bf16.data(), 77, 9, 77, y.data(), 9});
  report.add("gemm_bf16_pairs", y);
  Floats o(40);
  Floats scores(50);
  const Floats q = random(40, 3);
  const Floats k = random(2000, 4);
  t.gemm_f32({q.data(), 40, 1, k.data(), 40, 50, 40, scores.data(), 50});
  t.softmax(scores.data(), 50, 0.2F);
  for (int64_t i = 0; i < o.size(); ++i) o[i] = 0;
  t.panel({scores.data(), 50, 1, x.data(), 6, o.data(), 40, 1, 50, 40});
  report.add("attention", o);
}

void rows(const KernelTable& t, Report& report) {
  constexpr int64_t kCount = 1003;
  const Floats a = random(kCount, 5, 20);
  const Floats b = random(kCount, 6);
  const Floats c = random(kCount, 7);
  Floats y(kCount);
  const auto add = [&](const char* name) { report.add(name, y); };
  t.round_bf16(a.data(), kCount, y.data()), add("round_bf16");
  t.silu(a.data(), kCount, y.data()), add("silu");
  t.silu_mul(a.data(), b.data(), kCount, y.data()), add("silu_mul");
  t.sigmoid(a.data(), kCount, y.data()), add("sigmoid");
  t.sigmoid_mul(a.data(), b.data(), kCount, y.data()), add("sigmoid_mul");
  t.delta_gate(a.data(), b.data(), c.data(), kCount, y.data()), add("delta_gate");
  t.add(a.data(), kCount, y.data()), add("add");
  t.axpy(0.7F, b.data(), kCount, y.data()), add("axpy");
  t.rms_norm(a.data(), b.data(), 1e-6F, kCount, y.data()), add("rms_norm");
  t.l2_norm(a.data(), 1e-6F, 0.1F, kCount, y.data()), add("l2_norm");
  t.gated_norm(a.data(), b.data(), c.data(), 1e-6F, kCount, y.data()), add("gated_norm");
  t.rope(y.data(), b.data(), c.data(), kCount / 2), add("rope");
  y = a;
  t.softmax(y.data(), kCount, 1.0F), add("softmax");
  const float* const taps[] = {a.data(), b.data(), c.data(), a.data() + 4};
  Floats conv(249);
  t.conv_silu(taps, c.data(), 4, 249, conv.data());
  report.add("conv_silu", conv);
}

void delta(const KernelTable& t, Report& report) {
  constexpr int64_t kTokens = 100, kKeys = 20, kValues = 36;
  const Floats q = random(kTokens * kKeys, 8, 0.3);
  const Floats k = random(kTokens * kKeys, 9, 0.3);
  const Floats v = random(kTokens * kValues, 10);
  const Floats beta = random(kTokens, 11, 1);
  Floats g = random(kTokens, 12, 1);
  for (int64_t i = 0; i < kTokens; ++i) g[i] = -g[i] * g[i];
  const auto run = [&](auto rule, const char* name) {
    Floats o(kTokens * kValues);
    Floats state(kKeys * kValues);
    Floats scratch(delta_scratch_floats(kKeys, kValues));
    state = random(kKeys * kValues, 13);
    rule({q.data(), k.data(), v.data(), g.data(), beta.data(), o.data(), state.data(), kKeys, kKeys,
          kValues, 1, kValues, kTokens, kKeys, kValues, scratch.data()});
    report.add(name, o);
    report.add("  state", state);
  };
  run(t.delta_recurrent, "delta_recurrent");
  run(t.delta_chunked, "delta_chunked");
}

constexpr const char* kExpected =
    "gemm_f32 31784b3114998847\n"
    "gemm_bf16 172e2f78fb1c9166\n"
    "gemm_f16 d6a3e662d8fe28fe\n"
    "gemm_bf16_pairs 92fb93767fe423ce\n"
    "attention a3f7c19139ec12b9\n"
    "round_bf16 c0d4afb7a1cd3117\n"
    "silu 2c3105d425a1920d\n"
    "silu_mul 6ba84b1920e44d84\n"
    "sigmoid 4ed63629cf2aaa48\n"
    "sigmoid_mul cc457626ca67cc3b\n"
    "delta_gate 743c345bcdd0b0aa\n"
    "add 1fb88bd610a7da0a\n"
    "axpy 1f7c72b397289ed5\n"
    "rms_norm e46bffe5e2bb119e\n"
    "l2_norm fc01a1f2bd86dacb\n"
    "gated_norm 79da6ddfbb61ca41\n"
    "rope 88a6b8795fd15a9d\n"
    "softmax 6a2c39e6bf7df857\n"
    "conv_silu 4fc23ac28691f23c\n"
    "delta_recurrent 8dd75218bd6b51b1\n"
    "  state ec8585a887c694bf\n"
    "delta_chunked 754bda45b3266048\n"
    "  state 33a975a0c484852a\n";

TEST(Bits, EveryKernelOfEveryTable) {
  for (const KernelTable* t : supported_tables()) {
    Report report;
    products(*t, report);
    rows(*t, report);
    delta(*t, report);
    EXPECT_EQ(report.text(), kExpected) << t->name;
  }
}

}  // namespace
}  // namespace karat::kernels
