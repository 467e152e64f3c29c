#include "exec/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace karat::exec {

std::vector<Sampler::Candidate> Sampler::candidates(std::span<const float> logits,
                                                    int64_t usable) const {
  CHECK(usable >= 1 && usable <= static_cast<int64_t>(logits.size()));
  std::vector<Candidate> list(static_cast<size_t>(usable));
  for (size_t i = 0; i < list.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const float penalty = seen_.count(id) ? static_cast<float>(options_.presence_penalty) : 0.0f;
    list[i] = {id, logits[i] - penalty, 0};
  }
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  size_t keep = list.size();
  if (options_.top_k > 0) keep = std::min(keep, static_cast<size_t>(options_.top_k));
  if (options_.temperature <= 0) keep = 1;
  std::partial_sort(list.begin(), list.begin() + static_cast<int64_t>(keep), list.end(), better);
  list.resize(keep);
  return list;
}

int32_t Sampler::draw(const std::vector<Candidate>& list) {
  double total = 0;
  for (const Candidate& candidate : list) total += candidate.probability;
  double at = rng_.uniform() * total;
  for (const Candidate& candidate : list) {
    at -= candidate.probability;
    if (at < 0) return candidate.id;
  }
  return list.back().id;
}

int32_t Sampler::next(std::span<const float> logits, int64_t usable) {
  std::vector<Candidate> list = candidates(logits, usable);
  int32_t id = list[0].id;
  if (list.size() > 1) {
    // Probabilities at temperature 1 for top-p and min-p.
    double total = 0;
    const auto weigh = [&](double temperature) {
      total = 0;
      for (Candidate& c : list) {
        const double distance = static_cast<double>(c.logit) - static_cast<double>(list[0].logit);
        total += c.probability = std::exp(distance / temperature);
      }
    };
    weigh(1);
    if (options_.top_p < 1) {
      double mass = 0;
      size_t keep = 0;
      while (keep < list.size() && mass < options_.top_p * total) mass += list[keep++].probability;
      list.resize(std::max<size_t>(keep, 1));
    }
    const double floor = options_.min_p * list[0].probability;
    while (list.size() > 1 && list.back().probability < floor) list.pop_back();
    weigh(options_.temperature);
    id = draw(list);
  }
  seen_.insert(id);
  return id;
}

}  // namespace karat::exec
