// The types of a model's tensors for a number of bytes: measured errors times measured gains, added
// up to as little as possible (docs/FORMATS.md, section 12; the method is that of "weighed probes":
// local errors, gains by injected noise, a concave link, an exact knapsack).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "calib/packet.h"
#include "recipe/error_table.h"
#include "recipe/gains.h"
#include "recipe/plan_file.h"
#include "recipe/policy.h"

namespace karat::recipe {

// How much work goes into the measurements.
struct Effort {
  std::string name;
  int64_t elements_max;            // of a tensor, for its errors
  int64_t sites_max;               // for gains; 0: one of each kind
  std::vector<double> amplitudes;  // of noise
  int64_t windows;                 // of 512 tokens that noise is measured on
};
const Effort& effort_named(const std::string& name);  // fast, balanced, best
std::vector<std::string> effort_names();

struct PlanInputs {
  const tensor::TensorSource& source;
  const model::Config& config;
  const tensor::Importance& importance;
  const calib::Routing* routing;  // null: experts count alike
  const calib::Packet& text;
  std::string statistics;  // SHA-256 of the importance's file
};

// Measures once, solves for any number of budgets.
class Planner {
 public:
  static constexpr int64_t kContext = 512;

  // Everything is measured here. Inputs must outlive it. Errors as measure_errors(),
  // measure_gains() and candidates_of(); {usage} if the model is quantized already.
  Planner(const PlanInputs& inputs, const Policy& policy, const Effort& effort, uint64_t seed,
          uint64_t alignment, const PlanCache& cache, base::ThreadPool& pool);

  // Bytes of all tensors, padded to the alignment, at least and at most.
  uint64_t bytes_min() const;
  uint64_t bytes_max() const;
  // The best types within so many bytes of padded tensors, which must be in that range (CHECK);
  // target and file_bytes are left to the caller.
  Plan solve(uint64_t budget) const;

 private:
  struct Table;
  uint64_t padded(size_t tensor, tensor::DType type) const;
  std::vector<Candidates> candidates(uint64_t budget) const;
  void measure_table(const Effort& effort, const PlanCache& cache, base::ThreadPool& pool);
  double gain_of(const std::string& name) const;
  double error_of(size_t tensor, tensor::DType type) const;

  PlanInputs inputs_;
  const Policy& policy_;
  const Effort& effort_;
  uint64_t seed_, alignment_;
  std::vector<TypeDecision> order_;  // of all tensors; "kept" or not
  std::vector<size_t> tensors_;      // that have a choice
  std::vector<bool> weighted_;       // [tensors_]
  std::map<size_t, std::map<tensor::DType, double>> errors_;
  std::map<std::string, double> noise_;
  Gains gains_;
  std::map<std::string, double> kind_gains_;  // mean over the kind's tensors
  std::string model_;
};

}  // namespace karat::recipe
