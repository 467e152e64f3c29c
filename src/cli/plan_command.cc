#include "cli/plan_command.h"

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/plan_report.h"
#include "cli/quantize_receipt.h"
#include "cli/stats_folder.h"
#include "format/imatrix.h"
#include "model/open.h"
#include "recipe/fit.h"
#include "recipe/plan.h"
#include "recipe/probe.h"
#include "recipe/quantize.h"
#include "recipe/refine.h"

namespace karat::cli {

using base::ErrorKind;
using base::fail;

namespace {

constexpr uint64_t kRecipeBytesMax = uint64_t{1} << 24;
constexpr double kUnusedShare = 0.001;  // of a target, that a file may stay below it

// A budget of tensor bytes, or of a file's.
struct Target {
  std::string text;   // as the plan says it
  std::string shown;  // for messages
  uint64_t bytes = 0;
  bool whole_file = false;
};

class Planning {
 public:
  Planning(const PlanRequest& request, const Common& common)
      : request_(request),
        common_(common),
        opened_(model::open_model(request.model)),
        imatrix_(stats_imatrix(request.stats)),
        importance_(format::read_imatrix(imatrix_)) {
    inputs_ = opened_.files;
    inputs_.push_back(imatrix_);
    // quantize makes Hessians of the text then, and says so in the file.
    if (base::file_exists(stats_hessians(request.stats))) {
      inputs_.push_back(stats_text(request.stats));
    }
    if (!request.out.empty()) {
      base::check_output(request.out, {.force = common.force, .inputs = inputs_});
    }
    if (!request.tensor_types.empty()) {
      base::check_output(request.tensor_types, {.force = common.force, .inputs = inputs_});
    }
  }

  void run() {
    const Target target = find_target();
    base::ThreadPool pool(common_.thread_count());
    if (base::file_exists(stats_routing(request_.stats))) {
      routing_ = calib::read_routing(stats_routing(request_.stats));
    }
    const calib::Packet text = calib::read_packet(stats_text(request_.stats));
    const recipe::Policy policy = read_recipe();
    const recipe::Effort& effort = recipe::effort_named(request_.effort);
    require_probe_memory(effort);
    require_text(text, effort);
    const recipe::PlanCache cache(request_.cache.empty() ? request_.stats + "/plan.cache"
                                                         : request_.cache);
    const recipe::Planner planner(
        {*opened_.source, opened_.config, importance_, routing_ ? &*routing_ : nullptr, text,
         base::sha256_of_file(imatrix_)},
        policy, effort, static_cast<uint64_t>(common_.seed), alignment(), cache, pool);
    recipe::Plan plan = solve(planner, target);
    if (effort.design_windows > 0) refine(planner, effort, target, cache, pool, plan);
    plan.target = target.text;
    if (!request_.out.empty()) {
      base::write_file(request_.out, recipe::plan_json(plan).dump(1) + "\n");
    }
    if (!request_.tensor_types.empty()) {
      base::write_file(request_.tensor_types, recipe::tensor_type_file(plan));
    }
    if (common_.json) {
      print_json(plan_report_json(plan, *opened_.source));
    } else {
      print(plan_report(plan, *opened_.source, request_.explain));
    }
  }

 private:
  uint64_t alignment() const {
    return opened_.metadata ? format::GgufLayout(*opened_.metadata, {}).alignment() : 32;
  }

  recipe::Policy read_recipe() const {
    if (request_.recipe.empty()) return recipe::default_policy();
    return recipe::parse_policy(base::read_file(request_.recipe, kRecipeBytesMax),
                                base::printable(request_.recipe));
  }

  // Of tensors in these types, as they lie in a file.
  uint64_t preset_data(const recipe::Preset& preset) const {
    uint64_t bytes = 0;
    for (const recipe::TypeDecision& decision :
         recipe::decide_types(*opened_.source, opened_.config, preset, {.imatrix = true})) {
      tensor::TensorInfo info = opened_.source->tensors()[decision.tensor];
      info.dtype = decision.type;
      const auto size = static_cast<uint64_t>(info.bytes());
      bytes += (size + alignment() - 1) / alignment() * alignment();
    }
    return bytes;
  }

  Target find_target() const {
    const PlanRequest& r = request_;
    const int given = (r.bpw > 0) + (r.size > 0) + (r.fit_ram > 0) + !r.like.empty();
    if (given != 1) {
      throw fail(ErrorKind::usage,
                 "plan: give one of --target-bpw, --target-size, --like and --fit-ram");
    }
    if (r.bpw > 0) {
      int64_t elements = 0;
      for (const tensor::TensorInfo& info : opened_.source->tensors()) {
        elements += info.shape.elements();
      }
      const double bytes = r.bpw * static_cast<double>(elements) / 8;
      return {base::strf("bpw %.9g", r.bpw), base::strf("%g bits per weight", r.bpw),
              static_cast<uint64_t>(bytes)};
    }
    if (r.size > 0) {
      return {"size " + std::to_string(r.size), "a file of " + base::both_units(r.size), r.size,
              true};
    }
    if (!r.like.empty()) {
      const recipe::Preset& preset = recipe::preset_named(r.like);
      return {"like " + std::string(preset.name), "the bytes of " + std::string(preset.name),
              preset_data(preset)};
    }
    const exec::MemoryPlan memory = exec::plan_memory(*opened_.source, opened_.config, r.memory);
    const uint64_t beside = memory.total() - memory.weight_bytes();
    if (beside >= r.fit_ram) {
      throw fail(ErrorKind::usage, "--fit-ram: caches and buffers alone take %s",
                 base::both_units(beside).c_str());
    }
    return {"fit-ram " + std::to_string(r.fit_ram),
            "weights of " + base::both_units(r.fit_ram - beside) + " (" + base::both_units(beside) +
                " are for caches and buffers)",
            r.fit_ram - beside};
  }

