// What bench prints: llama-bench's table, JSON and CSV, and beside them the machine's limits and
// the peer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "eval/speed.h"

namespace karat::cli {

struct BenchRow {
  eval::SpeedTest test;
  std::string time;                  // when it began, "2026-01-31T12:00:00Z"
  eval::SpeedSamples samples, peer;  // as many of each, in pairs; peer empty without one
};

struct BenchRun {
  std::string build, processor, instruction_set;
  std::string model_filename, model_type;  // "qwen35moe 35B-A3B Q4_K_M"
  uint64_t model_bytes = 0;
  int64_t model_params = 0;
  int64_t batch = 0, ubatch = 0, threads = 0;
  std::string type_k, type_v;
  eval::TokenCost cost;
  double read_bandwidth = 0;  // bytes per second, of the same threads in the same run
  std::string peer_program, peer_build, peer_arguments;  // empty without a peer
  std::vector<BenchRow> rows;
};

// llama-bench's table, and one of the limits, and one of the peer if there is one.
std::string bench_markdown(const BenchRun& run);
// One object per test with llama-bench's fields, and ours behind them.
base::Json bench_json(const BenchRun& run, const BenchRow& row);
// llama-bench's fields as a head line and a line per test; samples are left out as there.
std::string bench_csv(const BenchRun& run);

}  // namespace karat::cli
