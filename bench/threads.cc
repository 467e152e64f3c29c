// What a parallel loop costs besides its work: a decoded token is some hundred short loops with
// serial pieces between them.
//
// Usage: threads [THREADS [RUNS]]. CSV on stdout: medians of RUNS (5) by the clock, and the CPU
// time that all threads took together, which shows what waiting burns.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "base/threads.h"

namespace karat {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// A chain of dependent additions: about a cycle each, nothing to share between threads.
double spin(int64_t steps) {
  volatile double sum = 0;
  for (int64_t i = 0; i < steps; ++i) sum = sum + 1;
  return sum;
}

// Steps of spin() that take a microsecond.
int64_t steps_per_microsecond() {
  constexpr int64_t kSteps = 2'000'000;
  double best = 1e9;
  for (int run = 0; run < 5; ++run) {
    const auto start = Clock::now();
    spin(kSteps);
    best = std::min(best, seconds_since(start));
  }
  return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(kSteps) / (best * 1e6)));
}

struct Case {
  double loop_us, serial_us;  // work of a whole loop, and of the caller between two loops
};

void run_case(base::ThreadPool& pool, const Case& c, int runs, int64_t steps) {
  constexpr int64_t kLoops = 3000, kPieces = 16;
  const auto piece = static_cast<int64_t>(c.loop_us * static_cast<double>(steps) / kPieces);
  const auto serial = static_cast<int64_t>(c.serial_us * static_cast<double>(steps));
  std::vector<double> clock, cpu;
  for (int run = 0; run < runs; ++run) {
    const double cpu_start = cpu_seconds();
    const auto start = Clock::now();
    for (int64_t loop = 0; loop < kLoops; ++loop) {
      pool.for_each(kPieces, [&](int64_t, int) { spin(piece); });
      spin(serial);
    }
    clock.push_back(seconds_since(start) / kLoops);
    cpu.push_back((cpu_seconds() - cpu_start) / kLoops);
  }
  std::sort(clock.begin(), clock.end());
  std::sort(cpu.begin(), cpu.end());
  const double median = clock[clock.size() / 2];
  const double ideal = (c.loop_us / pool.size() + c.serial_us) * 1e-6;
  std::printf("%d,%.0f,%.0f,%.0f,%.1f,%.1f,%.1f\n", pool.size(), c.loop_us, c.serial_us, 1 / median,
              median * 1e6, (median - ideal) * 1e6, cpu[cpu.size() / 2] * 1e6);
}

int run(int argc, char** argv) {
  base::ThreadPool pool(argc > 1 ? std::atoi(argv[1]) : base::default_threads());
  const int runs = argc > 2 ? std::atoi(argv[2]) : 5;
  const int64_t steps = steps_per_microsecond();
  std::printf(
      "threads,loop_us,serial_us,loops_per_second,us_per_loop,overhead_us,cpu_us_per_loop\n");
  for (const Case& c : {Case{4, 0}, Case{20, 0}, Case{20, 5}, Case{100, 5}, Case{20, 200}}) {
    run_case(pool, c, runs, steps);
  }
  const double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  std::fprintf(stderr, "idle for 200 ms: %.3f ms of CPU\n", 1e3 * (cpu_seconds() - before));
  return 0;
}

}  // namespace
}  // namespace karat

int main(int argc, char** argv) { return karat::run(argc, argv); }
