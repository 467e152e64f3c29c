#include "recipe/refine.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <set>

#include "allocate/hadamard.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "eval/paired.h"
#include "format/gguf.h"
#include "receipt/receipt.h"
#include "recipe/probe.h"
#include "recipe/quantize.h"

namespace karat::recipe {

using tensor::DType;
using tensor::TensorInfo;

namespace {

constexpr double kPriorSpread = 0.5;  // by how much gains are off before anything is measured
constexpr double kFactorMax = 4;
constexpr double kChangedShare = 0.2;  // of the tensors may change at a time

// Tensors of two files of one model: those named from the second, the others from the first.
class MixedSource : public tensor::TensorSource {
 public:
  MixedSource(const tensor::TensorSource& first, const tensor::TensorSource& second,
              std::set<std::string> from_second)
      : first_(first), second_(second), from_second_(std::move(from_second)) {
    for (const TensorInfo& info : first.tensors()) infos_.push_back(of(info.name).at(info.name));
  }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_rows(const TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                 std::span<std::byte> out) const override {
    const tensor::TensorSource& source = of(tensor.name);
    source.read_rows(source.at(tensor.name), row_begin, row_count, out);
  }
  std::string origin() const override { return first_.origin(); }

 private:
  const tensor::TensorSource& of(const std::string& name) const {
    return from_second_.contains(name) ? second_ : first_;
  }
  const tensor::TensorSource &first_, &second_;
  std::set<std::string> from_second_;
  std::vector<TensorInfo> infos_;
};

// The plan with other types for some tensors; only types and names count.
Plan with_types(const Plan& plan, const std::map<std::string, DType>& types) {
  Plan out = plan;
  for (PlannedTensor& tensor : out.tensors) {
    const auto other = types.find(tensor.name);
    if (other != types.end()) tensor.type = other->second;
  }
  return out;
}

std::string types_hash(const Plan& plan) {
  std::string text = plan.model + " " + plan.statistics + "\n";
  for (const PlannedTensor& tensor : plan.tensors) {
    text += tensor.name + " " + std::string(tensor::info(tensor.type).name) + "\n";
  }
  return base::sha256_hex(std::as_bytes(std::span(text)));
}

// A model file of a plan's types, in the cache's folder while it is needed.
class PlannedFile {
 public:
  PlannedFile(const PlanInputs& inputs, const Plan& plan, const PlanCache& cache,
              base::ThreadPool& pool)
      : hash_(types_hash(plan)), path_(cache.folder() + "/types-" + hash_ + ".gguf") {
    if (!base::file_exists(path_)) {
      const PlanDecisions made = decisions_of(plan, "plan", inputs.source, plan.statistics);
      const QuantizePlan types =
          plan_quantize(inputs.source, *made.preset, made.decisions, &inputs.importance);
      format::Metadata metadata;
      metadata.set("general.architecture", std::string("qwen35moe"));
      run_quantize(inputs.source, types, &inputs.importance,
                   {.out = path_,
                    .metadata = metadata,
                    .fingerprint = {{"version", receipt::kVersion}, {"types", hash_}}},
                   pool);
    }
    source_ = std::make_unique<format::GgufSource>(path_);
  }
  ~PlannedFile() {
    source_.reset();
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  PlannedFile(const PlannedFile&) = delete;
  PlannedFile& operator=(const PlannedFile&) = delete;
  const tensor::TensorSource& source() const { return *source_; }
  const std::string& hash() const { return hash_; }

 private:
  std::string hash_, path_;
  std::unique_ptr<format::GgufSource> source_;
};

int64_t changed_between(const Plan& a, const Plan& b) {
  int64_t changed = 0;
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    changed += a.tensors[i].type != b.tensors[i].type ? 1 : 0;
  }
  return changed;
}

// One round of the design and what follows from it.
class Refiner {
 public:
  Refiner(const Planner& planner, const Plan& plan, uint64_t budget, const RefineOptions& options,
          const PlanCache& cache, base::ThreadPool& pool)
      : planner_(planner),
        plan_(plan),
        budget_(budget),
        options_(options),
        cache_(cache),
        pool_(pool) {
    for (Movable& movable : planner.movables(plan, budget)) {
      if (movable.down != movable.up) movables_.push_back(std::move(movable));
    }
  }

  Refinement run() {
    Refinement out{.plan = plan_};
    if (movables_.empty()) return out;
    const allocate::Effects effects = weigh_all();
    out.runs = static_cast<int64_t>(allocate::design_runs(movables_.size()));
    const Plan candidate = resolve(factors_of(effects.values, foretold(), effects.error));
    out.changed = changed_between(plan_, candidate);
    if (out.changed > 0) decide(candidate, out);
    return out;
  }

 private:
  const PlanInputs& inputs() const { return planner_.inputs(); }
  const std::string& name_of(size_t tensor) const { return inputs().source.tensors()[tensor].name; }

