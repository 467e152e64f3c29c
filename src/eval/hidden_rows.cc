#include "eval/hidden_rows.h"

#include <algorithm>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"
#include "exec/resident.h"
#include "kernels/dispatch.h"
#include "model/activations.h"
#include "model/identity.h"
#include "model/names.h"

namespace karat::eval {

using base::ErrorKind;
using base::fail;

namespace {

constexpr char kFormat[] = "karat.hidden.1";

}  // namespace

uint64_t hidden_rows_bytes(const model::Config& config, const Chunks& chunks) {
  return static_cast<uint64_t>(chunks.count * chunks.scored() * config.hidden) * sizeof(float);
}

HiddenRows stream_hidden_rows(const tensor::TensorSource& source, const model::Config& config,
                              const Chunks& chunks, const exec::StreamOptions& options,
                              model::Tap* tap, base::ThreadPool& pool) {
  const std::vector<int64_t> ends = exec::equal_ends(chunks.count, chunks.n_ctx);
  exec::LayerStream stream(source, config, chunks.tokens, ends, options, pool);
  base::Progress progress("eval", "token-layers",
                          static_cast<double>(stream.tokens_of(0) * stream.stages()));
  stream.start();
  while (!stream.done()) {
    const std::string block = "block " + std::to_string(stream.next());
    stream.run(tap, [&](const exec::Batch& batch) {
      progress.add(static_cast<double>(batch.rows), block);
    });
    exec::require_finite(source.origin(), stream.rows());
  }
  HiddenRows out{{chunks.tokens.begin(), chunks.tokens.end()},
                 chunks.n_ctx,
                 chunks.count,
                 config.hidden,
                 {},
                 model::trunk_identity(source, config),
                 std::string(model::activations_name(options.forward.activations))};
  out.rows.reserve(hidden_rows_bytes(config, chunks) / sizeof(float));
  for (int64_t chunk = 0; chunk < chunks.count; ++chunk) {
    const int64_t first = chunk * chunks.n_ctx + chunks.first_scored();
    const float* begin = stream.rows().data() + first * config.hidden;
    out.rows.insert(out.rows.end(), begin, begin + chunks.scored() * config.hidden);
  }
  return out;
}

void write_hidden_rows(const std::string& path, const HiddenRows& rows) {
  const int64_t scored = rows.chunks().scored();
  const format::SafetensorsItem items[] = {
      {{"tokens", tensor::DType::i32, {rows.count, rows.n_ctx}},
       std::as_bytes(std::span(rows.tokens))},
      {{"hidden", tensor::DType::f32, {rows.count, scored, rows.width}},
       std::as_bytes(std::span(rows.rows))}};
  format::write_safetensors(
      path, items, {{"format", kFormat}, {"model", rows.model}, {"activations", rows.activations}});
}

HiddenRowsReader::HiddenRowsReader(const std::string& path, int64_t chunks_max) : file_(path) {
  const auto refuse = [&](const char* what) {
    throw fail(ErrorKind::bad_input, "%s: %s", base::printable(path).c_str(), what);
  };
  const auto value = [&](const char* key) {
    const auto found = file_.metadata().find(key);
    return found == file_.metadata().end() ? "" : found->second;
  };
  head_.model = value("model"), head_.activations = value("activations");
  if (value("format") != kFormat || head_.model.empty() || head_.activations.empty()) {
    refuse("holds no hidden rows (eval ppl --save-hidden makes them)");
  }
  const tensor::TensorInfo& tokens = file_.at("tokens");
  const tensor::TensorInfo& hidden = file_.at("hidden");
  const bool shaped = tokens.dtype == tensor::DType::i32 && tokens.shape.rank() == 2 &&
                      hidden.dtype == tensor::DType::f32 && hidden.shape.rank() == 3 &&
                      tokens.shape[1] >= 4 && tokens.shape[0] >= 1 &&
                      hidden.shape[0] == tokens.shape[0] &&
                      hidden.shape[1] == scored_per_chunk(tokens.shape[1]);
  if (!shaped) refuse("its tokens and hidden rows do not fit each other");
  head_.n_ctx = tokens.shape[1], head_.width = hidden.shape[2];
  head_.count = chunks_max < 0 ? tokens.shape[0] : std::min(tokens.shape[0], chunks_max);
}

uint64_t HiddenRowsReader::bytes() const {
  const int64_t floats = scored_per_chunk(head_.n_ctx) * head_.width;
  return static_cast<uint64_t>(head_.count * (head_.n_ctx + floats)) * sizeof(float);
}

HiddenRows HiddenRowsReader::read() const {
  HiddenRows rows = head_;
  const int64_t scored = head_.count * scored_per_chunk(head_.n_ctx);
  rows.tokens.resize(static_cast<size_t>(head_.count * head_.n_ctx));
  rows.rows.resize(static_cast<size_t>(scored * head_.width));
  file_.read_rows(file_.at("tokens"), 0, head_.count,
                  std::as_writable_bytes(std::span(rows.tokens)));
  file_.read_rows(file_.at("hidden"), 0, scored, std::as_writable_bytes(std::span(rows.rows)));
  exec::require_finite(file_.origin(), rows.rows);
  return rows;
}

namespace {

// Rows of another model would make a divergence of two output matrices alone.
void require_made_by(const HiddenRows& rows, const tensor::TensorSource& source,
                     const model::Config& config, const model::ForwardOptions& options) {
  const std::string origin = base::printable(source.origin());
  const bool known = std::all_of(rows.tokens.begin(), rows.tokens.end(),
                                 [&](int32_t t) { return t >= 0 && t < config.vocab; });
  if (rows.width != config.hidden || !known ||
      rows.model != model::trunk_identity(source, config)) {
    throw fail(ErrorKind::bad_input,
               "%s: the hidden rows are another model's; make them with this one "
               "(eval ppl --save-hidden)",
               origin.c_str());
  }
  const std::string wanted(model::activations_name(options.activations));
  if (rows.activations != wanted) {
    throw fail(ErrorKind::bad_input,
               "%s: the hidden rows were made with activations %s, not %s; ask for the same",
               origin.c_str(), base::printable(rows.activations).c_str(), wanted.c_str());
  }
}

}  // namespace

HiddenScorer::HiddenScorer(const tensor::TensorSource& source, const model::Config& config,
                           const HiddenRows& rows, const model::ForwardOptions& options,
                           base::ThreadPool& pool)
    : Scorer(config, rows.chunks()),
      rows_(rows),
      origin_(source.origin()),
      options_(options),
      pool_(pool),
      bytes_(model::layout_for(options.activations)) {
  require_made_by(rows, source, config, options);
  head_.output = model::bind_output(source, config, bytes_);
}

uint64_t HiddenScorer::bytes_needed(const tensor::TensorSource& source, const model::Config& config,
                                    const Chunks& chunks) {
  const tensor::TensorInfo* output = source.find(model::kOutput);
  const tensor::TensorInfo& head = output != nullptr ? *output : source.at(model::kTokenEmbd);
  const auto logits = static_cast<uint64_t>(chunks.scored() * config.vocab) * sizeof(float);
  return static_cast<uint64_t>(head.bytes()) + logits;
}

void HiddenScorer::run(int64_t, int64_t) { base::stop_if_interrupted(); }

const float* HiddenScorer::logits(int64_t chunk) {
  const int64_t scored = chunks_.scored();
  logits_.resize(static_cast<size_t>(scored * config_.vocab));
  const model::ForwardContext context{config_, pool_, kernels::table(), options_, nullptr};
  model::logits(context, head_, rows_.rows.data() + chunk * scored * rows_.width, scored, {},
                logits_.data());
  exec::require_finite(origin_, logits_);
  return logits_.data();
}

}  // namespace karat::eval
