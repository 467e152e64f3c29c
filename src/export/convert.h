// HF checkpoint -> GGUF, the same files as the reference converter's.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/threads.h"
#include "model/hf_source.h"

namespace karat::exporting {

enum class OutType { automatic, f32, f16, bf16, q8_0 };  // automatic: the checkpoint's own type
enum class MtpPart { keep, drop, only };                 // only: a draft file without the trunk

struct ConvertedFile {
  std::vector<std::string> paths;  // several if split
  uint64_t bytes = 0;              // of all of them
  int64_t tensors = 0, params = 0;
  std::string type;                    // "bf16", ...
  std::vector<std::string> fallbacks;  // tensors that could not be Q8_0 and are F16
};

struct ConvertOptions {
  std::string output = {};         // the language model's file; "": not wanted
  std::string vision_output = {};  // the vision (mmproj) file; "": not wanted
  OutType type = OutType::automatic;
  MtpPart mtp = MtpPart::keep;
  model::GateUp gate_up = model::GateUp::split;
  uint64_t shard_bytes_max = 0;  // 0: one file
  bool force = false;            // overwrite existing files
  uint64_t memory_max = 0;       // refuse to hold more than this in buffers; 0: no limit
  // Called for each file (set of shards) when nothing is left but renaming: with the checkpoint's
  // files, and under which names the bytes of file.paths are now. If it throws, nothing is left.
  std::function<void(const std::vector<std::string>& inputs, const ConvertedFile& file,
                     const std::vector<std::string>& written)>
      before_commit = {};
};

// Converts the checkpoint in `folder`. First everything is checked and laid out (configuration,
// every tensor's shape, outputs and free space), then the tensors stream through. Files appear
// under their names when complete; after an error nothing is left. Errors: those of open_model,
// check_output and recode; {memory} for memory_max; {usage} for options that contradict each other
// or the checkpoint.
std::vector<ConvertedFile> convert_checkpoint(const std::string& folder,
                                              const ConvertOptions& options,
                                              base::ThreadPool& pool);

}  // namespace karat::exporting
