// Softmax attention of several queries at once.
#pragma once

#include <cstdint>

#include "kernels/table.h"
#include "model/kv_cache.h"

namespace karat::model {

// Consecutive positions of one sequence and some query heads of one K/V head.
struct AttendArgs {
  const CacheRows& k;
  const CacheRows& v;
  int64_t col;        // the K/V head's first column in the cache
  int64_t dim;        // columns of a head
  int64_t positions;  // position p sees the first `length + p` rows of the cache
  int64_t length;
  int64_t heads;
  float scale;
  const float* q;  // [positions, heads, dim]
  float* o;        // [positions, heads, dim]
};

// o = softmax(q K^T scale) V. K and V are read once, whatever the number of queries. Each score is
// the kernels' dot product, each output adds p_t v_t in increasing t from 0, one fma each: a
// query's bits do not depend on the others.
void attend(const kernels::KernelTable& kernels, const AttendArgs& args);

}  // namespace karat::model
