// Encode and decode speed of every format on one thread: MB of F32 values per second and million
// elements per second, the median of RUNS (first argument, default 5) passes over the same rows.
// Seconds are processor time, so that other programs on the machine do not count.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "codec/codec.h"
#include "codec/distortion.h"

namespace karat {
namespace {

constexpr size_t kCols = 2048;
constexpr size_t kRows = 64;

double normal(base::Rng& rng) {
  return std::sqrt(-2 * std::log(1 - rng.uniform())) * std::cos(6.283185307179586 * rng.uniform());
}

double median_seconds(int runs, const std::function<void()>& body) {
  std::vector<double> seconds;
  for (int run = 0; run < runs; ++run) {
    const std::clock_t begin = std::clock();
    body();
    const double ticks = static_cast<double>(std::clock() - begin);
    seconds.push_back(ticks / static_cast<double>(CLOCKS_PER_SEC));
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

struct Rows {
  std::vector<float> x;
  std::vector<float> importance;
};

// Heavy-tailed values and lognormal importances (sigma 1.2), like trained weights and activations.
Rows make_rows() {
  base::Rng rng(1);
  Rows rows;
  for (size_t i = 0; i < kRows * kCols; ++i) {
    rows.x.push_back(static_cast<float>(0.02 * normal(rng) * (1 + 0.5 * std::fabs(normal(rng)))));
  }
  for (size_t i = 0; i < kCols; ++i) {
    rows.importance.push_back(static_cast<float>(std::exp(1.2 * normal(rng))));
  }
  return rows;
}

struct Speed {
  double mb;
  double melem;
};
Speed speed(double seconds) {
  const double elements = static_cast<double>(kRows * kCols);
  return {elements * sizeof(float) / seconds * 1e-6, elements / seconds * 1e-6};
}

void bench_codec(const codec::Codec& codec, const Rows& rows, bool importance, int runs) {
  const size_t stride = static_cast<size_t>(tensor::row_bytes(codec.type(), kCols));
  std::vector<std::byte> bytes(kRows * stride);
  std::vector<float> decoded(kCols);
  const std::span<const float> q =
      importance ? std::span(rows.importance) : std::span<const float>();
  const auto values = [&](size_t row) { return std::span(rows.x).subspan(row * kCols, kCols); };
  const auto encoded = [&](size_t row) { return std::span(bytes).subspan(row * stride, stride); };
  const Speed encode = speed(median_seconds(runs, [&] {
    for (size_t row = 0; row < kRows; ++row) codec.encode_row(values(row), q, encoded(row));
  }));
  const Speed decode = speed(median_seconds(runs, [&] {
    for (size_t row = 0; row < kRows; ++row) codec.decode(encoded(row), decoded);
  }));
  codec::Distortion sum;
  for (size_t row = 0; row < kRows; ++row) {
    sum += codec::distortion(codec, values(row), encoded(row), q);
  }
  std::printf("%-5s %-10s %10.1f %8.2f %10.1f %8.2f   %.4e\n", codec.info().name.data(),
              importance ? "importance" : "plain", encode.mb, encode.melem, decode.mb, decode.melem,
              sum.relative_error());
}

}  // namespace
}  // namespace karat

int main(int argc, char** argv) {
  const int runs = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5;
  const karat::Rows rows = karat::make_rows();
  std::printf("%zu rows of %zu, one thread, median of %d\n", karat::kRows, karat::kCols, runs);
  std::printf("%-5s %-10s %10s %8s %10s %8s   %s\n", "type", "weights", "enc MB/s", "Melem/s",
              "dec MB/s", "Melem/s", "relative error");
  for (const karat::codec::Codec* codec : karat::codec::codecs()) {
    karat::bench_codec(*codec, rows, false, runs);
    if (codec->info().quantized()) karat::bench_codec(*codec, rows, true, runs);
  }
  return 0;
}
