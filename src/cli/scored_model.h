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
  // Bytes that it takes in memory, with a pass over the chunks.
  uint64_t resident_bytes(const eval::Chunks& chunks, const eval::ScoreOptions& options) const;
  // Error{bad_input} if the output matrix is missing or of another shape, for who would otherwise
  // find out after hours. Reads nothing.
  void require_head() const;

  // One of these three, then scorer(). `pool` and the chunks' tokens must outlive this object.
  // `beside`: bytes that others hold meanwhile. Error{memory} with what would fit.
  void load(const eval::Chunks& chunks, const eval::ScoreOptions& options, const Common& common,
            base::ThreadPool& pool, uint64_t beside = 0);
  void stream(const eval::Chunks& chunks, const eval::ScoreOptions& options, const Common& common,
              base::ThreadPool& pool, uint64_t beside = 0);
  void take(eval::HiddenRows rows, const eval::ScoreOptions& options, base::ThreadPool& pool);

  eval::Scorer& scorer() { return *scorer_; }
  // Bytes that it holds from then on.
  uint64_t held_bytes() const { return held_bytes_; }
  // After stream() or take().
  const eval::HiddenRows& hidden() const { return hidden_; }

 private:
  model::OpenedModel opened_;
  std::unique_ptr<exec::ResidentModel> resident_;
  eval::HiddenRows hidden_;
  std::unique_ptr<eval::Scorer> scorer_;
  uint64_t held_bytes_ = 0;
};

}  // namespace karat::cli
