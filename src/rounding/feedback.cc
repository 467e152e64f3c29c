#include "rounding/feedback.h"

#include <algorithm>
#include <array>

#include "kernels/dispatch.h"

namespace karat::rounding {

namespace {

constexpr int kLanes = 16;  // rows that go through a block side by side
constexpr int kStrip = 16;  // columns whose errors go to the rest of the block together
constexpr int kElemsMax = codec::kBlockElemsMax;

// A value of each lane's row per column of a block.
using Columns = std::array<std::array<float, kLanes>, kElemsMax>;

class Sweep {
 public:
  Sweep(const Quadratic& quadratic, CodedRows& coded)
      : q_(quadratic),
        coded_(coded),
        elems_(coded.codec.block_elems()),
        group_(coded.codec.group_elems()),
        targets_(static_cast<size_t>(coded.rows * elems_)) {}

  void run() {
    for (int64_t b = 0; b < coded_.blocks; ++b) {
      open(b);
      for (int64_t row = 0; row < coded_.rows; row += kLanes) {
        round_lanes(b, row, std::min<int64_t>(kLanes, coded_.rows - row));
      }
    }
  }

 private:
  const float* feedback(int64_t row, int64_t col) const {
    return q_.feedback.data() + row * q_.columns + col;
  }

  // What an error in each column costs, for the grid and for groups: D, and within a group what its
  // later columns pay for it, as none of them can make up for another.
  void weigh(int64_t begin) {
    for (int i = 0; i < elems_; ++i) {
      const int end = (i / group_ + 1) * group_;
      float sum = q_.conditional[static_cast<size_t>(begin + i)];
      for (int k = i + 1; k < end; ++k) {
        const float a = *feedback(begin + k, begin + i);
        sum += q_.conditional[static_cast<size_t>(begin + k)] * a * a;
      }
      cost_[static_cast<size_t>(i)] = sum;
    }
  }

  // Targets of the block's columns, the errors of earlier blocks made up for, and the grids.
  void open(int64_t block) {
    const int64_t begin = block * elems_, n = q_.columns;
    if (begin > 0) {
      kernels::table().gemm_f32({coded_.errors.data(), n, coded_.rows, feedback(begin, 0), n,
                                 elems_, begin, targets_.data(), elems_});
    }
    weigh(begin);
    for (int64_t row = 0; row < coded_.rows; ++row) {
      float* target = targets_.data() + row * elems_;
      const float* w = coded_.weights_of(row) + begin;
      for (int i = 0; i < elems_; ++i) target[i] = begin > 0 ? target[i] + w[i] : w[i];
      coded_.grid(row, block) = coded_.codec.choose_grid(target, cost_.data());
    }
  }

  void round_lanes(int64_t block, int64_t first, int64_t lanes) {
    const int64_t begin = block * elems_;
    for (int i = 0; i < elems_; ++i) {
      for (int64_t l = 0; l < lanes; ++l) {
        const auto at = static_cast<size_t>(i), lane = static_cast<size_t>(l);
        target_[at][lane] = targets_[static_cast<size_t>((first + l) * elems_ + i)];
        weight_[at][lane] = coded_.weights_of(first + l)[begin + i];
      }
    }
    for (int strip = 0; strip < elems_; strip += kStrip) {
      const int end = strip + kStrip;
      for (int i = strip; i < end; i += group_) {
        aim_group(begin, i);
        for (int64_t l = 0; l < lanes; ++l) {
          round_group(block, first + l, i, static_cast<size_t>(l));
        }
        pass_on(begin, i, group_, i + group_, end);
      }
      pass_on(begin, strip, kStrip, end, elems_);
    }
  }

  // Targets of the later columns of a group as if the earlier ones were met exactly.
  void aim_group(int64_t begin, int first) {
    for (int i = first; i < first + group_; ++i) {
      auto& target = target_[static_cast<size_t>(i)];
      for (int k = first; k < i; ++k) {
        const float a = *feedback(begin + i, begin + k);
        const auto& t = target_[static_cast<size_t>(k)];
        const auto& w = weight_[static_cast<size_t>(k)];
        for (size_t l = 0; l < kLanes; ++l) target[l] += a * (w[l] - t[l]);
      }
    }
  }

  void round_group(int64_t block, int64_t row, int first, size_t lane) {
    std::array<float, kElemsMax> x, values;
    const auto at = static_cast<size_t>(first);
    for (size_t i = 0; i < static_cast<size_t>(group_); ++i) x[i] = target_[at + i][lane];
    const int64_t begin = block * elems_ + first;
    coded_.codec.round(coded_.grid(row, block), first, x.data(), &cost_[at],
                       coded_.codes_of(row) + begin, values.data());
    for (size_t i = 0; i < static_cast<size_t>(group_); ++i) {
      const float error = weight_[at + i][lane] - values[i];
      error_[at + i][lane] = error;
      coded_.errors_of(row)[begin + static_cast<int64_t>(i)] = error;
    }
  }

  // The errors of columns [first, first + count) into the targets of columns [from, to).
  void pass_on(int64_t begin, int first, int count, int from, int to) {
    if (from >= to) return;
    kernels::table().panel({feedback(begin + from, begin + first), q_.columns, 1,
                            error_[static_cast<size_t>(first)].data(), kLanes,
                            target_[static_cast<size_t>(from)].data(), kLanes, to - from, count,
                            kLanes});
  }

  const Quadratic& q_;
  CodedRows& coded_;
  int elems_, group_;
  std::vector<float> targets_;  // [rows, elems]
  std::array<float, kElemsMax> cost_{};
  Columns target_{}, weight_{}, error_{};
};

}  // namespace

void round_with_feedback(const Quadratic& quadratic, CodedRows& coded) {
  Sweep(quadratic, coded).run();
}

}  // namespace karat::rounding
