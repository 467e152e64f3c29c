// Speed of the matrix products on one core, per instruction set and shape: GFLOP/s and the share of
// the core's measured fused multiply-add peak, medians of RUNS (first argument, default 9).
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "kernel_bench.h"
#include "kernels/dispatch.h"

namespace karat {
namespace {

struct Shape {
  int64_t m, n, k;
};
// Decode, verification, an expert's prefill rows, a projection's.
constexpr Shape kShapes[] = {{1, 512, 256},   {1, 512, 2048},   {4, 512, 2048},  {16, 512, 2048},
                             {64, 128, 256},  {64, 128, 512},   {64, 128, 1024}, {64, 512, 2048},
                             {256, 512, 512}, {512, 512, 2048}, {256, 2048, 512}};

void bench_shape(const kernels::KernelTable& table, const Shape& s, double peak, int runs) {
  base::Rng rng(1);
  const auto fill = [&](int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& v : values) v = static_cast<float>(rng.uniform() - 0.5);
    return values;
  };
  const std::vector<float> x = fill(s.m * s.k);
  const std::vector<float> w = fill(s.n * s.k);
  std::vector<float> y(static_cast<size_t>(s.m * s.n));
  std::vector<uint16_t> bf16;
  std::vector<uint16_t> f16;
  for (const float v : w) {
    bf16.push_back(base::f32_to_bf16(v));
    f16.push_back(base::f32_to_f16(v));
  }
  const auto report = [&](const char* weights, auto body) {
    const double seconds = bench::median_seconds(runs, body);
    const double gflops = 2e-9 * static_cast<double>(s.m * s.n * s.k) / seconds;
    std::printf("%s,%s,%lld,%lld,%lld,%.1f,%.1f\n", table.name, weights,
                static_cast<long long>(s.m), static_cast<long long>(s.n),
                static_cast<long long>(s.k), gflops, 100 * gflops / peak);
  };
  report("f32", [&] {
    table.gemm_f32({x.data(), s.k, s.m, w.data(), s.k, s.n, s.k, y.data(), s.n});
  });
  report("bf16", [&] {
    table.gemm_bf16({x.data(), s.k, s.m, bf16.data(), s.k, s.n, s.k, y.data(), s.n});
  });
  std::vector<uint16_t> rows(x.size());
  table.to_bf16(x.data(), s.m * s.k, rows.data());
  report("bf16 pairs", [&] {
    table.gemm_bf16_pairs({rows.data(), s.k, s.m, bf16.data(), s.k, s.n, s.k, y.data(), s.n});
  });
  report("f16", [&] {
    table.gemm_f16({x.data(), s.k, s.m, f16.data(), s.k, s.n, s.k, y.data(), s.n});
  });
}

void run(int runs) {
  std::printf("isa,weights,m,n,k,gflops,percent_of_peak\n");
  for (const kernels::KernelTable* table : kernels::supported_tables()) {
    const double peak = bench::peak_gflops(table->name);
    std::printf("%s,peak,,,,%.1f,100.0\n", table->name, peak);
    for (const Shape& shape : kShapes) {
      const bool slow = table == kernels::supported_tables().back();
      if (!slow || shape.m * shape.n * shape.k <= 1 << 20) bench_shape(*table, shape, peak, runs);
    }
  }
}

}  // namespace
}  // namespace karat

int main(int argc, char** argv) { karat::run(argc > 1 ? std::max(1, std::atoi(argv[1])) : 9); }