  ProbeText windows(int64_t skip, int64_t count) const {
    return choose_windows(inputs().text, Planner::kContext, skip, count, options_.seed);
  }

  CachedProbe probe_over(const ProbeText& text) const {
    return {inputs().source, inputs().config, text, planner_.model(), cache_, pool_};
  }

  // The plan with every movable tensor one step down, or up.
  Plan moved(bool up) const {
    std::map<std::string, DType> types;
    for (const Movable& movable : movables_) {
      for (const size_t tensor : movable.tensors) {
        types[name_of(tensor)] = up ? movable.up : movable.down;
      }
    }
    return with_types(plan_, types);
  }

  allocate::Effects weigh_all() const {
    const PlannedFile down(inputs(), moved(false), cache_, pool_),
        up(inputs(), moved(true), cache_, pool_);
    const ProbeText text = windows(options_.skip, options_.design_windows);
    CachedProbe probe = probe_over(text);
    const size_t runs = allocate::design_runs(movables_.size());
    base::Progress progress("refine", "runs", static_cast<double>(runs));
    std::vector<double> results;
    for (size_t run = 0; run < runs; ++run) {
      std::set<std::string> from_up;
      for (size_t i = 0; i < movables_.size(); ++i) {
        if (allocate::design_sign(run, i) < 0) continue;
        for (const size_t tensor : movables_[i].tensors) from_up.insert(name_of(tensor));
      }
      const MixedSource mixed(down.source(), up.source(), std::move(from_up));
      const std::string types = down.hash() + " " + up.hash() + " run " + std::to_string(run);
      results.push_back(probe.mean_divergence({{"types", types}}, mixed, -1));
      progress.add(1);
    }
    return allocate::weigh(results, movables_.size());
  }

  // Half of what a tensor's step from down to up changes, by the planner's own costs.
  std::vector<double> foretold() const {
    const double slope = planner_.divergence(1.01 * plan_.cost()) - plan_.divergence();
    std::vector<double> effects;
    for (const Movable& movable : movables_) {
      const double step = movable.lose_down + movable.gain_up;
      effects.push_back(-0.5 * step * slope / (0.01 * plan_.cost()));
    }
    return effects;
  }

  // The best plan near the first one under the corrected gains; they are drawn back until few
  // enough tensors change.
  Plan resolve(std::vector<double> factors) const {
    for (;;) {
      Correction correction{plan_, {}};
      for (size_t i = 0; i < movables_.size(); ++i) {
        for (const size_t tensor : movables_[i].tensors) {
          correction.factors[name_of(tensor)] = factors[i];
        }
      }
      Plan candidate = planner_.solve(budget_, &correction);
      const auto allowed = static_cast<int64_t>(
          std::max(2.0, kChangedShare * static_cast<double>(movables_.size())));
      if (changed_between(plan_, candidate) <= allowed) return candidate;
      const double largest = *std::max_element(factors.begin(), factors.end());
      if (largest < 1.001) return plan_;
      for (double& factor : factors) factor = std::sqrt(factor);
    }
  }

  void decide(const Plan& candidate, Refinement& out) const {
    const ProbeText text = windows(options_.skip + options_.design_windows, options_.test_windows);
    CachedProbe probe = probe_over(text);
    const auto measure = [&](const Plan& plan) {
      const PlannedFile file(inputs(), plan, cache_, pool_);
      return probe.divergence({{"types", file.hash()}}, file.source(), -1);
    };
    const std::vector<double> before = measure(plan_), after = measure(candidate);
    out.before = eval::mean_of(before).value;
    out.after = eval::mean_of(after).value;
    const eval::Interval interval =
        eval::compare_paired(after, before, {}, options_.seed).difference_interval;
    out.low = interval.low;
    out.high = interval.high;
    out.accepted = interval.high < 0;
    if (out.accepted) out.plan = candidate;
  }

  const Planner& planner_;
  const Plan& plan_;
  uint64_t budget_;
  const RefineOptions& options_;
  const PlanCache& cache_;
  base::ThreadPool& pool_;
  std::vector<Movable> movables_;
};

}  // namespace

std::vector<double> factors_of(const std::vector<double>& measured,
                               const std::vector<double>& foretold, double error) {
  std::vector<double> factors;
  for (size_t i = 0; i < measured.size(); ++i) {
    if (foretold[i] == 0) {
      factors.push_back(1);
      continue;
    }
    const double ratio = measured[i] / foretold[i], spread = error / std::abs(foretold[i]);
    const double trust =
        kPriorSpread * kPriorSpread / (kPriorSpread * kPriorSpread + spread * spread);
    factors.push_back(std::clamp(1 + trust * (ratio - 1), 1 / kFactorMax, kFactorMax));
  }
  return factors;
}

Refinement refine(const Planner& planner, const Plan& plan, uint64_t budget,
                  const RefineOptions& options, const PlanCache& cache, base::ThreadPool& pool) {
  return Refiner(planner, plan, budget, options, cache, pool).run();
}

}  // namespace karat::recipe
