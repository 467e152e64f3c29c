// Calibration of models that need not fit into memory: block by block over the whole corpus
// (exec/stream.h). The statistics are the same bits as calibrate()'s.
#pragma once

#include <cstdint>
#include <string>

#include "calib/corpus.h"
#include "calib/hessian.h"
#include "calib/importance.h"
#include "exec/stream.h"
#include "tensor/source.h"
#include "tensor/statistics.h"

namespace karat::calib {

struct StreamedOptions {
  bool process_output = false;  // also the input of output.weight
  exec::StreamOptions stream = {};
  std::vector<KeptTap*> also = {};  // further taps on the same pass
  // If set, the run begins where it says and saves itself there after every block.
  StreamCheckpoint* checkpoint = nullptr;
  // If set, gets the Hessians of every block (calib/hessian.h).
  HessianConsumer hessians = nullptr;
  bool force = false;  // begin anew where the checkpoint is another command's
};

// What a streamed run holds at its peak: the stream, and the statistics of all its blocks.
uint64_t streamed_bytes(const tensor::TensorSource& source, const model::Config& config,
                        const Corpus& corpus, const StreamedOptions& options);

// The largest batch_tokens, a power of two from 256 to 4096, with which streamed_bytes() is at most
// `bytes_allowed`. Error{memory} naming `limit` ("--mem-limit allows") if there is none, with what
// is needed and how many tokens would fit.
int64_t batch_that_fits(const tensor::TensorSource& source, const model::Config& config,
                        const Corpus& corpus, StreamedOptions options, uint64_t bytes_allowed,
                        const std::string& limit);

// What a checkpoint of the run takes on disk, twice while one is written.
uint64_t checkpoint_bytes(const tensor::TensorSource& source, const model::Config& config,
                          const Corpus& corpus, const StreamedOptions& options);

tensor::Importance calibrate_streamed(const tensor::TensorSource& source,
                                      const model::Config& config, const Corpus& corpus,
                                      const StreamedOptions& options, base::ThreadPool& pool);

}  // namespace karat::calib
