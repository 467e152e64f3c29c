#include "calib/streamed.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "model/open.h"
#include "support/shared.h"

namespace karat::calib {
namespace {

void expect_same(const tensor::Importance& a, const tensor::Importance& b) {
  EXPECT_EQ(a.chunk_count, b.chunk_count);
  EXPECT_EQ(a.chunk_size, b.chunk_size);
  ASSERT_EQ(a.entries.size(), b.entries.size());
  for (const auto& [name, entry] : a.entries) {
    const tensor::ImportanceEntry& other = b.entries.at(name);
    EXPECT_EQ(entry.counts, other.counts) << name;
    EXPECT_EQ(entry.in_sum2, other.in_sum2) << name;
    EXPECT_EQ(entry.in_sum, other.in_sum) << name;
  }
}

StreamedOptions with_batch(int64_t batch_tokens, bool with_mtp = true) {
  return {.process_output = true,
          .stream = {.batch_tokens = batch_tokens, .with_mtp = with_mtp, .forward = {}}};
}

// Pseudo-random tokens of the model's vocabulary.
Corpus corpus_of(int64_t vocab, int64_t chunk_size, int64_t chunks) {
  Corpus corpus;
  corpus.chunk_size = chunk_size;
  corpus.chunks = chunks;
  for (int64_t i = 0; i < chunk_size * chunks; ++i) {
    corpus.tokens.push_back(static_cast<int32_t>((i * i * 31 + i * 7 + 3) % vocab));
  }
  return corpus;
}

struct Model {
  explicit Model(const std::string& path) : opened(model::open_model(path)) {}
  model::OpenedModel opened;
  tensor::Importance streamed(const Corpus& corpus, const StreamedOptions& options,
                              base::ThreadPool& pool) const {
    return calibrate_streamed(*opened.source, opened.config, corpus, options, pool);
  }
};

TEST(Streamed, IsTheResidentModelsStatisticsBitForBit) {
  const Model tiny(test::fixture("tiny-random"));
  const exec::ResidentModel resident(*tiny.opened.source, tiny.opened.config, true);
  Corpus corpus = corpus_of(499, 64, 6);
  base::ThreadPool one(1), three(3);
  for (const bool ragged : {false, true}) {
    if (ragged) corpus.ends = {50, 51, 180, 250}, corpus.chunks = 4;
    const auto first = calibrate(resident, corpus, {.process_output = true}, one);
    ASSERT_EQ(first.entries.count("output.weight"), 1u);
    ASSERT_EQ(first.entries.count("blk.4.nextn.eh_proj.weight"), 1u);
    for (base::ThreadPool* pool : {&one, &three}) {
      for (const int64_t batch : {30, 64, 8192}) {
        expect_same(first, tiny.streamed(corpus, with_batch(batch), *pool));
      }
    }
  }
  const auto trunk = tiny.streamed(corpus, with_batch(512, false), one);
  EXPECT_EQ(trunk.entries.count("blk.4.nextn.eh_proj.weight"), 0u);
}

TEST(Streamed, IsTheSameOnTheDemoModelWithMtpForAnyThreads) {
  const Model demo(std::string(KARAT_ROOT) + "/demo/model");
  ASSERT_EQ(demo.opened.config.mtp_layers, 1);
  const exec::ResidentModel resident(*demo.opened.source, demo.opened.config, true);
  const Corpus corpus = corpus_of(4000, 128, 6);
  base::ThreadPool one(1), two(2), five(5);
  const auto first = calibrate(resident, corpus, {.process_output = true}, two);
  for (base::ThreadPool* pool : {&one, &two, &five}) {
    expect_same(first, demo.streamed(corpus, with_batch(300), *pool));
  }
}

TEST(Streamed, TakesTheLargestBatchThatFits) {
  const Model tiny(test::fixture("tiny-random"));
  const Corpus corpus = corpus_of(499, 64, 1000);
  const auto bytes = [&](int64_t batch) {
    return streamed_bytes(*tiny.opened.source, tiny.opened.config, corpus, with_batch(batch));
  };
  const auto fit = [&](uint64_t allowed) {
    return batch_that_fits(*tiny.opened.source, tiny.opened.config, corpus, with_batch(0), allowed,
                           "--mem-limit allows");
  };
  EXPECT_EQ(fit(bytes(4096)), 4096);
  EXPECT_EQ(fit(bytes(4096) - 1), 2048);
  EXPECT_EQ(fit(bytes(256)), 256);
  try {
    fit(bytes(256) - 256);  // one row of 64 floats too much
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::memory);
    EXPECT_NE(std::string(error.what()).find("--tokens 63999 would fit"), std::string::npos)
        << error.what();
  }
  try {
    fit(1000);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_NE(std::string(error.what()).find("no number of tokens"), std::string::npos);
  }
}

}  // namespace
}  // namespace karat::calib
