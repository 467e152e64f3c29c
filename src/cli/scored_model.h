// A model as eval scores it: in memory, block by block, or from kept hidden rows.
#pragma once

#include <memory>
#include <string>

#include "cli/command.h"
#include "eval/hidden_rows.h"
#include "eval/scorer.h"
#include "exec/resident.h"
#include "model/open.h"

namespace karat::cli {

class ScoredModel {
 public:
  explicit ScoredModel(const std::string& path) : opened_(model::open_model(path)) {}
  const model::OpenedModel& opened() const { return opened_; }
  // Bytes of its weights, if it is kept in memory.
  uint64_t weights_bytes() const;

  // One of these three, then scorer(). `pool` and the chunks' tokens must outlive this object.
  // Error{memory} with what would fit.
  void load(const eval::Chunks& chunks, const eval::ScoreOptions& options, const Common& common,
            base::ThreadPool& pool);
  void stream(const eval::Chunks& chunks, const eval::ScoreOptions& options, const Common& common,
              base::ThreadPool& pool);
  void take(eval::HiddenRows rows, const eval::ScoreOptions& options, base::ThreadPool& pool);

  eval::Scorer& scorer() { return *scorer_; }
  // After stream() or take().
  const eval::HiddenRows& hidden() const { return hidden_; }

 private:
  model::OpenedModel opened_;
  std::unique_ptr<exec::ResidentModel> resident_;
  eval::HiddenRows hidden_;
  std::unique_ptr<eval::Scorer> scorer_;
};

}  // namespace karat::cli
