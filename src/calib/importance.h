// Importance statistics ("imatrix"): per linear layer, column and expert the sums of x^2 and x over
// the rows that reach it (llama-imatrix's rules, FORMATS.md section 5.3; sums in double).
#pragma once

#include <cstdint>
#include <string>

#include "base/threads.h"
#include "calib/corpus.h"
#include "calib/stream_checkpoint.h"
#include "exec/batches.h"
#include "exec/resident.h"
#include "model/tap.h"
#include "tensor/statistics.h"

namespace karat::calib {

// Adds up what passes, columns spread over the pool's threads. In every column rows are added in
// the order in which they come, so the sums depend on neither threads nor batch sizes.
class ImportanceTap : public KeptTap {
 public:
  // `experts`: matrices in an expert tensor. `with_output`: collect output.weight too.
  ImportanceTap(int64_t experts, bool with_output, base::ThreadPool& pool)
      : experts_(experts), with_output_(with_output), pool_(pool) {}
  void linear_input(const model::LinearInput& input) override;
  std::string name() const override { return "importance"; }
  void keep(StatisticsWriter& out) const override;
  void take_up(StatisticsReader& in) override;
  // The rows that enter output.weight, for who does not compute logits: hidden [batch rows, cols].
  void see_output(const float* hidden, const exec::Batch& batch, int64_t cols);

  // Error{bad_input} naming the layer if a sum is not finite ("after chunk N" is the caller's).
  void require_finite(const std::string& model) const;
  tensor::Importance& importance() { return importance_; }

 private:
  int64_t experts_;
  bool with_output_;
  base::ThreadPool& pool_;
  tensor::Importance importance_;
};

struct CalibrateOptions {
  bool process_output = false;  // also the input of output.weight
  int64_t batch_tokens = 2048;  // tokens per forward pass: whole chunks, longer ones in pieces
  model::ForwardOptions forward = {};
  std::vector<KeptTap*> also = {};  // further taps on the same pass
};

// Runs every chunk of the corpus from an empty state through the trunk and, if the model has one,
// the MTP block (which sees one row fewer per chunk). The result counts chunks of chunk_size, as
// many as the tokens of whole sequences would fill. `datasets` are left to the caller.
tensor::Importance calibrate(const exec::ResidentModel& model, const Corpus& corpus,
                             const CalibrateOptions& options, base::ThreadPool& pool);

// Chunks and their size, as the corpus has them.
void set_chunks(tensor::Importance& importance, const Corpus& corpus);

}  // namespace karat::calib
