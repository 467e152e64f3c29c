// Speed of the forward pass on a model: prefill of one sequence under both delta rules, a batch of
// sequences with logits, and single tokens.
//
// Usage: forward [MODEL [THREADS]]; MODEL is a checkpoint folder or GGUF file (default: the demo
// model). CSV on stdout: medians of seven.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "exec/resident.h"
#include "kernels/dispatch.h"
#include "model/open.h"

namespace karat {
namespace {

struct Case {
  const char* name;
  int64_t sequences, tokens;
  model::DeltaRule rule;
  bool logits;
};

double seconds(const exec::ResidentModel& model, const model::ForwardContext& context,
               const Case& c) {
  const model::Config& config = model.config();
  std::vector<model::SequenceState> states(static_cast<size_t>(c.sequences),
                                           model::SequenceState(config));
  std::vector<model::Segment> segments;
  for (model::SequenceState& state : states) segments.push_back({0, c.tokens, &state});
  const int64_t rows = c.sequences * c.tokens;
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < rows; ++i) {
    tokens.push_back(static_cast<int32_t>((i * 97 + 13) % std::min<int64_t>(config.vocab, 4000)));
  }
  std::vector<float> hidden(static_cast<size_t>(rows * config.hidden));
  std::vector<float> logits(static_cast<size_t>(c.logits ? rows * config.vocab : 0));
  const auto start = std::chrono::steady_clock::now();
  model.forward(context, segments, tokens, hidden.data());
  if (c.logits) model::logits(context, model.head(), hidden.data(), rows, {}, logits.data());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int run(int argc, char** argv) {
  const std::string path = argc > 1 ? argv[1] : std::string(KARAT_ROOT) + "/demo/model";
  base::ThreadPool pool(argc > 2 ? std::atoi(argv[2]) : base::default_threads());
  const model::OpenedModel opened = model::open_model(path);
  const exec::ResidentModel model(*opened.source, opened.config, false);
  const Case cases[] = {{"prefill, recurrent", 1, 512, model::DeltaRule::recurrent, false},
                        {"prefill, chunked", 1, 512, model::DeltaRule::chunked, false},
                        {"4 sequences with logits", 4, 512, model::DeltaRule::recurrent, true},
                        {"one token", 1, 1, model::DeltaRule::recurrent, true}};
  std::printf("isa,threads,case,tokens,milliseconds,tokens_per_second\n");
  for (const Case& c : cases) {
    model::ForwardContext context{model.config(), pool, kernels::table()};
    context.options.delta_rule = c.rule;
    std::vector<double> times;
    for (int i = 0; i < 7; ++i) times.push_back(seconds(model, context, c));
    std::sort(times.begin(), times.end());
    const auto rows = static_cast<double>(c.sequences * c.tokens);
    std::printf("%s,%d,\"%s\",%.0f,%.2f,%.0f\n", context.kernels.name, pool.size(), c.name, rows,
                times[3] * 1e3, rows / times[3]);
  }
  return 0;
}

}  // namespace
}  // namespace karat

int main(int argc, char** argv) { return karat::run(argc, argv); }
