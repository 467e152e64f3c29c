#include "model/linear.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "model/activations.h"
#include "model/quantized.h"
#include "model/scratch.h"

namespace karat::model {
namespace {

using tensor::DType;

// Output features [first, last) times rows [row_first, row_last) of one job.
struct Tile {
  const LinearJob* job;
  int64_t first, last, row_first, row_last;
};

constexpr int64_t kPanelFloats = 1 << 16;  // a decoded panel of weights: 256 KiB, half of an L2
constexpr int64_t kRowsPerTile = 256;      // enough to pay for decoding the panel
// Of an integer product: a multiple of every table's tile_max.
constexpr int64_t kQuantizedRowsPerTile = 192;

// Multiply-adds of all jobs.
int64_t work_of(std::span<const LinearJob> jobs) {
  int64_t work = 0;
  for (const LinearJob& job : jobs) work += job.rows * job.w->rows * job.w->cols;
  return work;
}

// Panels as wide as the cache allows, narrower where there would be too few for the threads.
std::vector<Tile> make_tiles(std::span<const LinearJob> jobs, int threads) {
  const int64_t share = work_of(jobs) / (threads == 1 ? 1 : int64_t{4} * threads);
  std::vector<Tile> tiles;
  for (const LinearJob& job : jobs) {
    if (job.rows == 0) continue;
    const bool packed = job.w->layout == Layout::panels;
    const int64_t rows_per_tile = packed ? kQuantizedRowsPerTile : kRowsPerTile;
    const int64_t cols = std::max<int64_t>(job.w->cols, 1);
    const int64_t fit =
        packed ? job.w->rows + 15 : std::clamp<int64_t>(kPanelFloats / cols, 16, 256);
    const int64_t wanted = share / (std::min(job.rows, rows_per_tile) * cols);
    const int64_t features = std::clamp<int64_t>((wanted + 15) / 16 * 16, 16, fit);
    for (int64_t first = 0; first < job.w->rows; first += features) {
      const int64_t last = std::min(first + features, job.w->rows);
      for (int64_t row = 0; row < job.rows; row += rows_per_tile) {
        tiles.push_back({&job, first, last, row, std::min(row + rows_per_tile, job.rows)});
      }
    }
  }
  return tiles;
}

template <class Weight>
kernels::GemmArgs<Weight> gemm_args(const Tile& tile, const Weight* w) {
  const LinearJob& job = *tile.job;
  const float* x = job.x + tile.row_first * job.ldx;
  float* y = job.y + tile.row_first * job.ldy + tile.first;
  const int64_t k = job.w->cols;
  return {x, job.ldx, tile.row_last - tile.row_first, w, k, tile.last - tile.first, k, y, job.ldy};
}

// tile.first is the first of a group, and tile.row_first of a tile of quantized rows.
void run_packed_tile(const kernels::KernelTable& kernels, const Tile& tile) {
  const LinearJob& job = *tile.job;
  const Linear& w = *job.w;
  const int64_t row_bytes =
      kernels::panels_of(w.cols) * static_cast<int64_t>(sizeof(kernels::QuantizedBlock));
  kernels.gemm_i8({w.dtype, w.panels_at(job.expert, tile.first), tile.last - tile.first, w.cols,
                   job.tiles + tile.row_first * row_bytes, tile.row_last - tile.row_first,
                   job.y + tile.row_first * job.ldy + tile.first, job.ldy});
}

// Inputs of a product of bf16 pairs: bf16 rows an odd number of cache lines apart where cols are a
// multiple of 64, so that neighbours do not fall into the same sets.
constexpr int64_t pair_stride(int64_t cols) { return (cols + 1) / 2 * 2 + 32; }

void run_pair_tile(const kernels::KernelTable& kernels, const Tile& tile) {
  const LinearJob& job = *tile.job;
  const Linear& w = *job.w;
  const std::byte* panel = w.expert(job.expert) + tile.first * w.row_bytes();
  const int64_t stride = pair_stride(w.cols);
  kernels.gemm_bf16_pairs({reinterpret_cast<const uint16_t*>(job.x) + tile.row_first * stride,
                           stride, tile.row_last - tile.row_first,
                           reinterpret_cast<const uint16_t*>(panel), w.cols, tile.last - tile.first,
                           w.cols, job.y + tile.row_first * job.ldy + tile.first, job.ldy});
}

void run_tile(Activations activations, const kernels::KernelTable& kernels, const Tile& tile) {
  constexpr int64_t kRowsForDecoding = 16;  // below, 16-bit weights are widened on the way
  const Linear& w = *tile.job->w;
  if (w.layout == Layout::panels) return run_packed_tile(kernels, tile);
  if (rounding_for(activations, w.dtype) == Rounding::pairs) return run_pair_tile(kernels, tile);
  const std::byte* panel = w.expert(tile.job->expert) + tile.first * w.row_bytes();
  const bool few = tile.row_last - tile.row_first < kRowsForDecoding;
  if (w.dtype == DType::f32) {
    kernels.gemm_f32(gemm_args(tile, reinterpret_cast<const float*>(panel)));
  } else if (w.dtype == DType::bf16 && few) {
    kernels.gemm_bf16(gemm_args(tile, reinterpret_cast<const uint16_t*>(panel)));
  } else if (w.dtype == DType::f16 && few) {
    kernels.gemm_f16(gemm_args(tile, reinterpret_cast<const uint16_t*>(panel)));
  } else {
    const int64_t elements = (tile.last - tile.first) * w.cols;
    const Scratch decoded(static_cast<size_t>(elements));
    kernels.decode(w.dtype, panel, elements, decoded.get());
    kernels.gemm_f32(gemm_args<float>(tile, decoded.get()));
  }
}

// Replaces the inputs of the jobs by rounded copies, made once per distinct input and rounding.
std::vector<Rows> round_inputs(const ForwardContext& context, std::vector<LinearJob>& jobs) {
  struct Rounded {
    const float* x;
    int64_t rows, cols;
    Rounding rounding;
    const float* copy;
  };
  std::vector<Rounded> done;
  std::vector<Rows> copies;
  for (LinearJob& job : jobs) {
    const Rounding rounding = rounding_for(context.options.activations, job.w->dtype);
    if (rounding == Rounding::none || job.rows == 0) continue;
    const int64_t cols = job.w->cols;
    const auto same = [&](const Rounded& r) {
      return r.x == job.x && r.rows == job.rows && r.cols == cols && r.rounding == rounding;
    };
    auto found = std::find_if(done.begin(), done.end(), same);
    if (found == done.end()) {
      const int64_t width = rounding == Rounding::pairs ? pair_stride(cols) / 2 : cols;
      Rows& copy = copies.emplace_back(job.rows, width);
      for_pieces(context.pool, job.rows, 8 * cols, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          round_row(rounding, context.kernels, job.x + r * job.ldx, cols, copy.row(r));
        }
      });
      done.push_back({job.x, job.rows, cols, rounding, copy.data()});
      found = done.end() - 1;
    }
    job.x = found->copy;
    job.ldx = cols;
  }
  return copies;
}

