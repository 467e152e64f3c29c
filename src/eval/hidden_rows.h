// The rows after the final norm at the scored positions: all of a pass that its logits need, H
// numbers a position instead of the vocabulary's. Whoever has the output matrix gets the logits
// back, bit for bit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/scorer.h"
#include "exec/stream.h"
#include "format/safetensors.h"
#include "tensor/source.h"

namespace karat::eval {

struct HiddenRows {
  std::vector<int32_t> tokens;  // [chunks * n_ctx]
  int64_t n_ctx = 0, count = 0, width = 0;
  std::vector<float> rows;  // [count * scored, width]
  // What made them: model::trunk_identity(), and the arithmetic's name.
  std::string model, activations;

  Chunks chunks() const { return {tokens, n_ctx, count}; }
};

// A pass block by block, for models that need not fit into memory (exec/stream.h); the same bits as
// ResidentScorer's. `tap` may be null. Error{bad_input} as its constructor's and run()'s.
HiddenRows stream_hidden_rows(const tensor::TensorSource& source, const model::Config& config,
                              const Chunks& chunks, const exec::StreamOptions& options,
                              model::Tap* tap, base::ThreadPool& pool);
// Bytes beside the stream's own that this takes.
uint64_t hidden_rows_bytes(const model::Config& config, const Chunks& chunks);

// A safetensors file (FORMATS.md section 7.4).
void write_hidden_rows(const std::string& path, const HiddenRows& rows);

// Such a file, of which no rows are read yet.
class HiddenRowsReader {
 public:
  // Only the first `chunks_max` chunks, unless that is negative. Error{bad_input} for other files.
  explicit HiddenRowsReader(const std::string& path, int64_t chunks_max = -1);
  // Bytes that read() takes.
  uint64_t bytes() const;
  // Error{bad_input} if a row is not finite.
  HiddenRows read() const;

 private:
  format::SafetensorsSource file_;
  HiddenRows head_;  // without tokens and rows
};

// Logits of kept rows through the output matrix of `source`, the only weights it reads.
class HiddenScorer : public Scorer {
 public:
  // `rows` and `config` must outlive it. Error{bad_input} if the rows were made by another model
  // or arithmetic, or a token is outside the vocabulary.
  HiddenScorer(const tensor::TensorSource& source, const model::Config& config,
               const HiddenRows& rows, const model::ForwardOptions& options,
               base::ThreadPool& pool);
  // Bytes beside the rows that it holds: the output matrix and the logits of a chunk.
  static uint64_t bytes_needed(const tensor::TensorSource& source, const model::Config& config,
                               const Chunks& chunks);
  void run(int64_t first, int64_t count) override;
  int64_t chunks_per_batch() const override { return 1; }
  const float* logits(int64_t chunk) override;

 private:
  const HiddenRows& rows_;
  std::string origin_;
  model::ForwardOptions options_;
  base::ThreadPool& pool_;
  model::WeightBytes bytes_;
  model::HeadWeights head_;  // only output
  std::vector<float> logits_;
};

}  // namespace karat::eval
