#include "recipe/error_table.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/rng.h"
#include "base/text.h"
#include "codec/codec.h"
#include "codec/distortion.h"
#include "model/names.h"
#include "receipt/receipt.h"
#include "recipe/encode.h"
#include "recipe/noisy_source.h"

namespace karat::recipe {

using tensor::DType;
using tensor::TensorInfo;

namespace {

constexpr double kImpossible = 1e30;  // the error of a type that cannot hold the values
constexpr int64_t kElementsMin = int64_t{1} << 18;  // small tensors are taken whole

// Rows of a tensor, in order, with their stored bytes.
struct Sample {
  std::vector<int64_t> rows;
  std::vector<std::byte> bytes;
};

std::vector<int64_t> rows_of(const TensorInfo& tensor, const ErrorSampling& sampling) {
  const int64_t experts = tensor.shape.experts(), each = tensor.shape.rows() / experts;
  const int64_t share = std::max(kElementsMin, tensor.shape.elements() / sampling.rows_share);
  const int64_t elements = std::min(sampling.elements_max, share);
  const int64_t count = std::clamp<int64_t>(elements / (experts * tensor.shape.cols()), 1, each);
  base::Rng rng(sampling.seed);
  std::vector<int64_t> rows;
  for (int64_t expert = 0; expert < experts; ++expert) {
    for (int64_t i = 0; i < count; ++i) {
      // One of every stretch of rows.
      const double at = (static_cast<double>(i) + rng.uniform()) * static_cast<double>(each) /
                        static_cast<double>(count);
      rows.push_back(expert * each + std::min(each - 1, static_cast<int64_t>(at)));
    }
  }
  return rows;
}

Sample read_sample(const tensor::TensorSource& source, const TensorInfo& tensor,
                   const ErrorSampling& sampling, base::ThreadPool& pool) {
  Sample sample{rows_of(tensor, sampling), {}};
  const auto row_bytes = static_cast<size_t>(tensor.row_bytes());
  sample.bytes.resize(sample.rows.size() * row_bytes);
  pool.for_each(static_cast<int64_t>(sample.rows.size()), [&](int64_t i, int) {
    const auto at = static_cast<size_t>(i);
    source.read_rows(tensor, sample.rows[at], 1,
                     std::span(sample.bytes).subspan(at * row_bytes, row_bytes));
  });
  return sample;
}

void require_finite(const tensor::TensorSource& source, const TensorInfo& tensor,
                    const Sample& sample, base::ThreadPool& pool) {
  const codec::Codec& codec = codec::codec_for(tensor.dtype);
  const auto row_bytes = static_cast<size_t>(tensor.row_bytes());
  pool.for_each(static_cast<int64_t>(sample.rows.size()), [&](int64_t i, int) {
    const auto at = static_cast<size_t>(i);
    const auto bytes = std::span(sample.bytes).subspan(at * row_bytes, row_bytes);
    if (!codec.find_bad_block(bytes)) return;
    throw base::fail(base::ErrorKind::bad_input,
                     "%s: row %lld has values that are not finite; the model is damaged or its "
                     "training diverged",
                     source.place_of(tensor).c_str(), static_cast<long long>(sample.rows[at]));
  });
}

// The mean squared inputs of every expert's columns.
std::vector<std::vector<float>> columns_of(const TensorInfo& tensor, const ErrorWeights& weights) {
  std::vector<std::vector<float>> columns(static_cast<size_t>(tensor.shape.experts()));
  if (weights.columns == nullptr) return columns;
  for (size_t e = 0; e < columns.size(); ++e) {
    columns[e] = tensor::mean_squares(*weights.columns, static_cast<int64_t>(e));
  }
  return columns;
}

base::Fingerprint key_of(const TensorInfo& tensor, const Sample& sample,
                         const std::vector<std::vector<float>>& columns,
                         const std::vector<double>& experts, const std::vector<DType>& types) {
  base::Sha256 hash;
  hash.update(std::as_bytes(std::span(sample.rows)));
  hash.update(sample.bytes);
  for (const std::vector<float>& values : columns) hash.update(std::as_bytes(std::span(values)));
  hash.update(std::as_bytes(std::span(experts)));
  std::string names;
  for (const DType type : types) names += std::string(tensor::info(type).name) + " ";
  return {{"what", "errors"},
          {"version", receipt::kVersion},
          {"tensor", tensor.name},
          {"shape", tensor.shape.str()},
          {"stored", std::string(tensor::info(tensor.dtype).name)},
          {"types", names},
          {"content", hash.hex()}};
}

// Sums of one row: of w e^2 for each type, then for noise; the last is of w value^2.
class RowErrors {
 public:
  RowErrors(const TensorInfo& tensor, const std::vector<DType>& types)
      : tensor_(tensor), types_(types), values_(static_cast<size_t>(tensor.shape.cols())) {}

