#include "cli/bench_report.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace karat::cli {
namespace {

BenchRun example(bool with_peer) {
  BenchRun run;
  run.build = "0123abc";
  run.processor = "A \"fast\" one";
  run.instruction_set = "avx2";
  run.model_filename = "model.gguf";
  run.model_type = "qwen35moe 35B-A3B Q4_K_M";
  run.model_bytes = uint64_t{3} << 30;
  run.model_params = 34'660'000'000;
  run.batch = 2048, run.ubatch = 512, run.threads = 2;
  run.type_k = run.type_v = "f16";
  run.cost = {.weight_bytes = 900, .state_bytes = 100, .flops = 50, .head_flops = 10};
  run.read_bandwidth = 20000;
  run.rows = {{{512, 0, 0}, "2026-01-31T12:00:00Z", {{1'000'000'000, 1'000'000'000}}, {}},
              {{0, 10, 64}, "2026-01-31T12:00:01Z", {{1'000'000'000, 500'000'000}}, {}}};
  if (with_peer) {
    run.peer_program = "/bin/llama-bench", run.peer_build = "fff", run.peer_arguments = "-rtr 1";
    run.rows[0].peer.ns = {2'000'000'000, 2'000'000'000};
    run.rows[1].peer.ns = {4'000'000'000, 2'000'000'000};
  }
  return run;
}

TEST(BenchReport, MarkdownIsLlamaBenchsTableAndTheLimits) {
  const std::string text = bench_markdown(example(false));
  EXPECT_NE(text.find("| qwen35moe 35B-A3B Q4_K_M       |   3.00 GiB |    34.66 B | CPU        |"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("|           pp512 |        512.00 \u00b1 0.00 |\n"), std::string::npos);
  EXPECT_NE(text.find("|      tg10 @ d64 |         15.00 \u00b1 7.07 |\n"), std::string::npos);
  // 10 tokens of 1000 bytes in 0.75 s, of 20000 bytes/s.
  EXPECT_NE(text.find("|         66.7 % |\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("peer"), std::string::npos);
  EXPECT_NE(text.find("build: 0123abc"), std::string::npos);
  size_t width = text.find('\n');  // of the head; the others have the two-byte sign
  EXPECT_EQ(text.find('\n', width + 1), 2 * width + 1);
}

TEST(BenchReport, JsonHasLlamaBenchsFields) {
  const base::Json json = bench_json(example(false), example(false).rows[1]);
  for (const char* field :
       {"build_commit",   "build_number", "cpu_info",   "gpu_info",       "backends",
        "model_filename", "model_type",   "model_size", "model_n_params", "n_batch",
        "n_ubatch",       "n_threads",    "type_k",     "type_v",         "n_gpu_layers",
        "flash_attn",     "use_mmap",     "n_prompt",   "n_gen",          "n_depth",
        "test_time",      "avg_ns",       "stddev_ns",  "avg_ts",         "stddev_ts",
        "samples_ns",     "samples_ts"}) {
    EXPECT_NE(json.find(field), nullptr) << field;
  }
  EXPECT_EQ(json.at("n_prompt").as_int(), 0);
  EXPECT_EQ(json.at("n_gen").as_int(), 10);
  EXPECT_EQ(json.at("n_depth").as_int(), 64);
  EXPECT_EQ(json.at("avg_ns").as_int(), 750'000'000);
  EXPECT_EQ(json.at("avg_ts").as_double(), 15);
  EXPECT_EQ(json.at("samples_ts").as_array()[1].as_double(), 20);
  EXPECT_NEAR(json.at("memory_read_share").as_double(), 2.0 / 3, 1e-12);
  EXPECT_NEAR(json.at("gflops").as_double(), 600 / 0.75 * 1e-9, 1e-18);
  EXPECT_EQ(json.find("peer"), nullptr);
}

TEST(BenchReport, APromptHasNoBytesPerToken) {
  const base::Json json = bench_json(example(false), example(false).rows[0]);
  EXPECT_EQ(json.find("bytes_per_token"), nullptr);
  EXPECT_NEAR(json.at("gflops").as_double(), (512 * 50 + 10) * 1e-9, 1e-18);
}

TEST(BenchReport, PeerAndRatio) {
  const BenchRun run = example(true);
  const base::Json peer = bench_json(run, run.rows[0]).at("peer");
  EXPECT_EQ(peer.at("ratio").as_double(), 2);
  EXPECT_EQ(peer.at("ratio_interval_95").as_array()[0].as_double(), 2);
  EXPECT_EQ(peer.at("build_commit").as_string(), "fff");
  EXPECT_NE(bench_markdown(run).find("peer: /bin/llama-bench -rtr 1, build fff"),
            std::string::npos);
  // Medians 15 and 3.75 t/s.
  EXPECT_NE(bench_markdown(run).find("|      tg10 @ d64 |     15.00 |      3.75 |  4.00 |"),
            std::string::npos)
      << bench_markdown(run);
}

TEST(BenchReport, CsvHasOneLinePerTestAndQuotes) {
  const std::string text = bench_csv(example(false));
  EXPECT_EQ(std::ranges::count(text, '\n'), 3);
  EXPECT_EQ(text.find("build_commit,build_number,"), 0u);
  EXPECT_NE(text.find("\"A \"\"fast\"\" one\""), std::string::npos);
  EXPECT_EQ(text.find("samples"), std::string::npos);
}

}  // namespace
}  // namespace karat::cli
