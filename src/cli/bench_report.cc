#include "cli/bench_report.h"

#include <algorithm>

#include "base/text.h"

namespace karat::cli {

using base::Json;
using base::strf;
using eval::SpeedTest;

namespace {

constexpr uint64_t kRatioSeed = 0;

std::vector<double> as_doubles(const std::vector<int64_t>& values) {
  return {values.begin(), values.end()};
}

// Averages as llama-bench takes them: of the times, and of the rates.
struct Averages {
  double ns, ns_deviation, rate, rate_deviation;
};
Averages averages(const BenchRow& row) {
  const std::vector<double> ns = as_doubles(row.samples.ns), rates = row.samples.rates(row.test);
  return {eval::mean_of(ns).value, eval::sample_deviation(ns), eval::mean_of(rates).value,
          eval::sample_deviation(rates)};
}

// How near the machine's limits the test came.
struct Reached {
  double gflops;
  bool decodes;  // the rest is known for tests that only decode
  double bytes_per_token = 0, bytes_per_second = 0, share = 0;
};
Reached reached(const BenchRun& run, const BenchRow& row) {
  const double seconds = eval::median_of(as_doubles(row.samples.ns)) * 1e-9;
  Reached r{run.cost.test_flops(row.test) / seconds * 1e-9,
            row.test.prompt == 0 && row.test.generate > 0};
  if (r.decodes) {
    r.bytes_per_token = run.cost.decode_bytes(row.test);
    r.bytes_per_second = r.bytes_per_token * static_cast<double>(row.test.generate) / seconds;
    r.share = r.bytes_per_second / run.read_bandwidth;
  }
  return r;
}

eval::SpeedRatio ratio(const BenchRow& row) {
  return eval::ratio_of_medians(row.samples.rates(row.test), row.peer.rates(row.test), kRatioSeed);
}

std::string size_text(uint64_t bytes) {
  const double mib = static_cast<double>(bytes) / (1 << 20);
  return mib < 1024 ? strf("%.2f MiB", mib) : strf("%.2f GiB", mib / 1024);
}

std::string params_text(int64_t params) {
  const auto count = static_cast<double>(params);
  return count < 1e9 ? strf("%.2f M", count * 1e-6) : strf("%.2f B", count * 1e-9);
}

// Widths and alignments are llama-bench's; the sign of +- is two bytes long.
std::string speed_table(const BenchRun& run) {
  std::string text =
      strf("| %-30s | %10s | %10s | %-10s | %7s | %7s | %8s | %15s | %20s |\n", "model", "size",
           "params", "backend", "threads", "n_batch", "n_ubatch", "test", "t/s");
  text +=
      "| ------------------------------ | ---------: | ---------: | ---------- | ------: | ------: "
      "| -------: | --------------: | -------------------: |\n";
  for (const BenchRow& row : run.rows) {
    const Averages average = averages(row);
    text += strf("| %-30s | %10s | %10s | %-10s | %7lld | %7lld | %8lld | %15s | %21s |\n",
                 base::printable(run.model_type).c_str(), size_text(run.model_bytes).c_str(),
                 params_text(run.model_params).c_str(), "CPU", static_cast<long long>(run.threads),
                 static_cast<long long>(run.batch), static_cast<long long>(run.ubatch),
                 row.test.name().c_str(),
                 strf("%.2f \u00b1 %.2f", average.rate, average.rate_deviation).c_str());
  }
  return text;
}

std::string limit_table(const BenchRun& run) {
  std::string text = strf(
      "\nmemory read, %lld threads, best of this run: %.1f GB/s\n\n"
      "| test            | GFLOP/s | MB/token |   GB/s | of memory read |\n"
      "| --------------: | ------: | -------: | -----: | -------------: |\n",
      static_cast<long long>(run.threads), run.read_bandwidth * 1e-9);
  for (const BenchRow& row : run.rows) {
    const Reached r = reached(run, row);
    text += strf("| %15s | %7.1f |", row.test.name().c_str(), r.gflops);
    text += r.decodes ? strf(" %8.1f | %6.1f | %12.1f %% |\n", r.bytes_per_token * 1e-6,
                             r.bytes_per_second * 1e-9, 100 * r.share)
                      : std::string("          |        |                |\n");
  }
  return text;
}

std::string peer_table(const BenchRun& run) {
  std::string text = strf(
      "\npeer: %s%s%s%s, interleaved; medians of %zu pairs\n\n"
      "| test            | karat t/s |  peer t/s | ratio | 95 %% interval |\n"
      "| --------------: | --------: | --------: | ----: | ------------: |\n",
      base::printable(run.peer_program).c_str(), run.peer_arguments.empty() ? "" : " ",
      base::printable(run.peer_arguments).c_str(),
      run.peer_build.empty() ? "" : (", build " + base::printable(run.peer_build)).c_str(),
      run.rows.empty() ? 0 : run.rows.front().peer.ns.size());
  for (const BenchRow& row : run.rows) {
    const eval::SpeedRatio r = ratio(row);
    text +=
        strf("| %15s | %9.2f | %9.2f | %5.2f | %5.2f .. %4.2f |\n", row.test.name().c_str(),
             eval::median_of(row.samples.rates(row.test)),
             eval::median_of(row.peer.rates(row.test)), r.value, r.interval.low, r.interval.high);
  }
  return text;
}

Json numbers(const std::vector<int64_t>& values) {
  return Json(Json::Array(values.begin(), values.end()));
}
Json numbers(const std::vector<double>& values) {
  return Json(Json::Array(values.begin(), values.end()));
}

// llama-bench's fields that mean something here, in its order, without the samples.
Json fields(const BenchRun& run, const BenchRow& row) {
  const Averages average = averages(row);
  Json json = Json::object();
  json.set("build_commit", run.build);
  json.set("build_number", 0);
  json.set("cpu_info", run.processor);
  json.set("gpu_info", "");
  json.set("backends", "CPU");
  json.set("model_filename", run.model_filename);
  json.set("model_type", run.model_type);
  json.set("model_size", run.model_bytes);
  json.set("model_n_params", run.model_params);
  json.set("n_batch", run.batch);
  json.set("n_ubatch", run.ubatch);
  json.set("n_threads", run.threads);
  json.set("type_k", run.type_k);
  json.set("type_v", run.type_v);
  json.set("n_gpu_layers", 0);
  json.set("flash_attn", true);
  json.set("use_mmap", false);
  json.set("n_prompt", row.test.prompt);
  json.set("n_gen", row.test.generate);
  json.set("n_depth", row.test.depth);
  json.set("test_time", row.time);
  json.set("avg_ns", static_cast<int64_t>(average.ns));
  json.set("stddev_ns", static_cast<int64_t>(average.ns_deviation));
  json.set("avg_ts", average.rate);
  json.set("stddev_ts", average.rate_deviation);
  return json;
}

std::string csv_cell(const Json& value) {
  if (!value.is_string()) return "\"" + value.dump() + "\"";
  std::string text = value.as_string();
  for (size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2) {
    text.insert(at, 1, '"');
  }
  return "\"" + text + "\"";
}

}  // namespace

std::string bench_markdown(const BenchRun& run) {
  return speed_table(run) + limit_table(run) + (run.peer_program.empty() ? "" : peer_table(run)) +
         strf("\nbuild: %s, %s\n", run.build.c_str(), run.instruction_set.c_str());
}

Json bench_json(const BenchRun& run, const BenchRow& row) {
  Json json = fields(run, row);
  json.set("samples_ns", numbers(row.samples.ns));
  json.set("samples_ts", numbers(row.samples.rates(row.test)));
  const Reached r = reached(run, row);
  json.set("test", row.test.name());
  json.set("instruction_set", run.instruction_set);
  json.set("gflops", r.gflops);
  json.set("memory_read_gb_s", run.read_bandwidth * 1e-9);
  if (r.decodes) {
    json.set("bytes_per_token", r.bytes_per_token);
    json.set("gb_s", r.bytes_per_second * 1e-9);
    json.set("memory_read_share", r.share);
  }
  if (!run.peer_program.empty()) {
    const eval::SpeedRatio against = ratio(row);
    Json peer = Json::object();
    peer.set("program", run.peer_program);
    peer.set("arguments", run.peer_arguments);
    peer.set("build_commit", run.peer_build);
    peer.set("samples_ns", numbers(row.peer.ns));
    peer.set("samples_ts", numbers(row.peer.rates(row.test)));
    peer.set("ratio", against.value);
    peer.set("ratio_interval_95",
             Json(Json::Array{Json(against.interval.low), Json(against.interval.high)}));
    json.set("peer", std::move(peer));
  }
  return json;
}

std::string bench_csv(const BenchRun& run) {
  std::string text;
  for (const BenchRow& row : run.rows) {
    std::string head, line;
    const Json json = fields(run, row);
    for (const auto& [key, value] : json.as_object()) {
      head += (head.empty() ? "" : ",") + key;
      line += (line.empty() ? "" : ",") + csv_cell(value);
    }
    if (text.empty()) text = head + "\n";
    text += line + "\n";
  }
  return text;
}

}  // namespace karat::cli
