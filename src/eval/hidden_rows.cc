#include "eval/hidden_rows.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "kernels/dispatch.h"
#include "model/activations.h"

namespace karat::eval {

using base::ErrorKind;
using base::fail;

namespace {

constexpr char kFormat[] = "karat.hidden.1";

void require_finite(const std::string& origin, std::span<const float> values) {
  if (std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) return;
  throw fail(ErrorKind::bad_input,
             "%s: it computes NaN or infinity; its weights are damaged, convert it to see which",
             base::printable(origin).c_str());
}

}  // namespace

void HiddenRows::keep(int64_t most) {
  count = std::min(count, most);
  tokens.resize(static_cast<size_t>(count * n_ctx));
  rows.resize(static_cast<size_t>(count * scored_per_chunk(n_ctx) * width));
}

uint64_t hidden_rows_bytes(const model::Config& config, const Chunks& chunks) {
  return static_cast<uint64_t>(chunks.count * chunks.scored() * config.hidden) * sizeof(float);
}

HiddenRows stream_hidden_rows(const tensor::TensorSource& source, const model::Config& config,
                              const Chunks& chunks, const exec::StreamOptions& options,
                              base::ThreadPool& pool) {
  const std::vector<int64_t> ends = exec::equal_ends(chunks.count, chunks.n_ctx);
  exec::LayerStream stream(source, config, chunks.tokens, ends, options, pool);
  base::Progress progress("eval", "token-layers",
                          static_cast<double>(stream.tokens_of(0) * stream.stages()));
  stream.start();
  while (!stream.done()) {
    const std::string block = "block " + std::to_string(stream.next());
    stream.run(nullptr, [&](const exec::Batch& batch) {
      progress.add(static_cast<double>(batch.rows), block);
    });
    require_finite(source.origin(), stream.rows());
  }
  HiddenRows out{
      {chunks.tokens.begin(), chunks.tokens.end()}, chunks.n_ctx, chunks.count, config.hidden, {}};
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
  format::write_safetensors(path, items, {{"format", kFormat}});
}

HiddenRows read_hidden_rows(const std::string& path) {
  const format::SafetensorsSource file(path);
  const auto refuse = [&](const char* what) {
    throw fail(ErrorKind::bad_input, "%s: %s", base::printable(path).c_str(), what);
  };
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != kFormat) {
    refuse("holds no hidden rows (eval ppl --save-hidden makes them)");
  }
  const tensor::TensorInfo& tokens = file.at("tokens");
  const tensor::TensorInfo& hidden = file.at("hidden");
  const bool shaped = tokens.dtype == tensor::DType::i32 && tokens.shape.rank() == 2 &&
                      hidden.dtype == tensor::DType::f32 && hidden.shape.rank() == 3 &&
                      tokens.shape[1] >= 4 && tokens.shape[0] >= 1 &&
                      hidden.shape[0] == tokens.shape[0] &&
                      hidden.shape[1] == scored_per_chunk(tokens.shape[1]);
  if (!shaped) refuse("its tokens and hidden rows do not fit each other");
  HiddenRows rows;
  rows.count = tokens.shape[0], rows.n_ctx = tokens.shape[1], rows.width = hidden.shape[2];
  rows.tokens.resize(static_cast<size_t>(tokens.shape.elements()));
  rows.rows.resize(static_cast<size_t>(hidden.shape.elements()));
  file.read(tokens, std::as_writable_bytes(std::span(rows.tokens)));
  file.read(hidden, std::as_writable_bytes(std::span(rows.rows)));
  require_finite(path, rows.rows);
  return rows;
}

HiddenScorer::HiddenScorer(const tensor::TensorSource& source, const model::Config& config,
                           const HiddenRows& rows, const model::ForwardOptions& options,
                           base::ThreadPool& pool)
    : Scorer(config, rows.chunks()),
      rows_(rows),
      origin_(source.origin()),
      options_(options),
      pool_(pool),
      bytes_(model::layout_for(options.activations)) {
  const bool known = std::all_of(rows.tokens.begin(), rows.tokens.end(),
                                 [&](int32_t t) { return t >= 0 && t < config.vocab; });
  if (rows.width != config.hidden || !known) {
    throw fail(ErrorKind::bad_input,
               "%s: the hidden rows are another model's (%lld wide, this one is %lld)",
               base::printable(origin_).c_str(), static_cast<long long>(rows.width),
               static_cast<long long>(config.hidden));
  }
  head_.output = model::bind_output(source, config, bytes_);
}

void HiddenScorer::run(int64_t, int64_t) { base::stop_if_interrupted(); }

const float* HiddenScorer::logits(int64_t chunk) {
  const int64_t scored = chunks_.scored();
  logits_.resize(static_cast<size_t>(scored * config_.vocab));
  const model::ForwardContext context{config_, pool_, kernels::table(), options_, nullptr};
  model::logits(context, head_, rows_.rows.data() + chunk * scored * rows_.width, scored, {},
                logits_.data());
  require_finite(origin_, logits_);
  return logits_.data();
}

}  // namespace karat::eval
