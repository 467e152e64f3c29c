#include "base/threads.h"

#include <sched.h>

#include <atomic>
#include <charconv>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.h"

namespace karat::base {

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable start, done;
  std::vector<std::thread> threads;
  uint64_t generation = 0;  // of the loop; a worker enters each loop at most once
  int active = 0;           // workers inside the loop, the caller not counted
  bool running = false;     // from the start of a loop until its last worker has left
  bool open = false;        // while workers may still enter
  bool stopping = false;

  const std::function<void(int64_t, int)>* body = nullptr;
  int64_t count = 0;
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  int64_t error_index = 0;

  // An index that was taken is always run. Indices are taken in order, so whenever one throws, all
  // lower ones run too, and the lowest that throws does not depend on timing.
  void work(int worker) {
    while (!failed.load(std::memory_order_relaxed)) {
      const int64_t index = next.fetch_add(1, std::memory_order_relaxed);
      if (index >= count) return;
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
      start.wait(lock, [&] { return stopping || (open && generation != seen); });
      if (stopping) return;
      seen = generation;
      ++active;
      lock.unlock();
      work(worker);
      lock.lock();
      if (--active == 0) done.notify_one();
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    start.notify_all();
    for (std::thread& thread : threads) thread.join();
  }
};

ThreadPool::ThreadPool(int size) : state_(std::make_unique<State>()) {
  CHECK(size >= 1);
  try {
    for (int worker = 1; worker < size; ++worker) {
      state_->threads.emplace_back([this, worker] { state_->serve(worker); });
    }
  } catch (const std::system_error& error) {
    state_->stop();
    throw fail(ErrorKind::memory, "%d threads cannot be started (%s); use fewer with --threads",
               size, error.what());
  }
}

ThreadPool::~ThreadPool() { state_->stop(); }

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
    CHECK(!s.running);
    s.running = s.open = true;
    s.body = &body;
    s.count = count;
    s.next = 0;
    s.failed = false;
    s.error = nullptr;
    ++s.generation;
  }
  s.start.notify_all();
  s.work(0);
  std::unique_lock lock(s.mutex);
  s.open = false;  // who wakes only now has nothing left to do and is not waited for
  s.done.wait(lock, [&] { return s.active == 0; });
  s.running = false;
  if (s.error) std::rethrow_exception(s.error);
}

int default_threads() {
  if (const char* variable = std::getenv("KARAT_THREADS")) {
    const std::string_view text = variable;
    int n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    if (whole && n >= 1 && n <= 1024) return n;
    throw fail(ErrorKind::usage, "KARAT_THREADS: a number from 1 to 1024 is expected");
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  return 1;
}

}  // namespace karat::base
