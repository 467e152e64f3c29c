// Importance statistics of several runs as if they were of one.
#pragma once

#include <vector>

#include "tensor/statistics.h"

namespace karat::calib {

// Adds sums (in double) and counts, entry by entry, and the chunks; lists the data sets one after
// the other. An entry that some lack is what the others have. Derived stats are dropped
// (fill_activation_stats makes them anew), and an entry's sums of x, too, unless all have them. At
// least one is needed; what one alone has is kept.
//
// Warned of, since the result then is not what one run over all texts would give: entries that are
// missing somewhere, sums of x that get lost, chunks of different sizes (the result has the
// first's, and as many of them as the tokens fill), and expert tensors of .dat files, whose one
// count is taken for every expert.
//
// Error{bad_input} naming files and entry if the same entry has other widths: another model.
tensor::Importance merge_importance(std::vector<tensor::Importance> parts);

}  // namespace karat::calib
