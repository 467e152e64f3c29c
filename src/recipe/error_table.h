// What each type would do to each tensor: the error that it puts on the tensor's outputs, relative
// to them, as the calibration text makes them, with every expert counted as the router uses it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/threads.h"
#include "calib/routing.h"
#include "recipe/plan_cache.h"
#include "tensor/source.h"
#include "tensor/statistics.h"

namespace karat::recipe {

// What weighs an error. Experts count by the square of their gate's weight over the rows that they
// see, with one more row of the layer's mean weight for each, so that cold ones count a little.
struct ErrorWeights {
  const tensor::ImportanceEntry* columns = nullptr;  // null: all columns alike
  std::vector<double> experts;                       // [experts] of a stack; empty: all alike
};
ErrorWeights error_weights(const tensor::TensorInfo& tensor, const tensor::Importance* importance,
                           const calib::Routing* routing);

struct ErrorSampling {
  int64_t elements_max = int64_t{1} << 19;  // of a tensor that are encoded
  int64_t rows_share = 10;                  // at most every so many-th row, of large tensors
  uint64_t seed = 0;
};

// sum over rows and columns of w (decoded - value)^2 by the sum of w value^2, w the column's mean
// squared input times the expert's weight: |dW x|^2 / |W x|^2 for independent errors.
struct TensorErrors {
  std::vector<double> types;  // [types]
  double noise = 0;           // of noise of amplitude 1 (recipe/noisy_source.h)
};

// Encodes a seeded sample of the tensor's rows, the same number of each expert, in every type.
// Rows, weights, types and sampling are the key in the cache. A type that cannot hold the values
// has an error beyond all others. Errors as reading's; Error{bad_input} naming tensor and row if a
// value is not finite.
TensorErrors measure_errors(const tensor::TensorSource& source, const tensor::TensorInfo& tensor,
                            const std::vector<tensor::DType>& types, const ErrorWeights& weights,
                            const ErrorSampling& sampling, const PlanCache& cache,
                            base::ThreadPool& pool);

}  // namespace karat::recipe
