// A GGUF file to shards and shards to one file, without a look at what is in them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/threads.h"
#include "format/gguf.h"
#include "format/gguf_writer.h"

namespace karat::exporting {

struct ReshardOptions {
  format::GgufWriteOptions shards = {};  // one file without any
  bool force = false;                    // overwrite existing files
};

// Writes the keys, but for split.*, and the tensors of `source` to `out`, or to its shards
// (GgufLayout::paths). Tensor bytes are copied as they are, a few MiB per thread at a time. Split
// and merged again, a file has its first bytes. Files appear under their names when all are
// complete; after an error nothing is left. Returns their paths. Errors: those of
// base::check_output, before any work, GgufLayout and the source.
std::vector<std::string> reshard(const format::GgufSource& source, const std::string& out,
                                 const ReshardOptions& options, base::ThreadPool& pool);

// Bytes that reshard() holds at a time for each thread.
uint64_t reshard_memory(const format::GgufSource& source);

}  // namespace karat::exporting
