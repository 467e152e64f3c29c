#include "allocate/knapsack.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "allocate/lagrange.h"
#include "base/error.h"

namespace karat::allocate {

namespace {

// Another choice of an item than that of the relaxation.
struct Alternative {
  size_t choice;
  int64_t bytes;   // more than the base choice
  double cost;     // more than the base choice
  double reduced;  // cost with bytes at their price, at least 0 but for rounding
};

struct Doubt {
  size_t item;
  std::vector<Alternative> alternatives;  // by reduced cost
};

// What a partial assignment differs from the base by.
struct State {
  int64_t bytes = 0;
  double cost = 0;
  double reduced = 0;
  int32_t path = -1;  // the last change, in Core::changes_
};

struct Change {
  int32_t before;
  size_t item, choice;
};

class Core {
 public:
  Core(const Problem& problem, const Relaxation& relaxation, const SolveOptions& options)
      : problem_(problem), options_(options), base_(assignment_of(problem, relaxation.base)) {
    slack_ = static_cast<int64_t>(problem.budget - base_.bytes);
    best_ = relaxation.feasible.cost - base_.cost;
    bound_ = relaxation.bound - base_.cost;
    tolerance_ = 1e-12 * std::max(std::abs(relaxation.bound), std::abs(relaxation.feasible.cost));
    collect(relaxation.price);
  }

  // The best choices, if they are better than those of the relaxation.
  std::vector<size_t> run(const std::vector<size_t>& otherwise) {
    std::vector<State> states = {State{}};
    consider(states[0]);
    for (const Doubt& doubt : doubts_) {
      if (!hopeful(doubt.alternatives[0].reduced)) break;  // so are all later ones
      std::vector<State> next;
      for (const State& state : states) extend(state, doubt, next);
      states = undominated(std::move(next));
    }
    if (best_path_ == kNone) return otherwise;
    std::vector<size_t> choice = base_.choice;
    for (int32_t at = best_path_; at >= 0; at = changes_[static_cast<size_t>(at)].before) {
      const Change& change = changes_[static_cast<size_t>(at)];
      choice[change.item] = change.choice;
    }
    return choice;
  }

  bool exact() const { return exact_; }

 private:
  static constexpr int32_t kNone = -2;

  // Whether something with this reduced cost can still end up better than the best so far.
  bool hopeful(double reduced) const { return reduced < best_ - bound_ - tolerance_; }

  void collect(double price) {
    for (size_t item = 0; item < problem_.items.size(); ++item) {
      const std::vector<Choice>& choices = problem_.items[item];
      const Choice& base = choices[base_.choice[item]];
      Doubt doubt{item, {}};
      for (size_t i = 0; i < choices.size(); ++i) {
        if (i == base_.choice[item]) continue;
        Alternative other{i, static_cast<int64_t>(choices[i].bytes - base.bytes),
                          choices[i].cost - base.cost, 0};
        other.reduced = std::max(0.0, other.cost + price * static_cast<double>(other.bytes));
        if (hopeful(other.reduced)) doubt.alternatives.push_back(other);
      }
      std::stable_sort(doubt.alternatives.begin(), doubt.alternatives.end(),
                       [](const auto& a, const auto& b) { return a.reduced < b.reduced; });
      if (!doubt.alternatives.empty()) doubts_.push_back(std::move(doubt));
    }
    std::stable_sort(doubts_.begin(), doubts_.end(), [](const Doubt& a, const Doubt& b) {
      return a.alternatives[0].reduced < b.alternatives[0].reduced;
    });
  }

  void consider(const State& state) {
    if (state.bytes > slack_ || !(state.cost < best_ - tolerance_)) return;
    best_ = state.cost;
    best_path_ = state.path;
  }

  void extend(const State& state, const Doubt& doubt, std::vector<State>& next) {
    if (!hopeful(state.reduced)) return;
    next.push_back(state);
    for (const Alternative& other : doubt.alternatives) {
      State made{state.bytes + other.bytes, state.cost + other.cost, state.reduced + other.reduced,
                 static_cast<int32_t>(changes_.size())};
      if (!hopeful(made.reduced)) break;
      if (changes_.size() >= kChangesMax) {
        exact_ = false;
        return;
      }
      changes_.push_back({state.path, doubt.item, other.choice});
      consider(made);
      next.push_back(made);
    }
  }

  // Without states that are both larger and costlier than another one, and not too many.
  std::vector<State> undominated(std::vector<State> states) {
    std::stable_sort(states.begin(), states.end(), [](const State& a, const State& b) {
      return a.bytes != b.bytes ? a.bytes < b.bytes : a.cost < b.cost;
    });
    std::vector<State> kept;
    double least = std::numeric_limits<double>::infinity();
    for (const State& state : states) {
      if (!(state.cost < least) || !hopeful(state.reduced)) continue;
      least = state.cost;
      kept.push_back(state);
    }
    if (kept.size() <= options_.states_max) return kept;
    exact_ = false;
    std::stable_sort(kept.begin(), kept.end(),
                     [](const State& a, const State& b) { return a.reduced < b.reduced; });
    kept.resize(options_.states_max);
    return kept;
  }

  static constexpr size_t kChangesMax = size_t{1} << 25;

  const Problem& problem_;
  const SolveOptions& options_;
  Assignment base_;
  int64_t slack_;        // bytes that the base leaves
  double best_, bound_;  // costs beyond the base's
  double tolerance_;
  int32_t best_path_ = kNone;
  bool exact_ = true;
  std::vector<Doubt> doubts_;
  std::vector<Change> changes_;
};

// Takes larger choices while more than `unused` bytes are left: always the one that costs least per
// byte.
void fill(const Problem& problem, uint64_t unused, Assignment& assignment) {
  while (problem.budget - assignment.bytes > unused) {
    const uint64_t left = problem.budget - assignment.bytes;
    double best = std::numeric_limits<double>::infinity();
    size_t best_item = 0, best_choice = 0;
    for (size_t item = 0; item < problem.items.size(); ++item) {
      const std::vector<Choice>& choices = problem.items[item];
      const Choice& now = choices[assignment.choice[item]];
      for (size_t i = 0; i < choices.size(); ++i) {
        if (choices[i].bytes <= now.bytes || choices[i].bytes - now.bytes > left) continue;
        const double rate =
            (choices[i].cost - now.cost) / static_cast<double>(choices[i].bytes - now.bytes);
        if (rate < best) best = rate, best_item = item, best_choice = i;
      }
    }
    if (best == std::numeric_limits<double>::infinity()) return;
    std::vector<size_t> choice = assignment.choice;
    choice[best_item] = best_choice;
    assignment = assignment_of(problem, std::move(choice));
  }
}

}  // namespace

Solution solve(const Problem& problem, const SolveOptions& options) {
  const Relaxation relaxation = relax(problem);
  Core core(problem, relaxation, options);
  Solution solution;
  solution.assignment = assignment_of(problem, core.run(relaxation.feasible.choice));
  solution.bound = relaxation.bound;
  solution.price = relaxation.price;
  solution.exact = core.exact();
  fill(problem, static_cast<uint64_t>(options.unused_share * static_cast<double>(problem.budget)),
       solution.assignment);
  return solution;
}

}  // namespace karat::allocate
