// How fast this machine's memory can be read: the limit of decoding.
#pragma once

#include <cstdint>

#include "base/threads.h"

namespace karat::eval {

// Bytes per second that the pool's threads read together, each its own part of a buffer of `bytes`
// (far more than the caches hold) in order; the best of `passes`. The buffer is on huge pages where
// the system gives them, and is freed at the end.
double read_bandwidth(base::ThreadPool& pool, uint64_t bytes, int passes);

}  // namespace karat::eval
