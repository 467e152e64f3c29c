// How many sequences go through the model at a time: each has a state, 66 MB in the full model and
// 2.1 MB in one of its blocks, however short it is.
#pragma once

#include <cstdint>

namespace karat::exec {

inline constexpr int64_t kSequencesMax = 16;       // with states of the whole model
inline constexpr int64_t kBlockSequencesMax = 64;  // with states of one block

}  // namespace karat::exec
