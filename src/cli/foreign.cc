#include "cli/foreign.h"

#include <algorithm>
#include <span>
#include <vector>

namespace karat::cli {

namespace {

struct Translation {
  std::vector<std::string_view> names;
  std::string_view advice;
};

constexpr std::string_view kCpuOnly = "karat computes on the CPU only; leave it out";
constexpr std::string_view kOwnBatches = "karat chooses its batches itself; leave it out";
constexpr std::string_view kOwnMemory =
    "karat decides how it reads weights; leave it out (--mem-limit bounds the memory)";

// Names as in llama.cpp, common/arg.cpp, tools/quantize and tools/imatrix.
const std::vector<Translation>& options() {
  static const std::vector<Translation> table = {
      {{"-ngl", "--gpu-layers", "--n-gpu-layers", "-sm", "--split-mode", "-ts", "--tensor-split",
        "-mg", "--main-gpu", "-dev", "--device", "-ot", "--override-tensor"},
       kCpuOnly},
      {{"-cmoe", "--cpu-moe", "-ncmoe", "--n-cpu-moe"}, kCpuOnly},
      {{"-b", "--batch-size", "-ub", "--ubatch-size", "-np", "--parallel"}, kOwnBatches},
      {{"-fa", "--flash-attn"}, "attention never stores its scores; leave it out"},
      {{"-ctk", "--cache-type-k", "-ctv", "--cache-type-v"},
       "chat and bench take it; elsewhere keys and values are kept as floats, leave it out"},
      {{"--no-mmap", "--mmap", "--mlock", "--numa", "-lm", "--load-mode"}, kOwnMemory},
      {{"-tb", "--threads-batch"}, "-t holds for everything"},
      {{"-hf", "-hfr", "--hf-repo", "-hff", "--hf-file", "-mu", "--model-url"},
       "karat does not download; run 'hf download REPO' and give the path with -m"},
      {{"--jinja"}, "the model's own template is always used; leave it out"},
      {{"-cnv", "--conversation"}, "'karat chat' without -p is a conversation; leave it out"},
      {{"-no-cnv", "--no-conversation"}, "give the text with -p"},
      {{"-rea", "--reasoning-format", "--reasoning-budget"}, "use --reasoning on|off"},
      {{"--repeat-penalty", "--frequency-penalty"}, "use --presence-penalty"},
      {{"--kl-divergence"}, "'karat eval kld' measures it"},
      {{"--perplexity", "--ppl"}, "'karat eval ppl' measures it"},
      {{"--nextn"}, "the MTP block is always measured; leave it out (--no-mtp skips it)"},
      {{"--no-ppl"}, "calibrate prints none; leave it out"},
      {{"--output-frequency", "--save-frequency"},
       "the imatrix is written once, at the end; leave it out"},
      {{"-ofreq"}, "the imatrix is written once, at the end; leave it out"},
      {{"--nthreads", "--n-threads"}, "use -t"},
      {{"-lv", "--log-verbosity", "--verbosity"}, "use -v or -q"},
      {{"--log-colors"}, "use --color"},
      {{"--log-disable"}, "use -q"},
      {{"--no-progress"}, "use --progress none"},
      {{"--include-weights", "--exclude-weights"},
       "entries without a tensor are ignored; leave it out"},
      {{"--target-bpw", "--target-size"}, "give TYPE; karat does not search for a size yet"},
      {{"--prune-layers"}, "karat keeps every layer"},
      {{"--gguf-split", "--split"}, "'karat convert --split-max-size' writes shards"},
      {{"--remote", "--vocab-only", "--bigendian", "--model-name", "--use-temp-file", "--no-lazy"},
       "an option of convert_hf_to_gguf.py that karat has no use for; leave it out"},
      {{"--outfile"}, "use -o"},
  };
  return table;
}

const std::vector<Translation>& verbs() {
  static const std::vector<Translation> table = {
      {{"download", "pull"}, "karat does not download; 'hf download REPO' does"},
      {{"cli"}, "'karat chat' talks to a model"},
      {{"kld"}, "that is 'karat eval kld'"},
      {{"ppl"}, "that is 'karat eval ppl'"},
      {{"gguf-dump", "dump", "info"}, "that is 'karat inspect --tensors'"},
  };
  return table;
}

std::optional<std::string> find(const std::vector<Translation>& table, std::string_view name) {
  for (const Translation& translation : table) {
    if (std::ranges::find(translation.names, name) != translation.names.end()) {
      return std::string(translation.advice);
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> foreign_option(std::string_view name) { return find(options(), name); }
std::optional<std::string> foreign_verb(std::string_view name) { return find(verbs(), name); }

}  // namespace karat::cli
