#include <charconv>
#include <ctime>
#include <sstream>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/process.h"
#include "base/text.h"
#include "cli/bench_report.h"
#include "cli/build_id.h"
#include "cli/command.h"
#include "cli/load.h"
#include "eval/bandwidth.h"
#include "eval/peer.h"
#include "kernels/dispatch.h"
#include "model/summary.h"
#include "receipt/receipt.h"
#include "recipe/presets.h"

namespace karat::cli {

using base::ErrorKind;
using base::fail;

namespace {

using Pairs = std::vector<std::pair<int64_t, int64_t>>;

constexpr uint64_t kReadBytes = uint64_t{512} << 20;  // far more than caches hold
constexpr int64_t kBatch = 2048;  // llama-bench's default, as kPieceTokens is its -ub
constexpr int kReadPasses = 4;    // before each test

// "512,2048", and more each time the option is given, as llama-bench reads them: whole numbers from
// 0 on; `otherwise` if there are none.
std::vector<int64_t> numbers_of(const char* option, const std::vector<std::string>& texts,
                                std::vector<int64_t> otherwise) {
  constexpr int64_t kTokensMax = int64_t{1} << 24;
  std::vector<int64_t> out;
  for (const std::string& text : texts) {
    std::istringstream in(text + ",");
    for (std::string piece; std::getline(in, piece, ',');) {
      int64_t number = -1;
      const auto [end, error] = std::from_chars(piece.data(), piece.data() + piece.size(), number);
      const bool whole = error == std::errc() && end == piece.data() + piece.size();
      if (!whole || number < 0 || number > kTokensMax) {
        throw fail(ErrorKind::usage, "%s %s: numbers of tokens are expected, separated by commas",
                   option, base::printable(text).c_str());
      }
      out.push_back(number);
    }
  }
  return out.empty() ? otherwise : out;
}

std::string now() {
  const std::time_t seconds = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

// As llama-bench names models: architecture, size, and what the file was quantized to.
std::string model_type(const model::OpenedModel& opened, const model::ModelSummary& summary) {
  const auto size = [](int64_t params) {
    const auto count = static_cast<double>(params);
    return count < 1e9 ? base::strf("%.0fM", count * 1e-6) : base::strf("%.0fB", count * 1e-9);
  };
  std::string type = summary.types.empty() ? "" : std::string(info(summary.types[0].type).name);
  if (opened.metadata) {
    const auto ftype = opened.metadata->get_int("general.file_type", -1);
    if (const auto* preset = recipe::find_preset(std::to_string(ftype))) type = preset->name;
  }
  return "qwen35moe " + size(summary.params) + "-A" + size(summary.active_params) + " " + type;
}

class Bench : public Command {
 public:
  std::string verb() const override { return "bench"; }
  std::string summary() const override { return "measure speed, as llama-bench does"; }
  std::string usage() const override {
    return "-m MODEL [-p N,..] [-n N,..] [-pg N,N] [-d N,..] [-r N] [--peer LLAMA_BENCH]";
  }

  void declare(Options& options) override {
    options.text("-m,--model", "MODEL", model_, "HF folder or GGUF file").required = true;
    options.each("-p,--n-prompt", "N,..", prompts_, "tokens of the prompts (default 512; 0: none)");
    options.each("-n,--n-gen", "N,..", generations_, "tokens to generate (default 128; 0: none)");
    options.each("-pg", "N,N", pairs_, "a prompt and what follows it, as one test");
    options.each("-d,--n-depth", "N,..", depths_,
                 "tokens in the context before each test (default 0)");
    options.integer("-r,--repetitions", "N", repetitions_, "repetitions (default 5)", 1);
    options.integer("-b,--batch-size", "N", batch_, "tokens per call (default 2048)", 1);
    options.integer("-ub,--ubatch-size", "N", ubatch_,
                    base::strf("tokens that go through the model at a time (default %lld)",
                               static_cast<long long>(exec::Session::kPieceTokens)),
                    1);
    cache_.declare(options);
    options.choice("-o,--output", {"md", "json", "jsonl", "csv"}, format_,
                   "form of the result (default md)");
    options.text("--peer", "PROGRAM", peer_.program,
                 "llama-bench, or what behaves like it: runs in turn with karat");
    options.text("--peer-args", "TEXT", peer_arguments_,
                 "more options for the peer, separated by blanks");
  }

  void run(const Common& common) override {
    opened_ = model::open_model(model_);
    const std::vector<eval::SpeedTest> tests = wanted();
    if (tests.empty()) throw fail(ErrorKind::usage, "bench: -p and -n leave nothing to measure");
    prepare_peer(common);
    BenchRun run = description(common);
    base::ThreadPool pool(common.thread_count());
    int64_t context = 1;
    for (const eval::SpeedTest& test : tests) {
      context = std::max(context, test.depth + test.tokens());
    }
    model_here_ = load_for_sessions(
        opened_, {.context = context, .cache = cache_.types(), .piece_tokens = run.ubatch}, common,
        pool);
    for (const eval::SpeedTest& test : tests) {
      run.read_bandwidth =
          std::max(run.read_bandwidth, eval::read_bandwidth(pool, kReadBytes, kReadPasses));
      run.rows.push_back(measure(test, common, pool, run));
    }
    report(run, common);
  }

 private:
  std::vector<eval::SpeedTest> wanted() const {
    Pairs pairs;
    for (const std::string& text : pairs_) {
      const std::vector<int64_t> two = numbers_of("-pg", {text}, {});
      if (two.size() != 2) {
        throw fail(ErrorKind::usage, "-pg %s: two numbers of tokens are expected",
                   base::printable(text).c_str());
      }
      pairs.emplace_back(two[0], two[1]);
    }
    return eval::speed_tests(numbers_of("-p", prompts_, {512}),
                             numbers_of("-n", generations_, {128}), pairs,
                             numbers_of("-d", depths_, {0}));
  }

  void prepare_peer(const Common& common) {
    if (peer_.program.empty()) {
      if (peer_arguments_.empty()) return;
      throw fail(ErrorKind::usage, "--peer-args belong to --peer");
    }
    if (!opened_.is_gguf) {
      throw fail(ErrorKind::usage, "%s: the peer reads GGUF files; 'karat convert' makes one",
                 base::printable(model_).c_str());
    }
    peer_.model = model_;
    base::run_process({peer_.program, "--help"});  // that it is there, before weights are read
    peer_.threads = common.thread_count();
    if (batch_ != kBatch) {
      peer_.arguments.insert(peer_.arguments.end(), {"-b", std::to_string(batch_)});
    }
    if (ubatch_ != exec::Session::kPieceTokens) {
      peer_.arguments.insert(peer_.arguments.end(), {"-ub", std::to_string(ubatch_)});
    }
    if (cache_.k != "f16") peer_.arguments.insert(peer_.arguments.end(), {"-ctk", cache_.k});
    if (cache_.v != "f16") peer_.arguments.insert(peer_.arguments.end(), {"-ctv", cache_.v});
    std::istringstream in(peer_arguments_);
    for (std::string word; in >> word;) peer_.arguments.push_back(word);
  }

  BenchRun description(const Common& common) const {
    const model::ModelSummary summary = model::summarize(opened_);
    const std::string build = kBuildId;
    BenchRun run;
    run.build = build.substr(build.rfind(' ') + 1);
    run.processor = receipt::processor();
    run.instruction_set = kernels::table().name;
    run.model_filename = model_;
    run.model_type = model_type(opened_, summary);
    run.model_bytes = summary.bytes;
    run.model_params = summary.params;
    run.batch = batch_;
    run.ubatch = std::min(batch_, ubatch_);
    run.threads = common.thread_count();
    run.type_k = cache_.k;
    run.type_v = cache_.v;
    run.cost = eval::token_cost(*opened_.source, opened_.config, cache_.types());
    run.peer_program = peer_.program;
    run.peer_arguments = peer_arguments_;
    return run;
  }

  // One warm-up, then the repetitions; with a peer pairs in the order A B, B A, A B, ...
  BenchRow measure(const eval::SpeedTest& test, const Common& common, base::ThreadPool& pool,
                   BenchRun& run) {
    BenchRow row{test, now(), {}, {}};
    eval::SpeedRunner runner(*model_here_, pool,
                             {run.ubatch, cache_.types(), static_cast<uint64_t>(common.seed)});
    runner.warm_up(test);
    const auto ours = [&] { row.samples.ns.push_back(runner.run(test)); };
    const auto theirs = [&] {
      const eval::PeerSample sample = eval::run_peer(peer_, test);
      row.peer.ns.push_back(sample.ns);
      run.peer_build = sample.build;
    };
    for (int64_t round = 0; round < repetitions_; ++round) {
      base::stop_if_interrupted();
      if (peer_.program.empty()) {
        ours();
      } else if (round % 2 == 0) {
        ours(), theirs();
      } else {
        theirs(), ours();
      }
    }
    base::verbose("%s: %.2f t/s", test.name().c_str(), eval::median_of(row.samples.rates(test)));
    return row;
  }

  void report(const BenchRun& run, const Common& common) const {
    base::Json tests = base::Json::array();
    std::string lines;
    for (const BenchRow& row : run.rows) {
      tests.push(bench_json(run, row));
      lines += tests.as_array().back().dump() + "\n";
    }
    if (common.json) {
      base::Json json = base::Json::object();
      json.set("tests", std::move(tests));
      print_json(std::move(json));
    } else if (format_ == "json") {
      print(tests.dump(2) + "\n");
    } else if (format_ == "jsonl") {
      print(lines);
    } else {
      print(format_ == "csv" ? bench_csv(run) : bench_markdown(run));
    }
  }

  std::string model_, format_ = "md", peer_arguments_;
  std::vector<std::string> prompts_, generations_, pairs_, depths_;
  int64_t repetitions_ = 5, batch_ = kBatch, ubatch_ = exec::Session::kPieceTokens;
  CacheNames cache_;
  eval::PeerOptions peer_;
  model::OpenedModel opened_;
  std::unique_ptr<exec::ResidentModel> model_here_;
};

}  // namespace

std::unique_ptr<Command> make_bench() { return std::make_unique<Bench>(); }

}  // namespace karat::cli
