#include "rounding/descent.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/dispatch.h"

namespace karat::rounding {

namespace {

constexpr int kElemsMax = codec::kBlockElemsMax;
constexpr int kGroupMax = 8;

// One row's block.
struct Open {
  codec::Grid* grid;
  codec::Code* codes;    // [elems]
  float* errors;         // [elems]
  const float* weights;  // [elems]
  float* slope;          // [elems]: (H e) of the columns
};

class Descent {
 public:
  Descent(const Quadratic& quadratic, CodedRows& coded)
      : q_(quadratic),
        coded_(coded),
        elems_(coded.codec.block_elems()),
        group_(coded.codec.group_elems()),
        slopes_(static_cast<size_t>(coded.rows * elems_)) {}

  void pass() {
    for (int64_t b = 0; b < coded_.blocks; ++b) {
      const int64_t n = q_.columns;
      begin_ = b * elems_;
      kernels::table().gemm_f32({coded_.errors.data(), n, coded_.rows, hessian(begin_, 0), n,
                                 elems_, n, slopes_.data(), elems_});
      if (group_ > 1) invert_groups();
      for (int64_t row = 0; row < coded_.rows; ++row) move_codes(open(row, b));
      if (subs() == 1) continue;
      measure_codes();
      for (int64_t row = 0; row < coded_.rows; ++row) move_scales(open(row, b), row);
    }
  }

 private:
  const float* hessian(int64_t row, int64_t col) const {
    return q_.hessian.data() + row * q_.columns + col;
  }
  float h(int i, int k) const { return *hessian(begin_ + i, begin_ + k); }

  // The inverses of the groups' own parts of H, by Gauss and Jordan; they are positive definite.
  void invert_groups() {
    for (int first = 0; first < elems_; first += group_) {
      auto& out = inverse_[static_cast<size_t>(first / group_)];
      std::array<std::array<double, 2 * kGroupMax>, kGroupMax> a{};
      for (int i = 0; i < group_; ++i) {
        for (int k = 0; k < group_; ++k) {
          a[static_cast<size_t>(i)][static_cast<size_t>(k)] =
              static_cast<double>(h(first + i, first + k));
        }
        a[static_cast<size_t>(i)][static_cast<size_t>(kGroupMax + i)] = 1;
      }
      for (size_t p = 0; p < static_cast<size_t>(group_); ++p) {
        const double pivot = 1 / a[p][p];
        for (double& x : a[p]) x *= pivot;
        for (size_t i = 0; i < static_cast<size_t>(group_); ++i) {
          if (i == p) continue;
          const double factor = a[i][p];
          for (size_t k = 0; k < a[i].size(); ++k) a[i][k] -= factor * a[p][k];
        }
      }
      for (size_t i = 0; i < kGroupMax; ++i) {
        for (size_t k = 0; k < kGroupMax; ++k) {
          out[i][k] = static_cast<float>(a[i][kGroupMax + k]);
        }
      }
    }
  }

  int subs() const { return elems_ / coded_.codec.sub_elems(); }

  Open open(int64_t row, int64_t block) {
    return {&coded_.grid(row, block), coded_.codes_of(row) + begin_, coded_.errors_of(row) + begin_,
            coded_.weights_of(row) + begin_, slopes_.data() + row * elems_};
  }

  // Moves the value of a column by `change`.
  void apply(const Open& open, int column, float change) const {
    open.errors[column] -= change;
    kernels::table().axpy(-change, hessian(begin_ + column, begin_), elems_, open.slope);
  }

  // What e H e^T changes by if the values of a group change so.
  double gain(const Open& open, int first, const float* change) const {
    double sum = 0;
    for (int i = 0; i < group_; ++i) {
      double along = -2 * static_cast<double>(open.slope[first + i]);
      for (int k = 0; k < group_; ++k) {
        along += static_cast<double>(h(first + i, first + k)) * static_cast<double>(change[k]);
      }
      sum += static_cast<double>(change[i]) * along;
    }
    return sum;
  }

  void move_codes(const Open& open) {
    for (int i = 0; i < elems_; i += group_) {
      const float step = open.grid->step[static_cast<size_t>(i / coded_.codec.sub_elems())];
      // Levels are whole multiples of the step apart.
      if (group_ == 1 && std::fabs(open.slope[i]) < 0.499F * std::fabs(step) * h(i, i)) continue;
      move_group(open, i);
    }
  }

  void move_group(const Open& open, int first) {
    std::array<float, kGroupMax> x, cost, values, change;
    std::array<codec::Code, kGroupMax> codes;
    const auto& inverse = inverse_[static_cast<size_t>(first / group_)];
    for (int j = 0; j < group_; ++j) {
      const auto at = static_cast<size_t>(j);
      const int column = first + j;
      float wanted = 0;
      if (group_ == 1) wanted = open.slope[column] / h(column, column);
      for (int k = 0; group_ > 1 && k < group_; ++k) {
        wanted += inverse[at][static_cast<size_t>(k)] * open.slope[first + k];
      }
      x[at] = open.weights[column] - open.errors[column] + wanted;
      cost[at] = h(column, column);
    }
    coded_.codec.round(*open.grid, first, x.data(), cost.data(), codes.data(), values.data());
    if (std::equal(codes.data(), codes.data() + group_, open.codes + first)) return;
    for (int j = 0; j < group_; ++j) {
      const auto at = static_cast<size_t>(j);
      change[at] = values[at] - (open.weights[first + j] - open.errors[first + j]);
    }
    if (!(gain(open, first, change.data()) < 0)) return;
    for (int j = 0; j < group_; ++j) apply(open, first + j, change[static_cast<size_t>(j)]);
    std::copy_n(codes.data(), group_, open.codes + first);
  }

