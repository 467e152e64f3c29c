#include "model/quantized.h"

#include <array>
#include <vector>

#include "base/error.h"

namespace karat::model {
namespace {

using kernels::QuantizedBlock;

constexpr int64_t kTileMax = 16;  // of any table

struct Tile {
  const QuantizeJob* job;
  int64_t first, width;
};

void quantize_one(const kernels::KernelTable& kernels, const QuantizeJob& job, int64_t row,
                  QuantizedBlock* out) {
  const float* x = job.x + (job.pick == nullptr ? row : job.pick[row]) * job.ldx;
  if (!job.gated) return kernels.quantize_row(x, job.cols, out);
  const Scratch product(static_cast<size_t>(job.cols));
  kernels.silu_mul(x, x + job.cols, job.cols, product.get());
  kernels.quantize_row(product.get(), job.cols, out);
}

void quantize_tile(const kernels::KernelTable& kernels, const Tile& tile) {
  const QuantizeJob& job = *tile.job;
  const int64_t panels = kernels::panels_of(job.cols);
  std::byte* out = job.out + tile.first * panels * static_cast<int64_t>(sizeof(QuantizedBlock));
  if (tile.width == 1) {
    return quantize_one(kernels, job, tile.first, reinterpret_cast<QuantizedBlock*>(out));
  }
  const Scratch words(static_cast<size_t>(tile.width * panels * kernels::kBlockWords));
  auto* blocks = reinterpret_cast<QuantizedBlock*>(words.get());
  std::array<const QuantizedBlock*, kTileMax> rows;
  for (int64_t r = 0; r < tile.width; ++r) {
    rows[static_cast<size_t>(r)] = blocks + r * panels;
    quantize_one(kernels, job, tile.first + r, blocks + r * panels);
  }
  kernels.tile_rows(rows.data(), tile.width, panels, out);
}

}  // namespace

void quantize_rows(const ForwardContext& context, std::span<const QuantizeJob> jobs) {
  const int64_t tile_max = context.kernels.tile_max;
  CHECK(tile_max <= kTileMax);
  std::vector<Tile> tiles;
  int64_t elements = 0;
  for (const QuantizeJob& job : jobs) {
    CHECK(job.cols % kernels::kBlockCols == 0);
    elements += job.rows * job.cols;
    for (int64_t r = 0; r < job.rows; r += tiles.back().width) {
      tiles.push_back({&job, r, kernels::tile_width(job.rows - r, tile_max)});
    }
  }
  const auto count = static_cast<int64_t>(tiles.size());
  for_pieces(context.pool, count, elements / std::max<int64_t>(count, 1),
             [&](int64_t begin, int64_t end) {
               for (int64_t t = begin; t < end; ++t) {
                 quantize_tile(context.kernels, tiles[static_cast<size_t>(t)]);
               }
             });
}

}  // namespace karat::model