// Gives the jobs of packed weights their quantized inputs, made once per distinct input.
std::vector<Tiles> quantize_inputs(const ForwardContext& context, std::vector<LinearJob>& jobs) {
  std::vector<Tiles> tiles;
  std::vector<QuantizeJob> distinct;
  for (LinearJob& job : jobs) {
    if (job.w->layout != Layout::panels || job.tiles != nullptr || job.rows == 0) continue;
    const int64_t cols = job.w->cols;
    const auto same = [&](const QuantizeJob& q) {
      return q.x == job.x && q.rows == job.rows && q.cols == cols;
    };
    auto found = std::find_if(distinct.rbegin(), distinct.rend(), same);
    if (found == distinct.rend()) {
      tiles.emplace_back(job.rows, cols);
      distinct.push_back({job.x, job.ldx, job.rows, cols, tiles.back().data()});
      found = distinct.rbegin();
    }
    job.tiles = found->out;
  }
  quantize_rows(context, distinct);
  return tiles;
}

}  // namespace

void apply_linears(const ForwardContext& context, std::span<const LinearJob> jobs) {
  const bool integers = context.options.activations == Activations::q8;
  for (const LinearJob& job : jobs) {
    CHECK(*job.w && job.expert >= 0 && job.expert < job.w->experts);
    const bool packed = job.w->layout == Layout::panels;
    CHECK(packed == (integers && kernels::has_integer_form(job.w->dtype)));
  }
  std::vector<LinearJob> rounded(jobs.begin(), jobs.end());
  const std::vector<Rows> copies = round_inputs(context, rounded);
  const std::vector<Tiles> quantized = quantize_inputs(context, rounded);
  const std::vector<Tile> tiles = make_tiles(rounded, context.pool.size());
  const auto count = static_cast<int64_t>(tiles.size());
  constexpr int64_t kProductsPerOperation =
      8;  // of vector code, against for_pieces' scalar measure
  const int64_t cost = work_of(rounded) / kProductsPerOperation / std::max<int64_t>(count, 1);
  for_pieces(context.pool, count, cost, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      run_tile(context.options.activations, context.kernels, tiles[static_cast<size_t>(t)]);
    }
  });
}

void apply_linear(const ForwardContext& context, const Linear& w, int64_t expert, const float* x,
                  int64_t ldx, int64_t rows, float* y, int64_t ldy) {
  const LinearJob job{&w, expert, x, ldx, rows, y, ldy};
  apply_linears(context, {&job, 1});
}

}  // namespace karat::model
