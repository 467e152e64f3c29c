// A fixed set of worker threads and one loop over them. Results must not depend on who runs what:
// every index writes its own output, and sums are added afterwards in index order. Between loops
// workers look for the next one for some 40 us before they sleep (not at all if there are more of
// them than CPUs), so that short loops in a row cost no wake-ups and idle pools no processor time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace karat::base {

class ThreadPool {
 public:
  // `size` >= 1 threads run each loop (the caller is one of them). Error{memory} if the system does
  // not give that many.
  explicit ThreadPool(int size);
  ~ThreadPool();
  int size() const;

  // Calls body(index, worker) for every index in [0, count), in no particular order; worker in
  // [0, size()) is for scratch memory. Returns when all are done. If a body throws, later indices
  // may be skipped, and the exception of the lowest throwing index is rethrown here: the same one
  // for any number of threads. Loops may not be nested on one pool, and one thread runs them.
  void for_each(int64_t count, const std::function<void(int64_t index, int worker)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The number of threads to use when the user names none: KARAT_THREADS (Error{usage} unless a
// number from 1 to 1024), else the CPUs this process may run on.
int default_threads();

}  // namespace karat::base
