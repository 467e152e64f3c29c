// How calibrate runs a model block by block: whether, with what batch, and from which checkpoint.
#pragma once

#include <optional>
#include <string>

#include "base/fingerprint.h"
#include "calib/streamed.h"
#include "cli/command.h"
#include "model/open.h"

namespace karat::cli {

// `stream`: "auto", "on" or "off"; auto: if weights and a pass do not fit into the memory allowed.
bool is_streamed(const std::string& stream, const model::OpenedModel& opened, bool with_mtp,
                 const Common& common);

// What determines the statistics: version and build, the tokens and how they are cut, `options`,
// and of every file of the model what base::file_state says.
base::Fingerprint calibrate_fingerprint(const model::OpenedModel& opened,
                                        const calib::Corpus& corpus,
                                        const calib::StreamedOptions& options);

// Free space that checkpoints of so many bytes at PATH need: while one is written, the one before
// is still there. What lies at PATH already counts as the first.
uint64_t disk_bytes_needed(const std::string& path, uint64_t bytes);

// Runs it with the largest batch that fits; with a checkpoint (options.checkpoint) goes on where
// the same command stopped. Whoever writes the output removes the checkpoint then. Errors of bad
// input remove it, too, if it is this command's.
tensor::Importance run_streamed(const model::OpenedModel& opened, const calib::Corpus& corpus,
                                calib::StreamedOptions options, const Common& common,
                                base::ThreadPool& pool);

}  // namespace karat::cli
