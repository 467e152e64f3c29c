// What F16 cannot hold, found before anything is written.
#pragma once

#include <vector>

#include "base/threads.h"
#include "tensor/source.h"

namespace karat::exporting {

// Reads the tensors that become F16 from F32 or BF16 and counts, per tensor, the values beyond
// F16's largest (65504) and those not zero that it would round to zero (at most 2^-25). Error{gate}
// naming the first tensor, in the order of the list, that has any of the former, with both numbers
// and the place of the first; a warning says how many are lost to zero otherwise. Nothing is read
// if no tensor becomes F16. Reports progress as "range", stops when interrupted.
void check_f16_range(const tensor::TensorSource& source,
                     const std::vector<const tensor::TensorInfo*>& from,
                     const std::vector<tensor::TensorInfo>& to, base::ThreadPool& pool);

}  // namespace karat::exporting
