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

}  // namespace
}  // namespace karat::model
