#include "exec/session.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/dispatch.h"

namespace karat::exec {

Session::Session(const ResidentModel& model, base::ThreadPool& pool, int64_t context_max,
                 model::ForwardOptions options, model::CacheTypes cache)
    : model_(model),
      pool_(pool),
      context_max_(context_max),
      options_(options),
      cache_(cache),
      state_(model.config(), cache),
      logits_(static_cast<size_t>(model.config().vocab)) {
  state_.reserve(context_max);
}

std::span<const float> Session::feed(std::span<const int32_t> tokens) {
  CHECK(!tokens.empty() && static_cast<int64_t>(tokens.size()) <= room());
  const model::ForwardContext context{model_.config(), pool_, kernels::table(), options_, nullptr};
  const auto width = static_cast<size_t>(model_.config().hidden);
  size_t rows = 0;
  for (size_t begin = 0; begin < tokens.size(); begin += rows) {
    rows = std::min(static_cast<size_t>(piece_tokens_), tokens.size() - begin);
    hidden_.resize(rows * width);
    const model::Segment segment{0, static_cast<int64_t>(rows), &state_};
    model_.forward(context, std::span(&segment, 1), tokens.subspan(begin, rows), hidden_.data());
  }
  model::logits(context, model_.head(), hidden_.data() + (rows - 1) * width, 1, {}, logits_.data());
  model_.require_finite(logits_);
  return logits_;
}

void Session::set_piece_tokens(int64_t tokens) {
  CHECK(tokens >= 1);
  piece_tokens_ = tokens;
}

void Session::clear() {
  state_ = model::SequenceState(model_.config(), cache_);
  state_.reserve(context_max_);
}

}  // namespace karat::exec
