// One mutable timeline of a resident model: hand over a prompt, take tokens one by one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"
#include "exec/resident.h"

namespace karat::exec {

// A copy goes on from the same place.
class Session {
 public:
  // The model and the pool must outlive the session. At most `context_max` tokens fit. Error{usage}
  // if the cache types do not fit the model's heads.
  Session(const ResidentModel& model, base::ThreadPool& pool, int64_t context_max,
          model::ForwardOptions options = {}, model::CacheTypes cache = {});

  int64_t length() const { return state_.length(); }
  int64_t room() const { return context_max_ - length(); }

  // Appends tokens (at most room() of them) and returns the logits [vocab] after the last one;
  // valid until the next call. Long prompts go through in pieces; base::stop_if_interrupted is not
  // called.
  std::span<const float> feed(std::span<const int32_t> tokens);
  // How many tokens of a long prompt go through the model at a time (default kPieceTokens); changes
  // no result.
  static constexpr int64_t kPieceTokens = 512;
  void set_piece_tokens(int64_t tokens);
  // Back to an empty state.
  void clear();

 private:
  const ResidentModel& model_;
  base::ThreadPool& pool_;
  int64_t context_max_;
  int64_t piece_tokens_ = kPieceTokens;
  model::ForwardOptions options_;
  model::CacheTypes cache_;
  model::SequenceState state_;
  std::vector<float> hidden_, logits_;
};

}  // namespace karat::exec
