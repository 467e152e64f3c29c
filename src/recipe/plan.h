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
  int64_t design_windows = 0;      // that each run of a refinement takes (recipe/refine.h); 0: none
  int64_t test_windows = 0;        // that decide about it
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

// What another measurement says of a plan: factors on the gains of its tensors, and that no type
// moves by more than one step.
struct Correction {
  const Plan& plan;
  std::map<std::string, double> factors;  // by tensor; 1 where there is none
};

// Tensors that share a type and could have the next smaller or the next larger one that is worth
// its bytes; the same type where there is none.
struct Movable {
  std::vector<size_t> tensors;  // indices into the source's tensors()
  tensor::DType down, now, up;
  uint64_t bytes = 0;    // now
  double save_down = 0;  // bytes that going down gives back
  double lose_down = 0;  // and the cost that it adds
  double pay_up = 0;     // bytes that going up takes
  double gain_up = 0;    // and the cost that it saves
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
  Plan solve(uint64_t budget, const Correction* correction = nullptr) const;
  // The choices that the planner had for a plan of this budget, in the order of the file.
  std::vector<Movable> movables(const Plan& plan, uint64_t budget) const;
  // A cost as the divergence that it is.
  double divergence(double cost) const;
  const PlanInputs& inputs() const { return inputs_; }
  const std::string& model() const { return model_; }

 private:
  struct Items;
  uint64_t padded(size_t tensor, tensor::DType type) const;
  // Those of the budget, with the floors that it allows.
  Items items(uint64_t budget) const;
  Plan plan_of(const Items& items, const std::vector<size_t>& choice) const;
  void add_rates(Plan& plan, uint64_t budget) const;
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
  uint64_t kept_bytes_ = 0;          // of the others
  std::map<size_t, std::map<tensor::DType, double>> errors_;
  std::map<std::string, double> noise_;
  Gains gains_;
  std::map<std::string, double> kind_gains_;  // mean over the kind's tensors
  std::string model_;
};

}  // namespace karat::recipe
