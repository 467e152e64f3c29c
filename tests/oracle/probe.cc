// What the oracle tests ask of karat's libraries and the command line does not offer: logits in
// full precision, and greedy replies to token ids.
//
//   oracle_probe logits MODEL TEXT CHUNKS ACTIVATIONS IDS.i32 LOGITS.f32
//       The text's first CHUNKS chunks of 512 tokens: their ids [CHUNKS, 512], and the logits of
//       the scored positions [CHUNKS, 255, vocabulary].
//   oracle_probe greedy MODEL IDS.i32 COUNT
//       Prints the COUNT ids that taking the likeliest token appends.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "calib/corpus.h"
#include "cli/load.h"
#include "eval/scorer.h"
#include "exec/resident.h"
#include "exec/session.h"
#include "model/open.h"

namespace karat {
namespace {

constexpr int64_t kChunk = 512;

template <class T>
std::span<const std::byte> bytes_of(const T* data, size_t count) {
  return std::as_bytes(std::span(data, count));
}

void logits(const std::vector<std::string>& arguments) {
  const model::OpenedModel opened = model::open_model(arguments[0]);
  const calib::Corpus corpus =
      calib::read_corpus({arguments[1]}, cli::make_tokenizer(opened),
                         {.chunk_size = kChunk, .chunks_max = std::stoll(arguments[2])});
  eval::ScoreOptions options;
  options.forward.activations = cli::activations_named(arguments[3]);
  const auto used = static_cast<size_t>(corpus.chunks * kChunk);
  const eval::Chunks chunks{std::span(corpus.tokens).first(used), kChunk, corpus.chunks};
  base::OutputFile ids(arguments[4]);
  ids.append(bytes_of(corpus.tokens.data(), used));
  ids.commit();

  const exec::ResidentModel model(*opened.source, opened.config, false);
  base::ThreadPool pool(1);
  eval::ResidentScorer scorer(model, chunks, options, pool);
  base::OutputFile out(arguments[5]);
  const auto floats = static_cast<size_t>(chunks.scored() * opened.config.vocab);
  for (int64_t first = 0; first < chunks.count; first += scorer.chunks_per_batch()) {
    const int64_t count = std::min(scorer.chunks_per_batch(), chunks.count - first);
    scorer.run(first, count);
    for (int64_t i = first; i < first + count; ++i) out.append(bytes_of(scorer.logits(i), floats));
  }
  out.commit();
}

void greedy(const std::vector<std::string>& arguments) {
  const model::OpenedModel opened = model::open_model(arguments[0]);
  const std::string bytes = base::read_file(arguments[1]);
  std::vector<int32_t> ids(bytes.size() / sizeof(int32_t));
  std::memcpy(ids.data(), bytes.data(), ids.size() * sizeof(int32_t));
  const exec::ResidentModel model(*opened.source, opened.config, false);
  base::ThreadPool pool(1);
  const auto count = std::stoll(arguments[2]);
  exec::Session session(model, pool, static_cast<int64_t>(ids.size()) + count);
  std::span<const float> row = session.feed(ids);
  for (int64_t i = 0; i < count; ++i) {
    const auto best = static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
    std::printf("%d\n", best);
    if (i + 1 < count) row = session.feed(std::span(&best, 1));
  }
}

int run(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + std::min(argc, 2), argv + argc);
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "logits" && arguments.size() == 6) {
    logits(arguments);
  } else if (mode == "greedy" && arguments.size() == 3) {
    greedy(arguments);
  } else {
    std::fprintf(stderr, "usage: in tests/oracle/probe.cc\n");
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace karat

int main(int argc, char** argv) {
  try {
    return karat::run(argc, argv);
  } catch (const karat::base::Error& error) {
    std::fprintf(stderr, "oracle_probe: %s\n", error.what());
    return 1;
  }
}
