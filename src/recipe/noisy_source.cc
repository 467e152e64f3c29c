#include "recipe/noisy_source.h"

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "codec/codec.h"

namespace karat::recipe {

using tensor::DType;
using tensor::TensorInfo;

namespace {

// FNV-1a (Fowler, Noll, Vo), so that a tensor's noise depends on its name and not on its place.
uint64_t hash_of(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace

void add_noise(std::span<float> row, int64_t row_index, double amplitude, uint64_t seed) {
  base::Rng rng(seed ^ base::Rng(static_cast<uint64_t>(row_index)).next());
  for (size_t begin = 0; begin < row.size(); begin += kNoiseBlock) {
    const auto block = row.subspan(begin, std::min<size_t>(kNoiseBlock, row.size() - begin));
    double squares = 0;
    for (const float value : block) squares += static_cast<double>(value) * value;
    const auto size =
        static_cast<float>(amplitude * std::sqrt(squares / static_cast<double>(block.size())));
    uint64_t signs = rng.next();
    for (float& value : block) {
      value += (signs & 1) != 0 ? size : -size;
      signs >>= 1;
    }
  }
}

NoisySource::NoisySource(const tensor::TensorSource& source,
                         std::map<std::string, double> amplitudes, uint64_t seed)
    : source_(source), amplitudes_(std::move(amplitudes)), seed_(seed), infos_(source.tensors()) {
  for (TensorInfo& info : infos_) {
    if (amplitudes_.contains(info.name) && info.dtype != DType::f32) info.dtype = DType::bf16;
  }
}

void NoisySource::will_read(const TensorInfo& tensor, int64_t row_begin, int64_t row_count) const {
  source_.will_read(source_.at(tensor.name), row_begin, row_count);
}

void NoisySource::read_rows(const TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                            std::span<std::byte> out) const {
  const TensorInfo& stored = source_.at(tensor.name);
  const auto noisy = amplitudes_.find(tensor.name);
  if (noisy == amplitudes_.end()) {
    source_.read_rows(stored, row_begin, row_count, out);
    return;
  }
  const auto cols = static_cast<size_t>(stored.shape.cols());
  const auto from_bytes = static_cast<size_t>(stored.row_bytes());
  const DType type = stored.dtype == DType::f32 ? DType::f32 : DType::bf16;
  const auto to_bytes = static_cast<size_t>(tensor::row_bytes(type, stored.shape.cols()));
  const codec::Codec &from = codec::codec_for(stored.dtype), &to = codec::codec_for(type);
  std::vector<std::byte> bytes(from_bytes * static_cast<size_t>(row_count));
  source_.read_rows(stored, row_begin, row_count, bytes);
  std::vector<float> row(cols);
  const uint64_t seed = seed_ ^ hash_of(tensor.name);
  for (int64_t r = 0; r < row_count; ++r) {
    const auto at = static_cast<size_t>(r);
    from.decode(std::span(bytes).subspan(at * from_bytes, from_bytes), row);
    add_noise(row, row_begin + r, noisy->second, seed);
    to.encode_row(row, {}, out.subspan(at * to_bytes, to_bytes));
  }
}

}  // namespace karat::recipe
