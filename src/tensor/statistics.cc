#include "tensor/statistics.h"

namespace karat::tensor {

void split_experts(Importance& importance, const TensorSource& source) {
  for (auto& [name, entry] : importance.entries) {
    const TensorInfo* tensor = source.find(name);
    if (tensor == nullptr || entry.mats != 1) continue;
    const int64_t experts = tensor->shape.experts(), cols = tensor->shape.cols();
    if (experts <= 1 || entry.cols != experts * cols) continue;
    entry.mats = experts;
    entry.cols = cols;
  }
}

std::vector<float> mean_squares(const ImportanceEntry& entry, int64_t mat) {
  const size_t cols = static_cast<size_t>(entry.cols), begin = static_cast<size_t>(mat) * cols;
  const size_t count_index = entry.counts.size() > 1 ? static_cast<size_t>(mat) : 0;
  std::vector<float> values(cols);
  if (entry.counts[count_index] > 0) {
    const double count = static_cast<double>(entry.counts[count_index]);
    for (size_t c = 0; c < cols; ++c) {
      values[c] = static_cast<float>(entry.in_sum2[begin + c] / count);
    }
    return values;
  }
  double total = 0;
  for (const int64_t count : entry.counts) total += static_cast<double>(count);
  for (size_t c = 0; c < cols; ++c) {
    double sum = 0;
    for (size_t i = c; i < entry.in_sum2.size(); i += cols) sum += entry.in_sum2[i];
    values[c] = total > 0 ? static_cast<float>(sum / total) : 1.0f;
  }
  return values;
}

}  // namespace karat::tensor
