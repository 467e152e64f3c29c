// A plan: the type of every tensor of one model, and why. Made by `karat plan`, executed by `karat
// quantize --plan` and by nobody else (docs/FORMATS.md, section 12).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "recipe/quantize.h"
#include "tensor/source.h"

namespace karat::recipe {

struct PlannedTensor {
  std::string name;
  tensor::DType type = tensor::DType::f32;
  std::string decided_by;  // "kept", "recipe", "plan"
  uint64_t bytes = 0;
  uint64_t bytes_per_token = 0;  // that decoding one token reads, experts by how many are used
  // For those that were weighed: relative error of the type, and what a unit of error costs.
  double error = 0, gain = 0;
  double cost() const { return gain * error; }
  // Share of the whole cost that the next larger type would save, and that the next smaller one
  // would add, per share of the whole bytes; 0 where there is none. A plan is where all of the
  // first are below all of the second, about.
  double rate_up = 0, rate_down = 0;
};

struct Plan {
  std::string model;       // model_identity()
  std::string statistics;  // SHA-256 of the imatrix
  std::string target;      // "size 13500000", "bpw 4.5", "like Q4_K_M"
  std::string effort;
  uint64_t seed = 0;
  uint64_t data_bytes = 0, file_bytes = 0;  // tensors alone; the whole file
  double exponent = 1;                      // of the link from costs to divergence
  std::vector<PlannedTensor> tensors;       // all, in the order of the file

  int64_t elements(const tensor::TensorSource& source) const;
  double cost() const;
  // KLD that the measurements foretell: cost()^exponent.
  double divergence() const;
};

// SHA-256 over every tensor's name, type, shape and first, middle and last row, by name: the same
// for a file that was moved or whose tensors are in another order.
std::string model_identity(const tensor::TensorSource& source);

// What decoding one token reads of a tensor of this many bytes.
uint64_t bytes_per_token(const tensor::TensorInfo& tensor, const model::Config& config);

base::Json plan_json(const Plan& plan);
// Error{bad_input} naming the file for anything but a plan.
Plan read_plan(const std::string& path);

// The plan's decisions as plan_quantize() takes them, with the preset that gives general.file_type:
// the one whose base type most bytes have. Error{usage} "PATH: ..." if the plan was made for
// another model, or with other statistics than those with this hash.
struct PlanDecisions {
  const Preset* preset;
  std::vector<TypeDecision> decisions;
};
PlanDecisions decisions_of(const Plan& plan, const std::string& path,
                           const tensor::TensorSource& source, const std::string& statistics);

// One line for each tensor that has a choice, "^NAME$=TYPE", for llama-quantize's
// --tensor-type-file.
std::string tensor_type_file(const Plan& plan);

}  // namespace karat::recipe
