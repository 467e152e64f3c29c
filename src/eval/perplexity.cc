#include "eval/perplexity.h"

#include <cmath>
#include <memory>

#include "base/error.h"
#include "base/log.h"

namespace karat::eval {

PerplexityResult summarize_perplexity(std::vector<double> nll, int64_t chunks, uint64_t seed) {
  for (const double value : nll) require_number(value);
  PerplexityResult result;
  result.nll = std::move(nll);
  result.chunks = chunks;
  result.scored = static_cast<int64_t>(result.nll.size()) / chunks;
  result.mean_nll = mean_of(result.nll);
  const double ppl = std::exp(result.mean_nll.value);
  result.ppl = {ppl, ppl * result.mean_nll.error};
  std::vector<double> sums(static_cast<size_t>(chunks));
  for (size_t i = 0; i < result.nll.size(); ++i) {
    sums[i / static_cast<size_t>(result.scored)] += result.nll[i];
  }
  result.ppl_interval = bootstrap(chunks, seed, [&](std::span<const int64_t> drawn) {
    double sum = 0;
    for (const int64_t chunk : drawn) sum += sums[static_cast<size_t>(chunk)];
    return std::exp(sum / static_cast<double>(result.nll.size()));
  });
  return result;
}

PerplexityResult measure_perplexity(const exec::ResidentModel& model, const Chunks& chunks,
                                    const ScoreOptions& options, const std::string& base_out,
                                    uint64_t seed, base::ThreadPool& pool,
                                    const ChunkReport& report) {
  ResidentScorer scorer(model, chunks, options, pool);
  return measure_perplexity(scorer, base_out, seed, pool, report);
}

PerplexityResult measure_perplexity(Scorer& scorer, const std::string& base_out, uint64_t seed,
                                    base::ThreadPool& pool, const ChunkReport& report) {
  const Chunks& chunks = scorer.chunks();
  const int64_t scored = chunks.scored(), vocab = scorer.vocab();
  std::vector<double> nll(static_cast<size_t>(chunks.count * scored));
  std::unique_ptr<LogitsWriter> writer;
  if (!base_out.empty()) {
    const LogitsHeader header{
        chunks.n_ctx, vocab, chunks.count, {chunks.tokens.begin(), chunks.tokens.end()}};
    writer = std::make_unique<LogitsWriter>(base_out, header);
  }
  base::Progress progress("eval", "tokens", static_cast<double>(chunks.count * chunks.n_ctx));
  double sum = 0;
  for (int64_t first = 0; first < chunks.count; first += scorer.chunks_per_batch()) {
    const int64_t count = std::min(scorer.chunks_per_batch(), chunks.count - first);
    scorer.run(first, count);
    for (int64_t chunk = first; chunk < first + count; ++chunk) {
      const float* logits = scorer.logits(chunk);
      pool.for_each(scored, [&](int64_t i, int) {
        const std::span row(logits + i * vocab, static_cast<size_t>(vocab));
        const float target = row[static_cast<size_t>(chunks.target(chunk, i))];
        nll[static_cast<size_t>(chunk * scored + i)] =
            log_sum_exp(row) - static_cast<double>(target);
        if (writer) writer->write_row(chunk * scored + i, row);
      });
      for (int64_t i = 0; i < scored; ++i) sum += nll[static_cast<size_t>(chunk * scored + i)];
      if (report) report(chunk, std::exp(sum / static_cast<double>((chunk + 1) * scored)));
      progress.add(static_cast<double>(chunks.n_ctx));
    }
  }
  if (writer) writer->commit();
  return summarize_perplexity(std::move(nll), chunks.count, seed);
}

}  // namespace karat::eval
