#include "exec/resident.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/text.h"
#include "model/block.h"
#include "model/names.h"

namespace karat::exec {

ResidentModel::ResidentModel(const tensor::TensorSource& source, model::Config config,
                             bool with_mtp, model::Layout layout, base::ThreadPool* pool)
    : config_(std::move(config)), origin_(source.origin()), layout_(layout), bytes_(layout, pool) {
  bind(source, with_mtp);
}

ResidentModel::ResidentModel(const tensor::TensorSource& source, model::Config config,
                             bool with_mtp, model::Layout layout, base::ThreadPool& pool,
                             uint64_t experts_max)
    : config_(std::move(config)), origin_(source.origin()), layout_(layout), bytes_(layout, &pool) {
  bytes_.leave_experts();
  bind(source, with_mtp);
  experts_ = std::make_unique<ExpertCache>(source, pool);
  for (model::BlockWeights& block : blocks_) experts_->adopt(block);
  if (mtp_) experts_->adopt(mtp_->block);
  experts_->reserve(experts_max);
}

void ResidentModel::bind(const tensor::TensorSource& source, bool with_mtp) {
  head_ = model::bind_head(source, config_, bytes_);
  for (int64_t layer = 0; layer < config_.layers(); ++layer) {
    base::stop_if_interrupted();
    blocks_.push_back(model::bind_block(source, config_, layer, bytes_));
  }
  if (with_mtp && config_.mtp_layers > 0) mtp_ = model::bind_mtp(source, config_, bytes_);
}

void require_finite(const std::string& origin, std::span<const float> values) {
  if (std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) return;
  throw base::fail(base::ErrorKind::bad_input,
                   "%s: it computes NaN or infinity; its weights are damaged, convert it to see "
                   "which",
                   base::printable(origin).c_str());
}

void ResidentModel::forward(const model::ForwardContext& context,
                            std::span<const model::Segment> segments,
                            std::span<const int32_t> tokens, float* hidden) const {
  int64_t rows = 0;
  for (const model::Segment& segment : segments) rows += segment.rows;
  CHECK(static_cast<int64_t>(tokens.size()) == rows);
  model::embed(context, head_, tokens, hidden);
  constexpr int64_t kRowsToGuessFor = 16;  // more rows want most experts anyway
  const bool guesses = experts_ != nullptr && rows <= kRowsToGuessFor;
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    model::forward_block(context, blocks_[layer], segments, hidden);
    if (!guesses || layer + 1 == blocks_.size()) continue;
    const model::BlockWeights& next = blocks_[layer + 1];
    experts_->expect(next.layer, model::likely_experts(context, next, hidden, rows));
  }
  model::final_norm(context, head_, hidden, rows, hidden);
  for (const model::Segment& segment : segments) segment.state->advance(segment.rows);
}

}  // namespace karat::exec
