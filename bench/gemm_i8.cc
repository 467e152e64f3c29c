// Speed of the integer products on one core: GOP/s and the share of the core's measured peak of
// byte products per instruction set, type and number of rows; and for one row and weights of 256
// MiB, GB/s of packed weights, beside those of only reading them, in turn. Medians of RUNS (first
// argument, default 5), of one instruction set if the second argument names it.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/rng.h"
#include "codec/codec.h"
#include "kernel_bench.h"
#include "kernels/dispatch.h"

namespace karat {
namespace {

using tensor::DType;

constexpr DType kTypes[] = {DType::q4_k,   DType::q6_k, DType::q5_k, DType::q8_0, DType::iq4_xs,
                            DType::iq4_nl, DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1,
                            DType::q3_k,   DType::q2_k, DType::mxfp4};
constexpr int64_t kRows[] = {1, 2, 3, 4, 8, 12, 16, 24, 64, 192};
constexpr int64_t kCols = 2048;

// Zero weights: the time does not depend on values, and no denormals occur.
struct Product {
  base::Arena memory;
  int64_t bytes;
  std::vector<kernels::QuantizedBlock> x;
  std::vector<float> y;
  kernels::IntegerProduct args{};

  Product(const kernels::KernelTable& table, DType type, int64_t rows, int64_t features)
      : bytes(kernels::packed_bytes(type, features, kCols)),
        x(static_cast<size_t>(rows * kernels::panels_of(kCols))),
        y(static_cast<size_t>(rows * features)) {
    std::byte* w = memory.allocate(static_cast<size_t>(bytes));
    std::memset(w, 0, static_cast<size_t>(bytes));
    base::Rng rng(1);
    std::vector<float> row(kCols);
    std::vector<kernels::QuantizedBlock> blocks = x;
    std::vector<const kernels::QuantizedBlock*> pointers;
    for (int64_t r = 0; r < rows; ++r) {
      for (float& value : row) value = static_cast<float>(rng.uniform() - 0.5);
      pointers.push_back(&blocks[static_cast<size_t>(r * kernels::panels_of(kCols))]);
      table.quantize_row(row.data(), kCols,
                         &blocks[static_cast<size_t>(r * kernels::panels_of(kCols))]);
    }
    auto* tiles = reinterpret_cast<std::byte*>(x.data());
    table.tile_rows(pointers.data(), rows, kernels::panels_of(kCols), tiles);
    args = {type, w, features, kCols, tiles, rows, y.data(), features};
  }
};

// One word of every line, in order.
uint64_t read_all(const std::byte* p, int64_t bytes) {
  uint64_t total[4] = {};
  for (int64_t at = 0; at + 256 <= bytes; at += 256) {
    for (int64_t i = 0; i < 4; ++i) {
      uint64_t word;
      std::memcpy(&word, p + at + 64 * i, sizeof word);
      total[i] += word;
    }
  }
  return total[0] + total[1] + total[2] + total[3];
}

void bench_type(const kernels::KernelTable& table, DType type, double peak, int runs) {
  const std::string name(tensor::info(type).name);
  const bool slow = std::string_view(table.name) == "scalar";
  for (const int64_t rows : kRows) {
    const int64_t features = slow ? 32 : 512;
    const Product product(table, type, rows, features);
    const double seconds = bench::median_seconds(runs, [&] { table.gemm_i8(product.args); });
    const double gops = 2e-9 * static_cast<double>(rows * features * kCols) / seconds;
    std::printf("%s,%s,%lld,%.1f,%.1f,,\n", table.name, name.c_str(), static_cast<long long>(rows),
                gops, 100 * gops / peak);
  }
  if (slow) return;
  const int64_t features = (int64_t{256} << 20) / tensor::row_bytes(type, kCols) / 16 * 16;
  for (const int64_t rows : {1, 2, 4, 8}) {
    const Product product(table, type, rows, features);
    std::vector<double> read, multiplied;
    volatile uint64_t sink = 0;
    for (int i = 0; i < runs; ++i) {
      read.push_back(
          bench::median_seconds(1, [&] { sink = read_all(product.args.w, product.bytes); }));
      multiplied.push_back(bench::median_seconds(1, [&] { table.gemm_i8(product.args); }));
    }
    std::sort(read.begin(), read.end());
    std::sort(multiplied.begin(), multiplied.end());
    const double seconds = multiplied[multiplied.size() / 2];
    std::printf("%s,%s,%lld,%.1f,,%.1f,%.1f\n", table.name, name.c_str(),
                static_cast<long long>(rows),
                2e-9 * static_cast<double>(rows * features * kCols) / seconds,
                1e-9 * static_cast<double>(product.bytes) / seconds,
                1e-9 * static_cast<double>(product.bytes) / read[read.size() / 2]);
  }
}

void run(int runs, std::string_view only) {
  std::printf("isa,type,rows,gops,percent_of_peak,gigabytes_per_second,read\n");
  for (const kernels::KernelTable* table : kernels::supported_tables()) {
    if (!only.empty() && only != table->name) continue;
    const double peak = bench::peak_byte_gops(table->name);
    std::printf("%s,peak,,%.1f,100.0,,\n", table->name, peak);
    for (const DType type : kTypes) bench_type(*table, type, peak, runs);
  }
}

}  // namespace
}  // namespace karat

int main(int argc, char** argv) {
  karat::run(argc > 1 ? std::max(1, std::atoi(argv[1])) : 5, argc > 2 ? argv[2] : "");
}