  void require_probe_memory(const recipe::Effort& effort) const {
    const int64_t tokens = effort.windows * recipe::Planner::kContext;
    require_memory(common_,
                   recipe::Probe::bytes_needed(*opened_.source, opened_.config, tokens,
                                               recipe::Planner::kContext, {}),
                   "plan: passes over " + std::to_string(tokens) + " tokens");
  }

  // Before hours of work.
  void require_text(const calib::Packet& text, const recipe::Effort& effort) const {
    if (effort.design_windows == 0) return;
    const int64_t windows = effort.windows + effort.design_windows + effort.test_windows;
    const int64_t needed = windows * recipe::Planner::kContext;
    if (static_cast<int64_t>(text.tokens.size()) >= needed) return;
    throw fail(
        ErrorKind::usage,
        "--effort %s needs %lld tokens of calibration text, %s has %zu; calibrate with more, "
        "or take another effort",
        effort.name.c_str(), static_cast<long long>(needed),
        base::printable(request_.stats).c_str(), text.tokens.size());
  }

  // Replaces the plan if a better one is found.
  void refine(const recipe::Planner& planner, const recipe::Effort& effort, const Target& target,
              const recipe::PlanCache& cache, base::ThreadPool& pool, recipe::Plan& plan) const {
    const uint64_t budget =
        target.bytes - (target.whole_file ? plan.file_bytes - plan.data_bytes : 0);
    const recipe::Refinement found = recipe::refine(planner, plan, budget,
                                                    {.skip = effort.windows,
                                                     .design_windows = effort.design_windows,
                                                     .test_windows = effort.test_windows,
                                                     .seed = static_cast<uint64_t>(common_.seed)},
                                                    cache, pool);
    base::info(
        "refinement: %lld runs, %lld tensors would change, KLD on other text %.6g, before "
        "%.6g, difference %.3g .. %.3g (95 %%): %s",
        static_cast<long long>(found.runs), static_cast<long long>(found.changed), found.after,
        found.before, found.low, found.high, found.accepted ? "accepted" : "not accepted");
    recipe::Plan better = found.plan;
    better.file_bytes = file_bytes(better);
    if (!target.whole_file || better.file_bytes <= target.bytes) plan = std::move(better);
  }

  // The file that quantize --plan will write.
  uint64_t file_bytes(const recipe::Plan& plan) const {
    const recipe::PlanDecisions made =
        recipe::decisions_of(plan, request_.out, *opened_.source, plan.statistics);
    QuantizeRequest request;
    request.in = request_.model;
    request.imatrix = imatrix_;
    request.plan_hash.assign(64, '0');
    const recipe::QuantizePlan types =
        recipe::plan_quantize(*opened_.source, *made.preset, made.decisions, &importance_);
    receipt::Receipt receipt = quantize_receipt(request, types, {});
    receipt.inputs = unhashed(inputs_);
    const format::Metadata metadata =
        quantize_metadata(request, opened_, types, &importance_, receipt);
    return recipe::quantized_layout(types, metadata).file_bytes();
  }

  // The head of a file depends a little on the types (what it says of experts without statistics),
  // so the budget is what is left after the head of the plan before.
  recipe::Plan solve(const recipe::Planner& planner, const Target& target) const {
    const uint64_t least = planner.bytes_min(), most = planner.bytes_max();
    recipe::Plan plan = planner.solve(least);
    plan.file_bytes = file_bytes(plan);
    const uint64_t head = target.whole_file ? plan.file_bytes - least : 0;
    const auto enough =
        static_cast<uint64_t>(std::ceil(static_cast<double>(most + head) / (1 - kUnusedShare)));
    if (target.bytes < least + head || target.bytes > enough) {
      const double weights = static_cast<double>(plan.elements(*opened_.source));
      throw fail(ErrorKind::usage,
                 "plan: %s is not possible: %s of this model are from %s (%.4f bits per weight) to "
                 "%s (%.4f)",
                 target.shown.c_str(), target.whole_file ? "files" : "the tensors",
                 base::both_units(least + head).c_str(), 8 * static_cast<double>(least) / weights,
                 base::both_units(most + head).c_str(), 8 * static_cast<double>(most) / weights);
    }
    uint64_t budget = target.bytes - head;
    for (;;) {
      plan = planner.solve(budget);
      plan.file_bytes = file_bytes(plan);
      if (!target.whole_file || plan.file_bytes <= target.bytes) return plan;
      budget -= std::min(budget - least, plan.file_bytes - target.bytes);
    }
  }

  const PlanRequest& request_;
  const Common& common_;
  model::OpenedModel opened_;
  std::string imatrix_;
  tensor::Importance importance_;
  std::optional<calib::Routing> routing_;
  std::vector<std::string> inputs_;
};

}  // namespace

void make_plan_file(const PlanRequest& request, const Common& common) {
  if (request.model.empty()) throw fail(ErrorKind::usage, "plan: --model is missing");
  if (request.stats.empty()) {
    throw fail(ErrorKind::usage,
               "plan: --stats is missing, the folder that karat calibrate -o STATS writes");
  }
  Planning(request, common).run();
}

}  // namespace karat::cli
