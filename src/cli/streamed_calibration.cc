#include "cli/streamed_calibration.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/build_id.h"
#include "exec/memory_plan.h"
#include "model/activations.h"
#include "receipt/receipt.h"

namespace karat::cli {

using base::ErrorKind;

namespace {

const int64_t kResidentBatch = calib::CalibrateOptions{}.batch_tokens;

void check_disk(const model::OpenedModel& opened, const calib::Corpus& corpus,
                const calib::StreamedOptions& options) {
  const std::string& path = options.checkpoint->path();
  const uint64_t bytes = disk_bytes_needed(
      path, calib::checkpoint_bytes(*opened.source, opened.config, corpus, options));
  base::check_output(path, {.force = true, .bytes_needed = bytes, .inputs = opened.files});
}

}  // namespace

uint64_t disk_bytes_needed(const std::string& path, uint64_t bytes) {
  const uint64_t there = base::file_exists(path) ? base::File(path).size() : 0;
  return 2 * bytes - std::min(bytes, there);
}

bool is_streamed(const std::string& stream, const model::OpenedModel& opened, bool with_mtp,
                 const Common& common) {
  if (stream != "auto") return stream == "on";
  const exec::StreamMemory pass =
      exec::LayerStream::memory(*opened.source, opened.config, kResidentBatch, kResidentBatch,
                                {.batch_tokens = kResidentBatch});
  const uint64_t weights = exec::weight_shares(*opened.source, opened.config).total(with_mtp);
  return weights + pass.scratch > memory_allowed(common);
}

base::Fingerprint calibrate_fingerprint(const model::OpenedModel& opened,
                                        const calib::Corpus& corpus,
                                        const calib::StreamedOptions& options) {
  base::Sha256 tokens;
  const std::vector<int64_t> ends = corpus.all_ends();
  tokens.update(
      std::as_bytes(std::span(corpus.tokens).first(static_cast<size_t>(corpus.tokens_used()))));
  tokens.update(std::as_bytes(std::span(ends)));
  std::string also;
  for (const calib::KeptTap* tap : options.also) also += (also.empty() ? "" : ", ") + tap->name();
  base::Fingerprint fingerprint = {
      {"version", receipt::kVersion},
      {"build", kBuildId},
      {"verb", "calibrate"},
      {"tokens", tokens.hex()},
      {"output", options.process_output ? "yes" : "no"},
      {"mtp", options.stream.with_mtp ? "yes" : "no"},
      {"activations", std::string(model::activations_name(options.stream.forward.activations))},
      {"statistics", also}};
  for (const std::string& path : opened.files) {
    fingerprint.emplace_back(
        base::strf("input %zu %s", fingerprint.size(), base::file_name(path).c_str()),
        base::file_state(path));
  }
  return fingerprint;
}

tensor::Importance run_streamed(const model::OpenedModel& opened, const calib::Corpus& corpus,
                                calib::StreamedOptions options, const Common& common,
                                base::ThreadPool& pool) {
  options.force = common.force;
  options.stream.batch_tokens = calib::batch_that_fits(
      *opened.source, opened.config, corpus, options, memory_allowed(common), memory_limit(common));
  if (options.checkpoint == nullptr) {
    return calib::calibrate_streamed(*opened.source, opened.config, corpus, options, pool);
  }
  check_disk(opened, corpus, options);
  try {
    return calib::calibrate_streamed(*opened.source, opened.config, corpus, options, pool);
  } catch (const base::Error& error) {
    const bool useless =
        error.kind() == ErrorKind::bad_input || error.kind() == ErrorKind::internal;
    if (useless) options.checkpoint->remove();
    const bool refused = error.kind() == ErrorKind::exists;
    if (!useless && !refused && base::file_exists(options.checkpoint->path())) {
      base::info("stopped; the same command goes on from the last whole block");
    }
    throw;
  }
}

}  // namespace karat::cli
