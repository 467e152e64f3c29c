#include "recipe/plan.h"

#include <algorithm>

#include "allocate/knapsack.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "model/names.h"
#include "recipe/mixture.h"

namespace karat::recipe {

using base::ErrorKind;
using base::fail;
using tensor::DType;
using tensor::TensorInfo;

namespace {

// A draft that is wrong costs time, not faithfulness: MTP tensors count so much beside the trunk's
// of their kind.
constexpr double kMtpShare = 0.1;

const std::vector<Effort>& efforts() {
  static const std::vector<Effort> all = {{"fast", int64_t{1} << 19, 0, {0.15}, 4},
                                          {"balanced", int64_t{1} << 22, 64, {0.08, 0.2}, 8},
                                          {"best", int64_t{1} << 24, 256, {0.08, 0.2}, 32}};
  return all;
}

// Candidates that share a type: one item of the knapsack.
struct Item {
  std::vector<const Candidates*> members;
};

std::vector<Item> items_of(const std::vector<Candidates>& candidates) {
  std::vector<Item> items;
  std::map<int64_t, size_t> groups;
  for (const Candidates& each : candidates) {
    const auto known = each.group >= 0 ? groups.find(each.group) : groups.end();
    if (known != groups.end()) {
      items[known->second].members.push_back(&each);
      continue;
    }
    if (each.group >= 0) groups[each.group] = items.size();
    items.push_back({{&each}});
  }
  return items;
}

}  // namespace

const Effort& effort_named(const std::string& name) {
  for (const Effort& effort : efforts()) {
    if (effort.name == name) return effort;
  }
  throw fail(ErrorKind::usage, "--effort: '%s' is none of fast, balanced, best",
             base::printable(name).c_str());
}

std::vector<std::string> effort_names() {
  std::vector<std::string> names;
  for (const Effort& effort : efforts()) names.push_back(effort.name);
  return names;
}

Planner::Planner(const PlanInputs& inputs, const Policy& policy, const Effort& effort,
                 uint64_t seed, uint64_t alignment, const PlanCache& cache, base::ThreadPool& pool)
    : inputs_(inputs),
      policy_(policy),
      effort_(effort),
      seed_(seed),
      alignment_(alignment),
      order_(decide_types(inputs.source, inputs.config, preset_named("Q8_0"), {.imatrix = true})),
      model_(model_identity(inputs.source)) {
  for (const TypeDecision& decision : order_) {
    const TensorInfo& info = inputs.source.tensors()[decision.tensor];
    if (std::string_view(decision.decided_by) == "kept") continue;
    if (tensor::info(info.dtype).quantized()) {
      throw fail(ErrorKind::usage, "%s is already %s; plan for the BF16 original",
                 inputs.source.place_of(info).c_str(),
                 std::string(tensor::info(info.dtype).name).c_str());
    }
    tensors_.push_back(decision.tensor);
    weighted_.push_back(error_weights(info, &inputs.importance, nullptr).columns != nullptr);
  }
  measure_table(effort, cache, pool);
  const ProbeText text = choose_windows(inputs.text, kContext, 0, effort.windows, seed);
  gains_ = measure_gains(inputs.source, inputs.config,
                         make_sites(inputs.source, inputs.config, tensors_, effort.sites_max),
                         noise_, text, model_, {effort.amplitudes, seed}, cache, pool);
  std::map<std::string, int64_t> counts;
  for (const auto& [name, gain] : gains_.of) {
    kind_gains_[kind_of(name)] += gain;
    ++counts[kind_of(name)];
  }
  for (auto& [kind, gain] : kind_gains_) gain /= static_cast<double>(counts[kind]);
}

void Planner::measure_table(const Effort& effort, const PlanCache& cache, base::ThreadPool& pool) {
  base::Progress progress("errors", "tensors", static_cast<double>(tensors_.size()));
  // Without floors: they depend on the budget.
  for (const Candidates& each : candidates_of(policy_, inputs_.source, tensors_, weighted_, 0)) {
    const TensorInfo& info = inputs_.source.tensors()[each.tensor];
    const TensorErrors errors = measure_errors(
        inputs_.source, info, each.types, error_weights(info, &inputs_.importance, inputs_.routing),
        {.elements_max = effort.elements_max, .seed = seed_}, cache, pool);
    for (size_t t = 0; t < each.types.size(); ++t) {
      errors_[each.tensor][each.types[t]] = errors.types[t];
    }
    noise_[info.name] = errors.noise;
    progress.add(1, info.name);
  }
}

uint64_t Planner::padded(size_t tensor, DType type) const {
  TensorInfo info = inputs_.source.tensors()[tensor];
  info.dtype = type;
  return (static_cast<uint64_t>(info.bytes()) + alignment_ - 1) / alignment_ * alignment_;
}

double Planner::gain_of(const std::string& name) const {
  const auto gain = gains_.of.find(name);
  if (gain != gains_.of.end()) return gain->second;
  const auto kind = kind_gains_.find(kind_of(name));
  if (kind != kind_gains_.end()) return kMtpShare * kind->second;
  const auto like = kind_gains_.find("attn_output");
  return like != kind_gains_.end() ? kMtpShare * like->second : 0;
}

double Planner::error_of(size_t tensor, DType type) const {
  const auto& errors = errors_.at(tensor);
  const auto error = errors.find(type);
  return error == errors.end() ? 0 : error->second;
}

std::vector<Candidates> Planner::candidates(uint64_t budget) const {
  return candidates_of(policy_, inputs_.source, tensors_, weighted_, budget);
}

namespace {

allocate::Problem problem_of(const std::vector<Item>& items, uint64_t budget, const auto& bytes,
                             const auto& cost) {
  allocate::Problem problem;
  problem.budget = budget;
  for (const Item& item : items) {
    std::vector<allocate::Choice> choices;
    for (const DType type : item.members[0]->types) {
      allocate::Choice choice;
      for (const Candidates* member : item.members) {
        choice.bytes += bytes(member->tensor, type);
        choice.cost += cost(member->tensor, type);
      }
      choices.push_back(choice);
    }
    problem.items.push_back(std::move(choices));
  }
  return problem;
}

}  // namespace

Plan Planner::solve(uint64_t budget) const {
  uint64_t kept = 0;
  for (const TypeDecision& decision : order_) {
    if (std::string_view(decision.decided_by) == "kept") {
      kept += padded(decision.tensor, decision.type);
    }
  }
  CHECK(budget >= bytes_min());
  const auto bytes = [&](size_t tensor, DType type) { return padded(tensor, type); };
  const auto cost = [&](size_t tensor, DType type) {
    return gain_of(inputs_.source.tensors()[tensor].name) * error_of(tensor, type);
  };
  std::vector<Candidates> all = candidates(budget);
  std::vector<Item> items = items_of(all);
  allocate::Problem problem = problem_of(items, budget - kept, bytes, cost);
  if (allocate::bytes_min(problem) > problem.budget) {  // the floors do not fit after all
    all = candidates(0);
    items = items_of(all);
    problem = problem_of(items, budget - kept, bytes, cost);
  }
  const allocate::Solution solution = allocate::solve(problem);
  base::verbose("plan: cost %.9g, at least %.9g%s", solution.assignment.cost, solution.bound,
                solution.exact ? ", exact" : "");
  std::map<size_t, std::pair<DType, std::string>> chosen;
  for (size_t i = 0; i < items.size(); ++i) {
    const DType type = items[i].members[0]->types[solution.assignment.choice[i]];
    for (const Candidates* member : items[i].members) {
      chosen[member->tensor] = {type, member->decided_by};
    }
  }
  Plan plan;
  plan.model = model_;
  plan.statistics = inputs_.statistics;
  plan.effort = effort_.name;
  plan.seed = seed_;
  plan.exponent = gains_.exponent;
  for (const TypeDecision& decision : order_) {
    TensorInfo info = inputs_.source.tensors()[decision.tensor];
    PlannedTensor tensor{info.name, decision.type, "kept"};
    if (const auto choice = chosen.find(decision.tensor); choice != chosen.end()) {
      tensor.type = choice->second.first;
      tensor.decided_by = choice->second.second;
      tensor.gain = gain_of(info.name);
      tensor.error = error_of(decision.tensor, tensor.type);
    }
    info.dtype = tensor.type;
    tensor.bytes = static_cast<uint64_t>(info.bytes());
    tensor.bytes_per_token = bytes_per_token(info, inputs_.config);
    plan.data_bytes += tensor.bytes;
    plan.tensors.push_back(std::move(tensor));
  }
  return plan;
}

uint64_t Planner::bytes_min() const {
  uint64_t bytes = 0;
  const std::vector<Candidates> all = candidates(0);
  const auto none = [](size_t, DType) { return 0.0; };
  bytes = allocate::bytes_min(problem_of(
      items_of(all), 0, [&](size_t tensor, DType type) { return padded(tensor, type); }, none));
  for (const TypeDecision& decision : order_) {
    if (std::string_view(decision.decided_by) == "kept") {
      bytes += padded(decision.tensor, decision.type);
    }
  }
  return bytes;
}

uint64_t Planner::bytes_max() const {
  const std::vector<Candidates> all = candidates(0);
  const auto none = [](size_t, DType) { return 0.0; };
  uint64_t bytes = allocate::bytes_max(problem_of(
      items_of(all), 0, [&](size_t tensor, DType type) { return padded(tensor, type); }, none));
  for (const TypeDecision& decision : order_) {
    if (std::string_view(decision.decided_by) == "kept") {
      bytes += padded(decision.tensor, decision.type);
    }
  }
  return bytes;
}

}  // namespace karat::recipe
