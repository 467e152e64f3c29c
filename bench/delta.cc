// Speed of the gated delta rule on one core, per instruction set: microseconds per token and value
// head at dk = dv = 128, GFLOP/s (8 dk dv per token: both forms are counted as the recurrence) and
// the share of the fused multiply-add peak, medians of RUNS (first argument, default 9).
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "base/rng.h"
#include "kernel_bench.h"
#include "kernels/dispatch.h"

namespace karat {
namespace {

constexpr int64_t kDim = 128;

struct Head {
  int64_t tokens;
  std::vector<float> q, k, v, g, beta, o, state, scratch;

  explicit Head(int64_t count) : tokens(count) {
    base::Rng rng(1);
    for (int64_t i = 0; i < tokens * kDim; ++i) {
      q.push_back(static_cast<float>(rng.uniform() * 0.1));
      k.push_back(static_cast<float>((rng.uniform() - 0.5) * 0.3));
      v.push_back(static_cast<float>(rng.uniform()));
    }
    g.assign(static_cast<size_t>(tokens), -0.05F);
    beta.assign(static_cast<size_t>(tokens), 0.5F);
    o.resize(v.size());
    state.resize(kDim * kDim);
    scratch.resize(static_cast<size_t>(kernels::delta_scratch_floats(kDim, kDim)));
  }

  kernels::DeltaArgs args() {
    return {q.data(),     k.data(), v.data(), g.data(),      beta.data(), o.data(),
            state.data(), kDim,     kDim,     kDim,          1,           kDim,
            tokens,       kDim,     kDim,     scratch.data()};
  }
};

void run(int runs) {
  std::printf("isa,form,tokens,us_per_token_head,gflops,percent_of_peak\n");
  for (const kernels::KernelTable* table : kernels::supported_tables()) {
    const double peak = bench::peak_gflops(table->name);
    for (const int64_t tokens : {1, 8, 64, 512}) {
      Head head(tokens);
      const kernels::DeltaArgs args = head.args();
      const auto report = [&](const char* form, auto rule) {
        const double seconds =
            bench::median_seconds(runs, [&] { rule(args); }) / static_cast<double>(tokens);
        const double gflops = 8e-9 * static_cast<double>(kDim * kDim) / seconds;
        std::printf("%s,%s,%lld,%.3f,%.1f,%.1f\n", table->name, form,
                    static_cast<long long>(tokens), seconds * 1e6, gflops, 100 * gflops / peak);
      };
      report("recurrent", table->delta_recurrent);
      report("chunked", table->delta_chunked);
    }
  }
}

}  // namespace
}  // namespace karat

int main(int argc, char** argv) { karat::run(argc > 1 ? std::max(1, std::atoi(argv[1])) : 9); }
