// The last step of the best effort: what the measured gains say is checked where it counts, around
// the plan itself. In every run of a weighing design each tensor has the next smaller or the next
// larger type; all effects come out of all runs. The plan that follows from them replaces the first
// one only if it is better on text that neither was made with.
#pragma once

#include <cstdint>

#include "base/threads.h"
#include "calib/packet.h"
#include "recipe/plan.h"
#include "recipe/plan_cache.h"

namespace karat::recipe {

struct RefineOptions {
  int64_t skip = 0;            // windows of the text that the gains were measured on
  int64_t design_windows = 0;  // that each run of the design takes
  int64_t test_windows = 0;    // that decide
  uint64_t seed = 0;
};

struct Refinement {
  Plan plan;              // the better one
  bool accepted = false;  // it is the new one
  int64_t runs = 0, changed = 0;
  double before = 0,
         after = 0;          // mean divergence on the text that decides; after 0: nothing to try
  double low = 0, high = 0;  // 95 % interval of after - before, a bootstrap over windows
};

// `plan` is the planner's for this budget. The cache's folder takes two files of the model, which
// are removed at the end, and keeps every run. Error{usage} if the text is too short.
Refinement refine(const Planner& planner, const Plan& plan, uint64_t budget,
                  const RefineOptions& options, const PlanCache& cache, base::ThreadPool& pool);

// Factors on gains from measured and foretold effects: the ratio, drawn towards 1 by what the
// measurement's error leaves open, from 1/4 to 4. Effects foretold as zero have the factor 1.
std::vector<double> factors_of(const std::vector<double>& measured,
                               const std::vector<double>& foretold, double error);

}  // namespace karat::recipe
