// A model as eval scores it: in memory, block by block, or from kept hidden rows.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "calib/corpus.h"
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

  // After one of them: the same model in another arithmetic of the same layout, with the weights
  // in memory if they are there, else block by block.
  eval::Scorer& again(const eval::Chunks& chunks, const eval::ScoreOptions& options,
                      const Common& common, base::ThreadPool& pool, uint64_t beside = 0);

  eval::Scorer& scorer() { return *passes_.front().scorer; }
  // Bytes that it holds from then on.
  uint64_t held_bytes() const { return held_bytes_; }
  // After stream() or take().
  const eval::HiddenRows& hidden() const { return *passes_.front().hidden; }

 private:
  struct Pass {
    std::unique_ptr<eval::HiddenRows> hidden;  // null for a model in memory
    std::unique_ptr<eval::Scorer> scorer;
  };
  void add_streamed(const eval::Chunks& chunks, const eval::ScoreOptions& options,
                    const Common& common, base::ThreadPool& pool, uint64_t beside);
  void add_hidden(eval::HiddenRows rows, const eval::ScoreOptions& options, base::ThreadPool& pool);

  model::OpenedModel opened_;
  std::unique_ptr<exec::ResidentModel> resident_;
  std::vector<Pass> passes_;
  uint64_t held_bytes_ = 0;
};

// The tokens that evaluations score, cut into chunks.
struct ScoredText {
  // Error{usage} without a file; as calib::read_corpus() and make_tokenizer(). At most chunks_max
  // chunks unless that is negative.
  ScoredText(const std::string& file, const model::OpenedModel& opened, int64_t n_ctx,
             int64_t chunks_max);
  eval::Chunks chunks() const;

 private:
  calib::Corpus corpus_;
  int64_t n_ctx_;
};

}  // namespace karat::cli
