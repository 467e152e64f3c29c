#include "cli/divergence_run.h"

#include "base/error.h"
#include "base/text.h"
#include "cli/scored_model.h"

namespace karat::cli {

using base::ErrorKind;
using base::fail;

bool go_by_block(const std::string& stream, uint64_t bytes, const Common& common) {
  return stream == "auto" ? bytes > memory_allowed(common) : stream == "on";
}

void check_divergence_request(const DivergenceRequest& request) {
  const auto refuse = [](const char* problem) { throw fail(ErrorKind::usage, "%s", problem); };
  if (!request.reference_hidden.empty() && request.reference.empty()) {
    refuse("--ref-hidden needs --ref MODEL: its output matrix makes the logits");
  }
  if (request.reference.empty() == request.base.empty()) {
    refuse("eval kld needs either --ref MODEL or --kl-divergence-base FILE");
  }
  if (!request.text.empty() && !request.reference_hidden.empty()) {
    refuse("--ref-hidden has its own text; leave -f out");
  }
  if (!request.text.empty() && !request.base.empty()) {
    refuse("the logits file has its own text; leave -f out");
  }
  if (!request.floor) return;
  if (request.reference.empty()) refuse("--floor runs the reference again: it needs --ref MODEL");
  if (request.reference_options.forward.activations != model::Activations::f32) {
    refuse("--floor is a distance from the reference in float; leave --ref-activations out");
  }
}

namespace {

class Run {
 public:
  Run(const DivergenceRequest& request, const Common& common)
      : request_(request), common_(common), pool_(common.thread_count()), model_(request.model) {
    candidates_.push_back(&model_);
    if (request.against.empty()) return;
    against_.emplace(request.against);
    candidates_.push_back(&*against_);
  }

  DivergenceReport run() {
    const auto results = request_.base.empty() ? with_model() : with_logits_file();
    DivergenceReport report;
    auto next = results.begin();
    report.model = *next++;
    if (against_) report.against = *next++;
    for (const eval::Floor floor : floors_) report.floors.emplace_back(floor, *next++);
    const auto activations = request_.options.forward.activations;
    const bool integers =
        activations == model::Activations::q8 || activations == model::Activations::stock;
    report.floor = integers && !report.floors.empty() ? 1 : 0;
    if (against_) {
      const std::vector<double> none;
      const auto& floor =
          report.floors.empty() ? none : report.floors[report.floor].second.chunk_kld;
      report.paired =
          eval::compare_paired(report.model.chunk_kld, report.against->chunk_kld, floor, seed());
    }
    return report;
  }

 private:
  uint64_t seed() const { return static_cast<uint64_t>(common_.seed); }

  // Loads or streams the candidates, and appends their scorers.
  void prepare(bool by_block, const eval::Chunks& chunks, uint64_t beside) {
    for (ScoredModel* candidate : candidates_) {
      if (by_block) {
        candidate->stream(chunks, request_.options, common_, pool_, beside);
      } else {
        candidate->load(chunks, request_.options, common_, pool_, beside);
      }
      beside += candidate->held_bytes();
      scorers_.push_back(&candidate->scorer());
    }
  }

  uint64_t candidates_bytes(const eval::Chunks& chunks) const {
    uint64_t bytes = 0;
    for (const ScoredModel* candidate : candidates_) {
      bytes += candidate->resident_bytes(chunks, request_.options);
    }
    return bytes;
  }

  void add_floors(ScoredModel& reference, const eval::Chunks& chunks) {
    if (!request_.floor) return;
    floors_ = {eval::Floor::bf16, eval::Floor::q8};
    for (const eval::Floor floor : floors_) {
      uint64_t beside = 0;
      for (const ScoredModel* candidate : candidates_) beside += candidate->held_bytes();
      scorers_.push_back(
          &reference.again(chunks, eval::floor_options(floor, rounding_), common_, pool_, beside));
    }
  }

  std::vector<eval::DivergenceResult> with_model() {
    ScoredModel reference(request_.reference);
    for (const ScoredModel* candidate : candidates_) {
      eval::require_same_vocabulary(candidate->opened().config.vocab,
                                    reference.opened().config.vocab);
    }
    std::optional<ScoredText> text;
    eval::Chunks chunks;
    const eval::ScoreOptions& options = request_.reference_options;
    if (!request_.reference_hidden.empty()) {
      const eval::HiddenRowsReader rows(request_.reference_hidden, request_.chunks_max);
      require_memory(common_, rows.bytes(),
                     base::printable(request_.reference_hidden) + ": its rows");
      reference.take(rows.read(), options, pool_);
      chunks = reference.hidden().chunks();
      prepare(by_block(candidates_bytes(chunks) + reference.held_bytes()), chunks,
              reference.held_bytes());
    } else {
      text.emplace(request_.text, reference.opened(), request_.n_ctx, request_.chunks_max);
      chunks = text->chunks();
      const bool blocks =
          by_block(candidates_bytes(chunks) + reference.resident_bytes(chunks, options));
      if (blocks) {  // before the reference's pass, not after it
        for (const ScoredModel* candidate : candidates_) candidate->require_head();
        reference.stream(chunks, options, common_, pool_);
      } else {
        reference.load(chunks, options, common_, pool_);
      }
      prepare(blocks, chunks, reference.held_bytes());
    }
    add_floors(reference, chunks);
    return eval::measure_divergences(scorers_, reference.scorer(), seed(), pool_);
  }

  std::vector<eval::DivergenceResult> with_logits_file() {
    const eval::LogitsReader base(request_.base);
    for (const ScoredModel* candidate : candidates_) {
      eval::require_same_vocabulary(candidate->opened().config.vocab, base.header().n_vocab);
    }
    const eval::Chunks chunks = eval::chunks_of(base, request_.chunks_max);
    prepare(by_block(candidates_bytes(chunks)), chunks, 0);
    return eval::measure_divergences(scorers_, base, seed(), pool_);
  }

  bool by_block(uint64_t bytes) const { return go_by_block(request_.stream, bytes, common_); }

  const DivergenceRequest& request_;
  const Common& common_;
  base::ThreadPool pool_;
  ScoredModel model_;
  std::optional<ScoredModel> against_;
  std::vector<ScoredModel*> candidates_;
  eval::ResidualRounding rounding_;
  std::vector<eval::Floor> floors_;
  std::vector<eval::Scorer*> scorers_;
};

}  // namespace

DivergenceReport run_divergence(const DivergenceRequest& request, const Common& common) {
  check_divergence_request(request);
  return Run(request, common).run();
}

}  // namespace karat::cli
