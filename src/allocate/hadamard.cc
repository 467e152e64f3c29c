#include "allocate/hadamard.h"

#include <cmath>

#include "base/error.h"

namespace karat::allocate {

Effects weigh(std::span<const double> results, size_t effects) {
  CHECK(results.size() == design_runs(effects));
  const auto runs = static_cast<double>(results.size());
  Effects out;
  double squares = 0;
  for (size_t column = 0; column + 1 < results.size(); ++column) {
    double sum = 0;
    for (size_t run = 0; run < results.size(); ++run) {
      sum += design_sign(run, column) * results[run];
    }
    if (column < effects) {
      out.values.push_back(sum / runs);
    } else {
      squares += sum / runs * (sum / runs);
    }
  }
  out.error = std::sqrt(squares / (runs - 1 - static_cast<double>(effects)));
  return out;
}

}  // namespace karat::allocate
