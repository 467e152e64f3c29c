#include "base/threads.h"

#include <sched.h>

#include <atomic>
#include <charconv>
#include <chrono>
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

namespace {

// How long a thread looks for work, or for the end of a loop, before it sleeps: longer than the
// serial pieces between a model's loops, far shorter than what a person or a scheduler notices.
constexpr std::chrono::microseconds kSpinTime{40};

int cpu_count() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  return 1;
}

// True as soon as `done` is, false after kSpinTime.
template <class Done>
bool spin_until(const Done& done) {
  constexpr int kPausesPerLook = 32;  // at the clock
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < kPausesPerLook; ++i) {
      if (done()) return true;
      __builtin_ia32_pause();
    }
  } while (std::chrono::steady_clock::now() - start < kSpinTime);
  return done();
}

}  // namespace

// The state of the current loop is one word: how many workers are inside (the caller not counted),
// whether more may enter, and the loop's number. Workers enter and leave by changing it, so that a
// worker that is awake needs no lock; a mutex is only for going to sleep and waking up.
struct ThreadPool::State {
  static constexpr uint32_t kInsideMask = (1u << 11) - 1;
  static constexpr uint32_t kOpen = 1u << 11;
  static constexpr uint32_t kNumber = 1u << 12;  // one loop further; wraps around

  std::atomic<uint32_t> loop{0};
  std::atomic<bool> running{false};  // from the start of for_each to its end
  std::atomic<bool> stopping{false};
  bool spins =
      false;  // not with more threads than CPUs: a spinning one would hold up a working one
  std::vector<std::thread> threads;

  // Whoever goes to sleep says so first and looks again afterwards; whoever changes `loop` or
  // `stopping` looks at these afterwards. One of the two sees the other (all are sequentially
  // consistent), so no wake-up is lost.
  std::mutex mutex;
  std::condition_variable start, done;
  std::atomic<int> sleeping{0};  // workers
  std::atomic<bool> caller_sleeps{false};

  // Written before the loop opens.
  const std::function<void(int64_t, int)>* body = nullptr;
  int64_t count = 0;
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;  // guarded by mutex
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

  // Whether there is an open loop other than number `seen`.
  bool is_news(uint32_t seen) const {
    const uint32_t now = loop.load();
    return (now & kOpen) != 0 && now / kNumber != seen;
  }

  // Waits for a loop other than `seen` and enters it; false if the pool stops. `seen` becomes its
  // number: a worker enters each loop at most once.
  bool enter(uint32_t& seen) {
    for (;;) {
      const auto call = [&] { return stopping.load() || is_news(seen); };
      if (!(spins && spin_until(call)) && !call()) {
        std::unique_lock lock(mutex);
        ++sleeping;
        start.wait(lock, call);
        --sleeping;
      }
      if (stopping) return false;
      uint32_t now = loop.load();
      while ((now & kOpen) != 0 && now / kNumber != seen) {
        if (!loop.compare_exchange_weak(now, now + 1)) continue;
        seen = now / kNumber;
        return true;
      }
    }
  }

  void leave() {
    const uint32_t before = loop.fetch_sub(1);
    if ((before & kInsideMask) != 1 || !caller_sleeps) return;
    const std::lock_guard lock(mutex);
    done.notify_one();
  }

  void serve(int worker) {
    uint32_t seen = 0;
    while (enter(seen)) {
      work(worker);
      leave();
    }
  }

  void wake_workers() {
    if (sleeping == 0) return;
    { const std::lock_guard lock(mutex); }  // until who is about to sleep does
    start.notify_all();
  }

  void open_loop() {
    const uint32_t number = loop.load() / kNumber + 1;
    // Numbers are never 0, which is what a worker has seen that has seen none.
    const uint32_t word = number * kNumber;
    loop = (word == 0 ? kNumber : word) | kOpen;
    wake_workers();
  }

  // Lets nobody in any more and waits until all are out; who wakes only now has nothing left to do
  // and is not waited for.
  void close_loop() {
    loop.fetch_and(~kOpen);
    const auto empty = [&] { return (loop.load() & kInsideMask) == 0; };
    if (empty() || (spins && spin_until(empty))) return;
    std::unique_lock lock(mutex);
    caller_sleeps = true;
    done.wait(lock, empty);
    caller_sleeps = false;
  }

  void stop() {
    stopping = true;
    wake_workers();
    for (std::thread& thread : threads) thread.join();
  }
};

ThreadPool::ThreadPool(int size) : state_(std::make_unique<State>()) {
  CHECK(size >= 1 && size <= static_cast<int>(State::kInsideMask));
  state_->spins = size <= cpu_count();
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
  CHECK(!s.running.exchange(true));
  s.body = &body;
  s.count = count;
  s.next = 0;
  s.failed = false;
  s.error = nullptr;
  s.open_loop();
  s.work(0);
  s.close_loop();
  const std::exception_ptr error = s.error;  // nobody else is inside
  s.running = false;
  if (error) std::rethrow_exception(error);
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
  return cpu_count();
}

}  // namespace karat::base
