#include "base/threads.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <set>
#include <thread>
#include <vector>

#include "base/error.h"

namespace karat::base {
namespace {

TEST(ThreadPool, RunsEveryIndexOnce) {
  for (const int size : {1, 2, 7}) {
    ThreadPool pool(size);
    EXPECT_EQ(pool.size(), size);
    for (const int64_t count : {0, 1, 2, 6, 7, 8, 1000}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
      std::atomic<bool> worker_in_range{true};
      pool.for_each(count, [&](int64_t index, int worker) {
        ++seen[static_cast<size_t>(index)];
        if (worker < 0 || worker >= size) worker_in_range = false;
      });
      for (const auto& times : seen) EXPECT_EQ(times, 1);
      EXPECT_TRUE(worker_in_range);
    }
    pool.for_each(-5, [](int64_t, int) { FAIL(); });
  }
}

TEST(ThreadPool, WorkersDoNotShareTheirScratch) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> busy(4);
  std::atomic<bool> shared{false};
  pool.for_each(500, [&](int64_t, int worker) {
    auto& mine = busy[static_cast<size_t>(worker)];
    if (++mine != 1) shared = true;
    std::this_thread::yield();
    --mine;
  });
  EXPECT_FALSE(shared);
}

TEST(ThreadPool, ReallyUsesItsThreads) {
  // Two indices that each wait for the other can only end on two threads.
  ThreadPool pool(2);
  std::atomic<int> arrived{0};
  pool.for_each(2, [&](int64_t, int) {
    ++arrived;
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (arrived < 2 && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  });
  EXPECT_EQ(arrived, 2);
}

// Pauses around the time that workers stay awake: loops that find them awake, asleep and on the
// way.
TEST(ThreadPool, LoopsAfterPausesUseTheThreads) {
  ThreadPool pool(2);
  for (int round = 0; round < 200; ++round) {
    std::this_thread::sleep_for(std::chrono::microseconds(round));
    std::atomic<int> arrived{0};
    pool.for_each(2, [&](int64_t, int) {
      ++arrived;
      const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
      while (arrived < 2 && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
    });
    ASSERT_EQ(arrived, 2) << round;
  }
}

// A worker that sits in a loop longer than the caller stays awake for.
TEST(ThreadPool, TheCallerWaitsForSlowWorkers) {
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> ended{0};
    pool.for_each(2, [&](int64_t, int worker) {
      if (worker != 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      ++ended;
    });
    ASSERT_EQ(ended, 2);
  }
}

TEST(ThreadPool, AnIdlePoolTakesNoProcessorTime) {
  ThreadPool pool(2);
  std::atomic<int> ran{0};
  pool.for_each(100, [&](int64_t, int) { ++ran; });
  const std::clock_t before = std::clock();  // of all threads
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const double seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(seconds, 0.25);  // one thread that kept looking would take 0.5
}

TEST(ThreadPool, ManyShortLoopsAreSafe) {
  ThreadPool pool(5);
  for (int round = 0; round < 3000; ++round) {
    std::vector<int> out(6, -1);  // on the stack of this round: a late worker would be seen
    pool.for_each(6, [&](int64_t index, int) { out[static_cast<size_t>(index)] = round; });
    for (const int value : out) ASSERT_EQ(value, round);
  }
}

TEST(ThreadPool, RethrowsTheExceptionOfTheLowestIndex) {
  for (const int size : {1, 2, 7}) {
    ThreadPool pool(size);
    for (int round = 0; round < 50; ++round) {
      try {
        pool.for_each(64, [&](int64_t index, int) {
          // The lowest that throws is also the slowest.
          if (index == 5) std::this_thread::sleep_for(std::chrono::microseconds(200));
          if (index >= 5) throw fail(ErrorKind::bad_input, "%d", static_cast<int>(index));
        });
        FAIL() << "nothing thrown";
      } catch (const Error& error) {
        ASSERT_STREQ(error.what(), "5");
      }
    }
    std::atomic<int> ran{0};  // the pool still works
    pool.for_each(10, [&](int64_t, int) { ++ran; });
    EXPECT_EQ(ran, 10);
  }
}

TEST(ThreadPool, NestedLoopsAreAnError) {
  ThreadPool pool(2);
  EXPECT_THROW(pool.for_each(4, [&](int64_t, int) { pool.for_each(4, [](int64_t, int) {}); }),
               Error);
  EXPECT_THROW(ThreadPool(0), Error);
}

TEST(Threads, DefaultIsTheEnvironmentOrTheCpus) {
  ::unsetenv("KARAT_THREADS");
  cpu_set_t set;
  CPU_ZERO(&set);
  ASSERT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  EXPECT_EQ(default_threads(), CPU_COUNT(&set));
  ::setenv("KARAT_THREADS", "7", 1);
  EXPECT_EQ(default_threads(), 7);
  for (const char* bad : {"", "0", "-1", "1025", "4x", " 4", "99999999999"}) {
    ::setenv("KARAT_THREADS", bad, 1);
    EXPECT_THROW(default_threads(), Error) << bad;
  }
  ::unsetenv("KARAT_THREADS");
}

}  // namespace
}  // namespace karat::base
