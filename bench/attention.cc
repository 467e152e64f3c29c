// Speed of softmax attention at the size of the 35B: eight query heads of one K/V head, 256
// columns.
//
// Usage: attention [RUNS]. CSV on stdout, one thread: prefill in the groups of positions that the
// model uses, and single positions, by context and storage type of the cache.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernel_bench.h"
#include "kernels/dispatch.h"
#include "model/attend.h"

namespace karat {
namespace {

constexpr int64_t kDim = 256, kHeads = 8, kKvHeads = 2;

struct Case {
  int64_t positions, length;
};

void run(const kernels::KernelTable& table, tensor::DType type, const Case& c, int runs,
         double peak) {
  base::Rng rng(1);
  const auto random = [&](int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& x : values) x = static_cast<float>(2 * rng.uniform() - 1);
    return values;
  };
  model::CacheRows k(type, kKvHeads * kDim, kDim), v = k;
  k.resize(c.length), v.resize(c.length);
  for (int64_t t = 0; t < c.length; ++t) {
    k.set(t, random(kKvHeads * kDim).data());
    v.set(t, random(kKvHeads * kDim).data());
  }
  const std::vector<float> q = random(c.positions * kHeads * kDim);
  std::vector<float> o(q.size());
  const double seconds = bench::median_seconds(runs, [&] {
    model::attend(table, {k, v, 0, kDim, c.positions, c.length - c.positions + 1, kHeads, 0.0625F,
                          q.data(), o.data()});
  });
  const double flops = 4.0 * static_cast<double>(c.positions * kHeads * kDim * c.length);
  const double bytes = 2.0 * static_cast<double>(c.length) *
                       static_cast<double>(model::CacheRows::row_bytes(type, kDim));
  std::printf("%s,%s,%lld,%lld,%.1f,%.0f,%.2f\n", table.name,
              std::string(tensor::info(type).name).c_str(), static_cast<long long>(c.positions),
              static_cast<long long>(c.length), flops / seconds / 1e9, 100 * flops / seconds / peak,
              bytes / seconds / 1e9);
}

int run_all(int argc, char** argv) {
  const int runs = argc > 1 ? std::atoi(argv[1]) : 9;
  std::printf("isa,cache,positions,context,gflops,percent_of_peak,gb_per_s\n");
  for (const kernels::KernelTable* table : kernels::supported_tables()) {
    if (std::string(table->name) == "scalar") continue;
    const double peak = bench::peak_gflops(table->name) * 1e9;
    for (const tensor::DType type : {tensor::DType::f32, tensor::DType::f16, tensor::DType::q8_0}) {
      for (const Case& c :
           {Case{8, 512}, Case{8, 2048}, Case{2, 32768}, Case{1, 4096}, Case{1, 32768}}) {
        run(*table, type, c, runs, peak);
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace karat

int main(int argc, char** argv) { return karat::run_all(argc, argv); }
