#include "eval/divergence.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/log.h"

namespace karat::eval {

namespace {

constexpr double kTailLogProb = -16;

size_t first_maximum(std::span<const float> row) {
  return static_cast<size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

// The shared core: `shift` makes the reference row log-probabilities.
TokenDivergence compare(std::span<const float> q, std::span<const float> reference, double shift,
                        int32_t target, bool skip_tail) {
  CHECK(q.size() == reference.size());
  const double q_norm = log_sum_exp(q);
  TokenDivergence token;
  for (size_t i = 0; i < q.size(); ++i) {
    const double log_p = static_cast<double>(reference[i]) - shift;
    if (skip_tail && log_p <= kTailLogProb) continue;
    const double log_q = static_cast<double>(q[i]) - q_norm;
    token.kld += std::exp(log_p) * (log_p - log_q);
  }
  const auto t = static_cast<size_t>(target);
  token.nll = q_norm - static_cast<double>(q[t]);
  token.nll_base = shift - static_cast<double>(reference[t]);
  token.p = std::exp(-token.nll);
  token.p_base = std::exp(-token.nll_base);
  token.same_top = first_maximum(q) == first_maximum(reference);
  return token;
}

template <class Get>
std::vector<double> column(const std::vector<TokenDivergence>& tokens, Get get) {
  std::vector<double> values;
  values.reserve(tokens.size());
  for (const TokenDivergence& token : tokens) values.push_back(get(token));
  return values;
}

std::vector<std::pair<double, double>> percentiles(std::vector<double> values,
                                                   std::initializer_list<double> percents) {
  std::sort(values.begin(), values.end());
  std::vector<std::pair<double, double>> out;
  for (const double percent : percents)
    out.emplace_back(percent, percentile(values, percent / 100));
  return out;
}

void add_perplexities(const std::vector<TokenDivergence>& tokens, DivergenceResult& result) {
  const auto nll = column(tokens, [](const auto& t) { return t.nll; });
  const auto base = column(tokens, [](const auto& t) { return t.nll_base; });
  const Estimate q = mean_of(nll), p = mean_of(base);
  const double covariance = covariance_of_means(nll, base);
  result.ppl = {std::exp(q.value), std::exp(q.value) * q.error};
  result.ppl_base = {std::exp(p.value), std::exp(p.value) * p.error};
  const double product = q.error * p.error;
  result.correlation = product > 0 ? covariance / product : 1;
  const auto combined = [&](double a, double b, double cross) {
    return std::sqrt(std::max(0.0, a * a + b * b - 2 * cross));
  };
  result.ln_ratio = {q.value - p.value, combined(q.error, p.error, covariance)};
  const double ratio = std::exp(result.ln_ratio.value);
  result.ratio = {ratio, ratio * result.ln_ratio.error};
  result.difference = {result.ppl.value - result.ppl_base.value,
                       combined(result.ppl.error, result.ppl_base.error,
                                result.ppl.value * result.ppl_base.value * covariance)};
}

void add_delta_p(const std::vector<TokenDivergence>& tokens, DivergenceResult& result) {
  const auto delta = column(tokens, [](const auto& t) { return t.p - t.p_base; });
  auto squares = delta;
  for (double& x : squares) x *= x;
  result.delta_p = mean_of(delta);
  const Estimate mean_square = mean_of(squares);
  const double rms = std::sqrt(mean_square.value);
  result.rms_delta_p = {rms, rms > 0 ? 0.5 / rms * mean_square.error : 0};
  result.delta_p_percentiles =
      percentiles(delta, {100, 99.9, 99, 95, 90, 75, 50, 25, 10, 5, 1, 0.1, 0});
}

void add_kld(const std::vector<TokenDivergence>& tokens, uint64_t seed, DivergenceResult& result) {
  const auto kld = column(tokens, [](const auto& t) { return t.kld; });
  result.kld = mean_of(kld);
  result.kld_percentiles = percentiles(kld, {100, 99.9, 99, 95, 90, 50, 10, 5, 1, 0.1, 0});
  const auto per_chunk = static_cast<size_t>(result.tokens / result.chunks);
  result.chunk_kld.assign(static_cast<size_t>(result.chunks), 0);
  for (size_t i = 0; i < kld.size(); ++i) {
    result.chunk_kld[i / per_chunk] += kld[i] / static_cast<double>(per_chunk);
  }
  result.kld_interval = bootstrap(result.chunks, seed, [&](std::span<const int64_t> drawn) {
    double sum = 0;
    for (const int64_t chunk : drawn) sum += result.chunk_kld[static_cast<size_t>(chunk)];
    return sum / static_cast<double>(drawn.size());
  });
}

// Runs the models over their chunks, in step; prepare(chunk), then compare_row(chunk, i, logits
// row, worker) of each model fill its [chunk * scored + i].
template <class Prepare, class CompareRow>
std::vector<std::vector<TokenDivergence>> walk(std::span<Scorer* const> scorers,
                                               base::ThreadPool& pool, Prepare prepare,
                                               CompareRow compare_row) {
  const Chunks& chunks = scorers.front()->chunks();
  const int64_t scored = chunks.scored(), vocab = scorers.front()->vocab();
  std::vector<std::vector<TokenDivergence>> tokens(
      scorers.size(), std::vector<TokenDivergence>(static_cast<size_t>(chunks.count * scored)));
  std::vector<InStep> models;
  for (Scorer* scorer : scorers) models.emplace_back(*scorer);
  base::Progress progress("eval", "tokens", static_cast<double>(chunks.count * chunks.n_ctx));
  for (int64_t chunk = 0; chunk < chunks.count; ++chunk) {
    prepare(chunk);
    for (size_t m = 0; m < models.size(); ++m) {
      const float* logits = models[m].logits(chunk);
      pool.for_each(scored, [&](int64_t i, int worker) {
        const std::span row(logits + i * vocab, static_cast<size_t>(vocab));
        tokens[m][static_cast<size_t>(chunk * scored + i)] = compare_row(chunk, i, row, worker);
      });
    }
    progress.add(static_cast<double>(chunks.n_ctx));
  }
  return tokens;
}

std::vector<DivergenceResult> summarize(const std::vector<std::vector<TokenDivergence>>& models,
                                        int64_t chunks, uint64_t seed) {
  std::vector<DivergenceResult> results;
  for (const auto& tokens : models) results.push_back(summarize_divergence(tokens, chunks, seed));
  return results;
}

}  // namespace

void require_same_vocabulary(int64_t model, int64_t reference) {
  if (model == reference) return;
  throw base::fail(
      base::ErrorKind::bad_input,
      "the model has a vocabulary of %lld, the reference of %lld; they cannot be compared",
      static_cast<long long>(model), static_cast<long long>(reference));
}

TokenDivergence compare_rows(std::span<const float> q, std::span<const float> reference,
                             int32_t target, bool skip_tail) {
  return compare(q, reference, log_sum_exp(reference), target, skip_tail);
}

DivergenceResult summarize_divergence(const std::vector<TokenDivergence>& tokens, int64_t chunks,
                                      uint64_t seed) {
  CHECK(!tokens.empty() && chunks >= 1);
  for (const TokenDivergence& token : tokens)
    require_number(token.kld + token.nll + token.nll_base);
  DivergenceResult result;
  result.chunks = chunks;
  result.tokens = static_cast<int64_t>(tokens.size());
  add_perplexities(tokens, result);
  add_kld(tokens, seed, result);
  add_delta_p(tokens, result);
  const double n = static_cast<double>(tokens.size());
  const double same =
      static_cast<double>(std::count_if(tokens.begin(), tokens.end(),
                                        [](const TokenDivergence& t) { return t.same_top; })) /
      n;
  result.same_top = {same, n > 1 ? std::sqrt(same * (1 - same) / (n - 1)) : 0};
  return result;
}

Chunks chunks_of(const LogitsReader& base, int64_t chunks_max) {
  const LogitsHeader& header = base.header();
  Chunks chunks{header.tokens, header.n_ctx, header.n_chunk};
  if (chunks_max >= 0) chunks.count = std::min(chunks.count, chunks_max);
  chunks.tokens = chunks.tokens.first(static_cast<size_t>(chunks.count * chunks.n_ctx));
  return chunks;
}

std::vector<DivergenceResult> measure_divergences(std::span<Scorer* const> models,
                                                  const LogitsReader& base, uint64_t seed,
                                                  base::ThreadPool& pool) {
  const int64_t vocab = base.header().n_vocab;
  for (const Scorer* model : models) require_same_vocabulary(model->vocab(), vocab);
  const Chunks& chunks = models.front()->chunks();
  std::vector<std::vector<float>> rows(static_cast<size_t>(pool.size()),
                                       std::vector<float>(static_cast<size_t>(vocab)));
  const auto tokens = walk(
      models, pool, [](int64_t) {},
      [&](int64_t chunk, int64_t i, std::span<const float> row, int worker) {
        std::vector<float>& reference = rows[static_cast<size_t>(worker)];
        base.read_row(chunk * chunks.scored() + i, reference);
        return compare(row, reference, 0, chunks.target(chunk, i), true);
      });
  return summarize(tokens, chunks.count, seed);
}

std::vector<DivergenceResult> measure_divergences(std::span<Scorer* const> models,
                                                  Scorer& reference, uint64_t seed,
                                                  base::ThreadPool& pool) {
  const int64_t vocab = reference.vocab();
  for (const Scorer* model : models) require_same_vocabulary(model->vocab(), vocab);
  const Chunks& chunks = models.front()->chunks();
  InStep base(reference);
  const float* base_logits = nullptr;
  const auto tokens = walk(
      models, pool, [&](int64_t chunk) { base_logits = base.logits(chunk); },
      [&](int64_t chunk, int64_t i, std::span<const float> row, int) {
        const std::span base_row(base_logits + i * vocab, static_cast<size_t>(vocab));
        return compare_rows(row, base_row, chunks.target(chunk, i), false);
      });
  return summarize(tokens, chunks.count, seed);
}

DivergenceResult measure_divergence(Scorer& model, const LogitsReader& base, uint64_t seed,
                                    base::ThreadPool& pool) {
  Scorer* const one = &model;
  return std::move(measure_divergences({&one, 1}, base, seed, pool).front());
}

DivergenceResult measure_divergence(Scorer& model, Scorer& reference, uint64_t seed,
                                    base::ThreadPool& pool) {
  Scorer* const one = &model;
  return std::move(measure_divergences({&one, 1}, reference, seed, pool).front());
}

DivergenceResult measure_divergence(const exec::ResidentModel& model, const LogitsReader& base,
                                    const ScoreOptions& options, int64_t chunks_max, uint64_t seed,
                                    base::ThreadPool& pool) {
  require_same_vocabulary(model.config().vocab, base.header().n_vocab);
  ResidentScorer scorer(model, chunks_of(base, chunks_max), options, pool);
  return measure_divergence(scorer, base, seed, pool);
}

DivergenceResult measure_divergence(const exec::ResidentModel& model, const ScoreOptions& options,
                                    const exec::ResidentModel& reference,
                                    const ScoreOptions& reference_options, const Chunks& chunks,
                                    uint64_t seed, base::ThreadPool& pool) {
  require_same_vocabulary(model.config().vocab, reference.config().vocab);
  ResidentScorer base_scorer(reference, chunks, reference_options, pool);
  ResidentScorer scorer(model, chunks, options, pool);
  return measure_divergence(scorer, base_scorer, seed, pool);
}

}  // namespace karat::eval
