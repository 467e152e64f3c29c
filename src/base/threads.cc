#include "base/threads.h"

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"

namespace karat::base {

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable start, done;
  std::vector<std::thread> threads;
  uint64_t generation = 0;
  int running = 0;
  bool stopping = false;

  const std::function<void(int64_t, int)>* body = nullptr;
  int64_t count = 0;
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  int64_t error_index = 0;

  void work(int worker) {
    for (;;) {
      const int64_t index = next.fetch_add(1, std::memory_order_relaxed);
      if (index >= count || failed.load(std::memory_order_relaxed)) return;
      try {
        (*body)(index, worker);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!error || index < error_index) error = std::current_exception(), error_index = index;
        failed = true;
      }
    }
  }

  void serve(int worker) {
    uint64_t seen = 0;
    std::unique_lock lock(mutex);
    for (;;) {
      start.wait(lock, [&] { return stopping || generation != seen; });
      if (stopping) return;
      seen = generation;
      lock.unlock();
      work(worker);
      lock.lock();
      if (--running == 0) done.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int size) : state_(std::make_unique<State>()) {
  CHECK(size >= 1);
  for (int worker = 1; worker < size; ++worker) {
    state_->threads.emplace_back([this, worker] { state_->serve(worker); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->start.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

int ThreadPool::size() const { return static_cast<int>(state_->threads.size()) + 1; }

void ThreadPool::for_each(int64_t count, const std::function<void(int64_t, int)>& body) {
  if (count <= 0) return;
  State& s = *state_;
  if (count == 1 || s.threads.empty()) {  // not worth waking anyone
    for (int64_t index = 0; index < count; ++index) body(index, 0);
    return;
  }
  {
    const std::lock_guard lock(s.mutex);
    CHECK(s.body == nullptr);
    s.body = &body;
    s.count = count;
    s.next = 0;
    s.failed = false;
    s.error = nullptr;
    s.running = static_cast<int>(s.threads.size());
    ++s.generation;
  }
  s.start.notify_all();
  s.work(0);
  std::unique_lock lock(s.mutex);
  s.done.wait(lock, [&] { return s.running == 0; });
  s.body = nullptr;
  if (s.error) std::rethrow_exception(s.error);
}

int default_threads() {
  if (const char* text = std::getenv("KARAT_THREADS")) {
    const int n = std::atoi(text);
    if (n >= 1 && n <= 1024) return n;
    throw fail(ErrorKind::usage, "KARAT_THREADS: a number from 1 to 1024 is expected");
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  return 1;
}

}  // namespace karat::base
