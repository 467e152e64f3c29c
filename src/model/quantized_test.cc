#include "model/quantized.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/rng.h"
#include "kernels/dispatch.h"

namespace karat::model {
namespace {

const Config kConfig;

// What the table's own functions make of the rows one by one.
TEST(QuantizeRows, AreTheTablesTilesOfEachJob) {
  base::Rng rng(1);
  const int64_t cols = 288, ldx = 300, most = 29;
  std::vector<float> x(static_cast<size_t>(most * ldx));
  for (float& value : x) value = static_cast<float>(rng.uniform() - 0.5);
  for (const kernels::KernelTable* table : kernels::supported_tables()) {
    for (const int threads : {1, 3}) {
      base::ThreadPool pool(threads);
      const ForwardContext context{kConfig, pool, *table};
      const int64_t counts[] = {most, 1, 0, 12};
      std::vector<Tiles> tiles;
      std::vector<QuantizeJob> jobs;
      for (const int64_t rows : counts) {
        tiles.emplace_back(rows, cols);
        jobs.push_back({x.data(), ldx, rows, cols, tiles.back().data()});
      }
      quantize_rows(context, jobs);
      for (const QuantizeJob& job : jobs) {
        const int64_t panels = kernels::panels_of(cols);
        std::vector<kernels::QuantizedBlock> blocks(static_cast<size_t>(job.rows * panels));
        std::vector<const kernels::QuantizedBlock*> pointers;
        for (int64_t r = 0; r < job.rows; ++r) {
          pointers.push_back(blocks.data() + r * panels);
          table->quantize_row(x.data() + r * ldx, cols, blocks.data() + r * panels);
        }
        std::vector<std::byte> expected(blocks.size() * sizeof blocks[0]);
        table->tile_rows(pointers.data(), job.rows, panels, expected.data());
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), job.out)) << table->name;
      }
    }
  }
}

// Rows picked in any order, and rows that are made of their gate and up halves.
TEST(QuantizeRows, PicksAndGatesAsTheSeparateSteps) {
  base::Rng rng(2);
  const int64_t cols = 64, rows = 15;
  std::vector<float> x(static_cast<size_t>(rows * 2 * cols));
  for (float& value : x) value = static_cast<float>(4 * rng.uniform() - 2);
  std::vector<int32_t> pick(static_cast<size_t>(rows));
  for (int32_t& row : pick) row = static_cast<int32_t>(rng.below(rows));
  base::ThreadPool pool(2);
  const ForwardContext context{kConfig, pool, kernels::table()};
  std::vector<float> plain(static_cast<size_t>(rows * cols));
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x.data() + pick[static_cast<size_t>(r)] * 2 * cols;
    context.kernels.silu_mul(row, row + cols, cols, plain.data() + r * cols);
  }
  const Tiles at_once(rows, cols), separate(rows, cols);
  const QuantizeJob jobs[] = {{x.data(), 2 * cols, rows, cols, at_once.data(), pick.data(), true},
                              {plain.data(), cols, rows, cols, separate.data()}};
  quantize_rows(context, jobs);
  EXPECT_TRUE(std::equal(at_once.data(), at_once.row(rows, cols), separate.data()));
}

}  // namespace
}  // namespace karat::model
