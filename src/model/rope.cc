#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace karat::model {
namespace {

// Blends each frequency with its interpolated value, between the dimensions that turn `fast` and
// `slow` times over the original context.
void apply_yarn(const RopeConfig& config, RopeTable& table) {
  constexpr double kBetaFast = 32, kBetaSlow = 1;
  const auto dims = static_cast<double>(config.dims);
  const auto context = static_cast<double>(config.original_context);
  const auto dimension_of = [&](double turns) {
    return dims * std::log(context / (turns * 2 * std::numbers::pi)) / (2 * std::log(config.theta));
  };
  const double low = std::max(0.0, std::floor(dimension_of(kBetaFast)));
  double high = std::min(dims - 1, std::ceil(dimension_of(kBetaSlow)));
  if (high == low) high += 0.001;  // as in the authors' code: a step instead of a division by zero
  for (size_t i = 0; i < table.frequency.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    table.frequency[i] *= (1 - ramp) + ramp / config.factor;
  }
  table.factor = config.factor > 1 ? 0.1 * std::log(config.factor) + 1 : 1;
}

}  // namespace

RopeTable make_rope_table(const RopeConfig& config) {
  RopeTable table;
  for (int64_t i = 0; i < config.dims / 2; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(config.dims);
    table.frequency.push_back(std::pow(config.theta, exponent));
    const bool height = i % 3 == 1 && i < 3 * config.sections[1];
    const bool width = i % 3 == 2 && i < 3 * config.sections[2];
    table.axis.push_back(height ? 1 : width ? 2 : 0);
  }
  if (config.scaling == "yarn") apply_yarn(config, table);
  return table;
}

void rope_angles(const RopeTable& table, const RopePosition& position, float* cos, float* sin) {
  for (size_t i = 0; i < table.frequency.size(); ++i) {
    const double angle = static_cast<double>(position[table.axis[i]]) * table.frequency[i];
    cos[i] = static_cast<float>(std::cos(angle) * table.factor);
    sin[i] = static_cast<float>(std::sin(angle) * table.factor);
  }
}

}  // namespace karat::model
