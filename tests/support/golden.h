// The tiny model and its golden arrays (tests/fixtures/README.md), in canonical order.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "format/gguf.h"
#include "format/safetensors.h"
#include "model/config.h"
#include "model/weights.h"

namespace karat::golden {

inline std::string fixture(const std::string& path) {
  return std::string(KARAT_ROOT) + "/tests/fixtures/" + path;
}

// The arrays of one golden file, read as doubles whatever their type.
class Goldens {
 public:
  explicit Goldens(const std::string& path) : source_(fixture("goldens/" + path)) {}

  const std::vector<tensor::TensorInfo>& arrays() const { return source_.tensors(); }
  std::vector<double> get(const std::string& name) const {
    const tensor::TensorInfo& info = source_.at(name);
    std::vector<std::byte> bytes(static_cast<size_t>(info.bytes()));
    source_.read(info, bytes);
    switch (info.dtype) {
      case tensor::DType::f64:
        return widen<double>(bytes);
      case tensor::DType::f32:
        return widen<float>(bytes);
      case tensor::DType::i64:
        return widen<int64_t>(bytes);
      default:
        CHECK(info.dtype == tensor::DType::i32);
        return widen<int32_t>(bytes);
    }
  }
  std::vector<int32_t> ids(const std::string& name) const {
    const std::vector<double> values = get(name);
    return {values.begin(), values.end()};
  }

 private:
  template <class T>
  static std::vector<double> widen(const std::vector<std::byte>& bytes) {
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return {values.begin(), values.end()};
  }
  format::SafetensorsSource source_;
};

// The tiny model's weights. The F32 file holds the BF16 checkpoint's values exactly.
struct Tiny {
  explicit Tiny(const std::string& file = "goldens/gguf/tiny-f32.gguf")
      : source(fixture(file)), config(model::config_from_gguf(source.metadata(), file)) {
    head = model::bind_head(source, config, bytes);
    for (int64_t layer = 0; layer < config.layers(); ++layer) {
      blocks.push_back(model::bind_block(source, config, layer, bytes));
    }
    if (config.mtp_layers > 0) mtp = model::bind_mtp(source, config, bytes);
  }
  format::GgufSource source;
  model::Config config;
  model::WeightBytes bytes;
  model::HeadWeights head;
  std::vector<model::BlockWeights> blocks;
  model::MtpWeights mtp;
};

// Rows of `prefix` columns and then V heads of `dim` columns each, from HF's grouped order of the
// heads to the canonical tiled one: tiled head s * key_heads + g is grouped head g * r + s.
inline std::vector<double> tile_heads(const model::Config& config,
                                      const std::vector<double>& values, int64_t prefix,
                                      int64_t dim) {
  const int64_t cols = prefix + config.value_heads * dim;
  const int64_t repeat = config.value_heads / config.key_heads;
  std::vector<double> out = values;
  for (size_t row = 0; row < values.size(); row += static_cast<size_t>(cols)) {
    for (int64_t j = 0; j < config.value_heads; ++j) {
      const int64_t grouped = j % config.key_heads * repeat + j / config.key_heads;
      const auto from = values.begin() + static_cast<int64_t>(row) + prefix + grouped * dim;
      std::copy(from, from + dim, out.begin() + static_cast<int64_t>(row) + prefix + j * dim);
    }
  }
  return out;
}

inline std::vector<float> to_float(const std::vector<double>& values) {
  std::vector<float> out;
  for (const double value : values) out.push_back(static_cast<float>(value));
  return out;
}

}  // namespace karat::golden
