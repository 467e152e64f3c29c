// Both ends of the model: the embedding table, the final norm and the output matrix.

#include <algorithm>

#include "base/error.h"
#include "model/block.h"
#include "model/linear.h"
#include "model/scratch.h"

namespace karat::model {

void embed(const ForwardContext& context, const HeadWeights& head, std::span<const int32_t> ids,
           float* out) {
  const Linear& table = head.token_embd;
  for (const int32_t id : ids) {
    if (id < 0 || id >= table.rows) {
      throw base::fail(base::ErrorKind::bad_input, "token id %d is outside the vocabulary of %lld",
                       id, static_cast<long long>(table.rows));
    }
  }
  const auto rows = static_cast<int64_t>(ids.size());
  for_pieces(context.pool, rows, 2 * table.cols, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const std::byte* row = table.data + ids[static_cast<size_t>(r)] * table.row_bytes();
      context.kernels.decode(table.dtype, row, table.cols, out + r * table.cols);
    }
  });
}

void final_norm(const ForwardContext& context, const HeadWeights& head, const float* x,
                int64_t rows, float* out) {
  norm_rows(context, x, head.output_norm, rows, out);
  const int64_t hidden = context.config.hidden;
  tap_stage(context, "final_norm", -1, out, rows, hidden, hidden);
}

void logits(const ForwardContext& context, const HeadWeights& head, const float* h, int64_t rows,
            std::span<const RowOrigin> origins, float* out) {
  const Linear& w = head.output;
  if (context.tap != nullptr) {
    CHECK(static_cast<int64_t>(origins.size()) == rows);
    context.tap->linear_input({w.name, -1, h, rows, w.cols, w.cols, origins});
  }
  apply_linear(context, w, 0, h, w.cols, rows, out, w.rows);
}

}  // namespace karat::model
