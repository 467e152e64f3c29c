// The multi-token prediction block: one more attention block that sees, for each row, the next
// token's embedding beside the trunk's hidden row.

#include <algorithm>

#include "base/error.h"
#include "model/block.h"
#include "model/linear.h"
#include "model/scratch.h"

namespace karat::model {

void forward_mtp(const ForwardContext& context, const MtpWeights& weights, const HeadWeights& head,
                 std::span<const Segment> segments, std::span<const int32_t> tokens,
                 const float* hidden, float* out) {
  const int64_t width = context.config.hidden;
  const int64_t layer = weights.block.layer;
  const Batch batch = make_batch(context, layer, segments);
  const int64_t rows = batch.rows;
  CHECK(static_cast<int64_t>(tokens.size()) == rows);

  Rows embedded(rows, width);
  embed(context, head, tokens, embedded.data());
  Rows joined(rows, 2 * width);  // [RMS(embedding) | RMS(hidden)]
  for_pieces(context.pool, rows, 4 * width, [&](int64_t begin, int64_t end) {
    const float eps = context.config.rms_eps;
    for (int64_t r = begin; r < end; ++r) {
      float* row = joined.row(r);
      context.kernels.rms_norm(embedded.row(r), weights.enorm.data(), eps, width, row);
      context.kernels.rms_norm(hidden + r * width, weights.hnorm.data(), eps, width, row + width);
    }
  });
  tap_input(context, batch, weights.eh_proj, layer, joined.data());
  Rows x(rows, width);
  apply_linear(context, weights.eh_proj, 0, joined.data(), joined.cols(), rows, x.data(), width);
  forward_block(context, weights.block, segments, x.data());
  norm_rows(context, x.data(), weights.head_norm, rows, out);
}

}  // namespace karat::model
