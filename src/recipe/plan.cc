#include "recipe/plan.h"

#include <algorithm>
#include <cmath>

#include "allocate/knapsack.h"
#include "allocate/lagrange.h"
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
  static const std::vector<Effort> all = {{"fast", int64_t{1} << 19, 0, {0.15}, 2},
                                          {"balanced", int64_t{1} << 22, 64, {0.2}, 8},
                                          {"best", int64_t{1} << 24, 256, {0.08, 0.2}, 32, 16, 64}};
  return all;
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
    if (std::string_view(decision.decided_by) == "kept") {
      kept_bytes_ += padded(decision.tensor, decision.type);
      continue;
    }
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

// The knapsack's items: candidates that share a type, as their choices the types of the first.
struct Planner::Items {
  std::vector<Candidates> candidates;
  std::vector<std::vector<const Candidates*>> members;
  allocate::Problem problem;
};

Planner::Items Planner::items(uint64_t budget) const {
  Items items;
  items.candidates = candidates_of(policy_, inputs_.source, tensors_, weighted_, budget);
  std::map<int64_t, size_t> groups;
  for (const Candidates& each : items.candidates) {
    const auto known = each.group >= 0 ? groups.find(each.group) : groups.end();
    if (known != groups.end()) {
      items.members[known->second].push_back(&each);
      continue;
    }
    if (each.group >= 0) groups[each.group] = items.members.size();
    items.members.push_back({&each});
  }
  for (const auto& members : items.members) {
    std::vector<allocate::Choice> choices;
    for (const DType type : members[0]->types) {
      allocate::Choice choice;
      for (const Candidates* member : members) {
        choice.bytes += padded(member->tensor, type);
        choice.cost +=
            gain_of(inputs_.source.tensors()[member->tensor].name) * error_of(member->tensor, type);
      }
      choices.push_back(choice);
    }
    items.problem.items.push_back(std::move(choices));
  }
  if (budget == 0) return items;
  const uint64_t free = budget < kept_bytes_ ? 0 : budget - kept_bytes_;
  if (allocate::bytes_min(items.problem) > free) items = this->items(0);  // floors do not fit
  items.problem.budget = free;
  return items;
}

Plan Planner::plan_of(const Items& items, const std::vector<size_t>& choice) const {
  std::map<size_t, std::pair<DType, std::string>> chosen;
  for (size_t i = 0; i < items.members.size(); ++i) {
    const DType type = items.members[i][0]->types[choice[i]];
    for (const Candidates* member : items.members[i]) {
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
    if (const auto choice_of = chosen.find(decision.tensor); choice_of != chosen.end()) {
      tensor.type = choice_of->second.first;
      tensor.decided_by = choice_of->second.second;
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

Plan Planner::solve(uint64_t budget, const Correction* correction) const {
  CHECK(budget >= bytes_min());
  Items items = this->items(budget);
  allocate::Problem problem = items.problem;
  std::vector<std::vector<size_t>> types(problem.items.size());  // of the problem's choices
  const std::vector<Movable> movable =
      correction == nullptr ? std::vector<Movable>{} : movables(correction->plan, budget);
  for (size_t i = 0; i < problem.items.size(); ++i) {
    std::vector<allocate::Choice> choices;
    double factor = 1;
    if (correction != nullptr) {
      const std::string& name = inputs_.source.tensors()[items.members[i][0]->tensor].name;
      const auto known = correction->factors.find(name);
      if (known != correction->factors.end()) factor = known->second;
    }
    for (size_t t = 0; t < problem.items[i].size(); ++t) {
      const DType type = items.members[i][0]->types[t];
      const bool near = correction == nullptr || type == movable[i].down ||
                        type == movable[i].now || type == movable[i].up;
      if (!near) continue;
      types[i].push_back(t);
      choices.push_back({problem.items[i][t].bytes, factor * problem.items[i][t].cost});
    }
    problem.items[i] = std::move(choices);
  }
  const allocate::Solution solution = allocate::solve(problem);
  base::verbose("plan: cost %.9g, at least %.9g%s", solution.assignment.cost, solution.bound,
                solution.exact ? ", exact" : "");
  std::vector<size_t> choice = solution.assignment.choice;
  for (size_t i = 0; i < choice.size(); ++i) choice[i] = types[i][choice[i]];
  Plan plan = plan_of(items, choice);
  add_rates(plan, budget);
  return plan;
}

void Planner::add_rates(Plan& plan, uint64_t budget) const {
  std::map<std::string, PlannedTensor*> by_name;
  for (PlannedTensor& tensor : plan.tensors) by_name[tensor.name] = &tensor;
  const double scale = plan.cost() > 0 ? static_cast<double>(budget) / plan.cost() : 0;
  for (const Movable& movable : movables(plan, budget)) {
    for (const size_t tensor : movable.tensors) {
      PlannedTensor& planned = *by_name.at(inputs_.source.tensors()[tensor].name);
      if (movable.pay_up > 0) planned.rate_up = scale * movable.gain_up / movable.pay_up;
      if (movable.save_down > 0) planned.rate_down = scale * movable.lose_down / movable.save_down;
    }
  }
}

std::vector<Movable> Planner::movables(const Plan& plan, uint64_t budget) const {
  const Items items = this->items(budget);
  std::map<std::string, DType> now;
  for (const PlannedTensor& tensor : plan.tensors) now[tensor.name] = tensor.type;
  std::vector<Movable> out;
  for (size_t i = 0; i < items.members.size(); ++i) {
    const std::vector<DType>& types = items.members[i][0]->types;
    const std::vector<allocate::Choice>& choices = items.problem.items[i];
    Movable movable;
    for (const Candidates* member : items.members[i]) movable.tensors.push_back(member->tensor);
    movable.now = now.at(inputs_.source.tensors()[movable.tensors[0]].name);
    const auto at = std::find(types.begin(), types.end(), movable.now);
    CHECK(at != types.end());
    const allocate::Choice& here = choices[static_cast<size_t>(at - types.begin())];
    movable.down = movable.up = movable.now;
    movable.bytes = here.bytes;
    for (const size_t t : allocate::hull_of(choices)) {
      const auto step = static_cast<double>(choices[t].bytes) - static_cast<double>(here.bytes);
      const double cost = choices[t].cost - here.cost;
      if (step < 0) {
        movable.down = types[t], movable.save_down = -step, movable.lose_down = cost;
      } else if (step > 0 && movable.up == movable.now) {
        movable.up = types[t], movable.pay_up = step, movable.gain_up = -cost;
      }
    }
    out.push_back(std::move(movable));
  }
  return out;
}

double Planner::divergence(double cost) const { return std::pow(cost, gains_.exponent); }

uint64_t Planner::bytes_min() const { return kept_bytes_ + allocate::bytes_min(items(0).problem); }

uint64_t Planner::bytes_max() const { return kept_bytes_ + allocate::bytes_max(items(0).problem); }

}  // namespace karat::recipe