  void run(std::span<const std::byte> bytes, std::span<const float> columns,
           std::span<double> out) {
    codec::codec_for(tensor_.dtype).decode(bytes, values_);
    for (size_t t = 0; t < types_.size(); ++t) {
      const codec::Codec& codec = codec::codec_for(types_[t]);
      if (codec.find_out_of_range(values_)) {
        out[t] = kImpossible;
        continue;
      }
      encoded_.resize(static_cast<size_t>(tensor::row_bytes(types_[t], tensor_.shape.cols())));
      encode_rows(codec, tensor_.shape.cols(), values_, columns, encoded_);
      out[t] = codec::distortion(codec, values_, encoded_, columns).error;
    }
    std::vector<float> noisy = values_;
    add_noise(noisy, 0, 1, 0);
    const codec::Distortion noise = codec::distortion(values_, noisy, columns);
    out[types_.size()] = noise.error;
    out[types_.size() + 1] = noise.signal;
  }

 private:
  const TensorInfo& tensor_;
  const std::vector<DType>& types_;
  std::vector<float> values_;
  std::vector<std::byte> encoded_;
};

TensorErrors encode_sample(const TensorInfo& tensor, const Sample& sample,
                           const std::vector<std::vector<float>>& columns,
                           const std::vector<double>& experts, const std::vector<DType>& types,
                           base::ThreadPool& pool) {
  const size_t width = types.size() + 2;
  const int64_t each = tensor.shape.rows() / tensor.shape.experts();
  const auto row_bytes = static_cast<size_t>(tensor.row_bytes());
  std::vector<double> sums(sample.rows.size() * width);
  std::vector<RowErrors> workers(static_cast<size_t>(pool.size()), RowErrors(tensor, types));
  pool.for_each(static_cast<int64_t>(sample.rows.size()), [&](int64_t i, int worker) {
    base::stop_if_interrupted();
    const auto at = static_cast<size_t>(i);
    const auto expert = static_cast<size_t>(sample.rows[at] / each);
    workers[static_cast<size_t>(worker)].run(
        std::span(sample.bytes).subspan(at * row_bytes, row_bytes), columns[expert],
        std::span(sums).subspan(at * width, width));
  });
  std::vector<double> totals(width);
  for (size_t i = 0; i < sample.rows.size(); ++i) {
    const double weight = experts.empty() ? 1 : experts[static_cast<size_t>(sample.rows[i] / each)];
    for (size_t k = 0; k < width; ++k) totals[k] += weight * sums[i * width + k];
  }
  const double signal = totals.back();
  TensorErrors errors;
  for (size_t k = 0; k + 1 < width; ++k) {
    const double error = signal > 0 ? totals[k] / signal : 0;
    if (k < types.size()) {
      errors.types.push_back(error);
    } else {
      errors.noise = error;
    }
  }
  return errors;
}

}  // namespace

ErrorWeights error_weights(const TensorInfo& tensor, const tensor::Importance* importance,
                           const calib::Routing* routing) {
  ErrorWeights weights;
  if (importance != nullptr) {
    const auto entry = importance->entries.find(tensor.name);
    const bool fits = entry != importance->entries.end() &&
                      entry->second.cols == tensor.shape.cols() &&
                      entry->second.mats == tensor.shape.experts();
    if (fits) weights.columns = &entry->second;
  }
  const int64_t experts = tensor.shape.experts();
  if (routing == nullptr || experts <= 1 || routing->experts != experts) return weights;
  const auto layer = routing->layers.find(model::layer_of(tensor.name));
  if (layer == routing->layers.end()) return weights;
  double mass = 0, rows = 0;
  for (size_t e = 0; e < static_cast<size_t>(experts); ++e) {
    mass += layer->second.gate_mass[e];
    rows += static_cast<double>(layer->second.counts[e]);
  }
  const double mean = rows > 0 ? mass / rows : 1;
  for (size_t e = 0; e < static_cast<size_t>(experts); ++e) {
    const double seen = layer->second.gate_mass[e] + mean;
    weights.experts.push_back(seen * seen / static_cast<double>(layer->second.counts[e] + 1));
  }
  return weights;
}

TensorErrors measure_errors(const tensor::TensorSource& source, const TensorInfo& tensor,
                            const std::vector<DType>& types, const ErrorWeights& weights,
                            const ErrorSampling& sampling, const PlanCache& cache,
                            base::ThreadPool& pool) {
  const Sample sample = read_sample(source, tensor, sampling, pool);
  const auto columns = columns_of(tensor, weights);
  const base::Fingerprint key = key_of(tensor, sample, columns, weights.experts, types);
  TensorErrors errors;
  if (const auto kept = cache.find(key)) {
    for (const base::Json& value : kept->at("types").as_array()) {
      errors.types.push_back(value.as_double());
    }
    errors.noise = kept->at("noise").as_double();
    return errors;
  }
  require_finite(source, tensor, sample, pool);
  errors = encode_sample(tensor, sample, columns, weights.experts, types, pool);
  base::Json list = base::Json::array();
  for (const double error : errors.types) list.push(error);
  base::Json value = base::Json::object();
  value.set("types", std::move(list));
  value.set("noise", errors.noise);
  cache.keep(key, value);
  return errors;
}

}  // namespace karat::recipe
