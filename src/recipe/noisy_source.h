// A model with noise on some of its weights: what a pass through it loses shows how much an error
// of that size in those tensors costs, whatever type will cause it.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tensor/source.h"

namespace karat::recipe {

// Elements whose noise has one size: that of the blocks of most types.
inline constexpr int64_t kNoiseBlock = 32;

// Adds +amplitude * r or -amplitude * r to each value, r the root mean square of its block; the
// sign is a hash of seed, row and column. Signs are independent, so that in the mean over seeds
//   |noise x|^2 = sum over columns of amplitude^2 r^2 x^2
// for any inputs x. A row that is not whole blocks ends in a shorter one.
void add_noise(std::span<float> row, int64_t row_index, double amplitude, uint64_t seed);

// The source with noise on the tensors of `amplitudes` (each by its name's own seed), which are
// BF16 then, or F32 if they were. The others are untouched. The source must outlive it.
class NoisySource : public tensor::TensorSource {
 public:
  NoisySource(const tensor::TensorSource& source, std::map<std::string, double> amplitudes,
              uint64_t seed);
  const std::vector<tensor::TensorInfo>& tensors() const override { return infos_; }
  void read_rows(const tensor::TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                 std::span<std::byte> out) const override;
  std::string origin() const override { return source_.origin(); }
  void will_read(const tensor::TensorInfo& tensor, int64_t row_begin,
                 int64_t row_count) const override;

 private:
  const tensor::TensorSource& source_;
  std::map<std::string, double> amplitudes_;
  uint64_t seed_;
  std::vector<tensor::TensorInfo> infos_;
};

}  // namespace karat::recipe