  // u H u^T within each sub-block for its codes u, and for ones: what a change of a scale or a min
  // costs.
  void measure_codes() {
    const int size = coded_.codec.sub_elems();
    const auto rows = static_cast<size_t>(coded_.rows);
    const auto width = static_cast<size_t>(size);
    std::vector<float> levels(rows * width), products(rows * width);
    scale_cost_.resize(rows * static_cast<size_t>(subs()));
    for (int s = 0; s < subs(); ++s) {
      const int64_t first = begin_ + s * size;
      for (size_t r = 0; r < rows; ++r) {
        const codec::Code* codes = coded_.codes_of(static_cast<int64_t>(r)) + first;
        for (size_t i = 0; i < width; ++i) levels[r * width + i] = static_cast<float>(codes[i]);
      }
      kernels::table().gemm_f32({levels.data(), size, coded_.rows, hessian(first, first),
                                 q_.columns, size, size, products.data(), size});
      for (size_t r = 0; r < rows; ++r) {
        float sum = 0;
        for (size_t i = r * width; i < (r + 1) * width; ++i) sum += levels[i] * products[i];
        scale_cost_[r * static_cast<size_t>(subs()) + static_cast<size_t>(s)] = sum;
      }
      float sum = 0;
      for (int i = 0; i < size; ++i) {
        for (int k = 0; k < size; ++k) sum += *hessian(first + i, first + k);
      }
      min_cost_[static_cast<size_t>(s)] = sum;
    }
  }

  // The grid as the format would store it.
  codec::Grid stored(const codec::Grid& grid, const codec::Code* codes) const {
    std::array<std::byte, 512> bytes;
    std::array<codec::Code, kElemsMax> again;
    codec::Grid out;
    coded_.codec.pack(grid, codes, bytes.data());
    coded_.codec.unpack(bytes.data(), out, again.data());
    return out;
  }

  // The grid with all scales or mins moved by `by`, but those that leave the format's range, which
  // spill into others' bits: they are found by what comes back.
  codec::Grid moved(const Open& open, bool is_min, int by) const {
    codec::Grid grid = *open.grid;
    const auto integers = [&](codec::Grid & of) -> auto& { return is_min ? of.min : of.scale; };
    for (size_t s = 0; s < static_cast<size_t>(subs()); ++s) {
      integers(grid)[s] = static_cast<int16_t>(integers(grid)[s] + by);
    }
    codec::Grid back = stored(grid, open.codes);
    if (integers(back) == integers(grid) && back.d == grid.d && back.dmin == grid.dmin) return back;
    for (size_t s = 0; s < static_cast<size_t>(subs()); ++s) {
      if (integers(back)[s] == integers(grid)[s]) continue;
      integers(grid)[s] = static_cast<int16_t>(integers(grid)[s] - by);
    }
    back = stored(grid, open.codes);
    return back.d == grid.d && back.dmin == grid.dmin ? back : *open.grid;
  }

  // One integer more or less in each sub-block, whichever way the slope shows, where that pays.
  void move_scales(const Open& open, int64_t row) {
    for (const bool is_min : {false, true}) {
      for (const int by : {1, -1}) {
        const codec::Grid other = moved(open, is_min, by);
        for (int s = 0; s < subs(); ++s) {
          const auto sub = static_cast<size_t>(s);
          const auto& integers = is_min ? open.grid->min : open.grid->scale;
          if ((is_min ? other.min : other.scale)[sub] == integers[sub]) continue;
          const float cost =
              is_min ? min_cost_[sub] : scale_cost_[static_cast<size_t>(row * subs()) + sub];
          try_sub(open, other, s, is_min, cost);
        }
      }
    }
  }

  void try_sub(const Open& open, const codec::Grid& other, int s, bool is_min, float cost) {
    const auto sub = static_cast<size_t>(s);
    const int size = coded_.codec.sub_elems(), first = s * size;
    const float by = is_min ? open.grid->offset[sub] - other.offset[sub]
                            : other.step[sub] - open.grid->step[sub];
    float slope = 0;
    for (int i = first; i < first + size; ++i) {
      slope += open.slope[i] * (is_min ? 1.0F : static_cast<float>(open.codes[i]));
    }
    if (!(by * (by * cost - 2 * slope) < 0)) return;
    for (int i = first; i < first + size; ++i) {
      apply(open, i, is_min ? by : by * static_cast<float>(open.codes[i]));
    }
    (is_min ? open.grid->min : open.grid->scale)[sub] = (is_min ? other.min : other.scale)[sub];
    open.grid->step[sub] = is_min ? open.grid->step[sub] : other.step[sub];
    open.grid->offset[sub] = is_min ? other.offset[sub] : open.grid->offset[sub];
  }

  const Quadratic& q_;
  CodedRows& coded_;
  int elems_, group_;
  int64_t begin_ = 0;
  std::vector<float> slopes_;      // [rows, elems]
  std::vector<float> scale_cost_;  // [rows, subs]
  std::array<float, codec::kSubBlocksMax> min_cost_{};
  std::array<std::array<std::array<float, kGroupMax>, kGroupMax>, kElemsMax / kGroupMax> inverse_{};
};

}  // namespace

void descend(const Quadratic& quadratic, int passes, CodedRows& coded) {
  Descent descent(quadratic, coded);
  for (int i = 0; i < passes; ++i) descent.pass();
  // What moved was added up; the errors are those of the codes.
  for (int64_t row = 0; row < coded.rows; ++row) {
    for (int64_t b = 0; b < coded.blocks; ++b) coded.update_errors(row, b);
  }
}

}  // namespace karat::rounding
