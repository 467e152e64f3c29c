#include "recipe/estimate.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <tuple>
#include <vector>

#include "base/hash.h"
#include "base/rng.h"
#include "base/text.h"
#include "codec/codec.h"

namespace karat::recipe {

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kTrialSeconds = 0.02;  // at least, for each pair of types
constexpr size_t kTrialElements = 4096;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Work per second of `step`, which does `amount` each time.
template <class Step>
double rate(double amount, const Step& step) {
  step();  // tables and caches
  const Clock::time_point start = Clock::now();
  double done = 0, seconds = 0;
  do {
    step();
    done += amount;
    seconds = seconds_since(start);
  } while (seconds < kTrialSeconds);
  return done / seconds;
}

// Elements per second from one type to another, as recode() does it.
double encode_rate(tensor::DType from, tensor::DType to, bool weighted) {
  const codec::Codec& source = codec::codec_for(from);
  const codec::Codec& target = codec::codec_for(to);
  base::Rng rng(1);
  std::vector<float> values(kTrialElements), weights(weighted ? kTrialElements : 0);
  for (float& value : values)
    value = static_cast<float>((rng.uniform() + rng.uniform() + rng.uniform() - 1.5) * 0.04);
  for (float& weight : weights) weight = static_cast<float>(0.1 + rng.uniform());
  const auto bytes_of = [](tensor::DType type) {
    return static_cast<size_t>(tensor::row_bytes(type, int64_t{kTrialElements}));
  };
  std::vector<std::byte> stored(bytes_of(from)), encoded(bytes_of(to));
  source.encode_row(values, {}, stored);
  return rate(static_cast<double>(kTrialElements), [&] {
    source.decode(stored, values);
    if (from != to) target.encode_row(values, weights, encoded);
  });
}

}  // namespace

TimeEstimate estimate_time(const QuantizePlan& plan, uint64_t input_bytes, int threads) {
  std::map<std::tuple<tensor::DType, tensor::DType, bool>, double> elements;
  for (const TensorPlan& tensor : plan.tensors) {
    elements[{tensor.from, tensor.out.dtype, tensor.weighted}] +=
        static_cast<double>(tensor.out.shape.elements());
  }
  double cpu_seconds = 0;
  for (const auto& [types, count] : elements) {
    const auto& [from, to, weighted] = types;
    const bool known = codec::find_codec(from) != nullptr && codec::find_codec(to) != nullptr;
    if (known) cpu_seconds += count / encode_rate(from, to, weighted);
  }
  const std::vector<std::byte> block(size_t{1} << 20);
  const double hashed = rate(static_cast<double>(block.size()), [&] { base::sha256_hex(block); });
  cpu_seconds += static_cast<double>(input_bytes) / hashed;
  return {cpu_seconds / threads,
          base::strf("%zu trials of encoding on this machine, spread over %d threads; "
                     "waiting for the disk is not in it",
                     elements.size(), threads)};
}

}  // namespace karat::recipe
