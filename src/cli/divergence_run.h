// eval kld: which models go over which text in which arithmetic, and what is compared with what.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "eval/divergence.h"
#include "eval/floor.h"
#include "eval/paired.h"

namespace karat::cli {

struct DivergenceRequest {
  std::string model;
  std::string against;           // a second candidate; may be empty
  std::string reference;         // a model, or empty with a logits file
  std::string base;              // the logits file, or empty
  std::string reference_hidden;  // hidden rows of `reference`, or empty
  std::string text;              // empty with rows or logits, which have their own
  std::string stream = "auto";   // on, off: whether models are read block by block
  eval::ScoreOptions options, reference_options;
  bool floor = false;
  int64_t n_ctx = 512, chunks_max = -1;
};

struct DivergenceReport {
  eval::DivergenceResult model;
  std::optional<eval::DivergenceResult> against;
  std::vector<std::pair<eval::Floor, eval::DivergenceResult>> floors;
  // Index of the floor whose arithmetic is the candidates': what is taken off a KLD.
  size_t floor = 0;
  std::optional<eval::PairedComparison> paired;
};

// Error{usage} for requests that contradict themselves, before anything is read.
void check_divergence_request(const DivergenceRequest& request);
DivergenceReport run_divergence(const DivergenceRequest& request, const Common& common);

// Whether models that take so many bytes together go block by block.
bool go_by_block(const std::string& stream, uint64_t bytes, const Common& common);

}  // namespace karat::cli
