#include "calib/importance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "format/imatrix.h"
#include "model/open.h"
#include "support/files.h"
#include "support/shared.h"

namespace karat::calib {
namespace {

using test::fixture;
using test::shared_file;

// A short text of our own that the 512-entry tokenizer turns into some 600 tokens.
std::string own_text() {
  std::string text;
  for (int i = 0; i < 12; ++i) {
    text += "A scale weighs " + std::to_string(i * 37) + " grains; the rest is dust. ";
  }
  return text;
}

struct Tiny {
  model::OpenedModel opened = model::open_model(fixture("tiny-random"));
  exec::ResidentModel model{*opened.source, opened.config, true};
  text::Tokenizer tokenizer{*opened.tokenizer};
  test::TempDir folder;

  Corpus corpus(const std::string& text, int64_t chunk, int64_t chunks_max = -1) {
    return read_corpus({folder.write("text.txt", text)}, tokenizer,
                       {.chunk_size = chunk, .chunks_max = chunks_max});
  }
};

void expect_same(const tensor::Importance& a, const tensor::Importance& b) {
  ASSERT_EQ(a.entries.size(), b.entries.size());
  for (const auto& [name, entry] : a.entries) {
    const tensor::ImportanceEntry& other = b.entries.at(name);
    EXPECT_EQ(entry.counts, other.counts) << name;
    EXPECT_EQ(entry.in_sum2, other.in_sum2) << name;
    EXPECT_EQ(entry.in_sum, other.in_sum) << name;
  }
}

TEST(Importance, SumsAreOfTheRowsGiven) {
  base::ThreadPool pool(1);
  ImportanceTap tap(3, false, pool);
  // Rows of two columns, a third apart: what lies between them is not the layer's.
  const std::vector<float> rows = {1, -2, 99, 0.5F, 3, 99};
  model::LinearInput input{"blk.0.attn_q.weight", 0, rows.data(), 2, 2, 3, {}};
  tap.linear_input(input);
  tap.linear_input(input);
  input.weight = "blk.0.ffn_up_exps.weight";
  input.expert = 2;
  input.count = 1;
  tap.linear_input(input);
  input.weight = "output.weight";
  input.layer = input.expert = -1;
  tap.linear_input(input);

  const auto& entries = tap.importance().entries;
  ASSERT_EQ(entries.size(), 2u);  // the output was not asked for
  const tensor::ImportanceEntry& dense = entries.at("blk.0.attn_q.weight");
  EXPECT_EQ(dense.in_sum2, (std::vector<double>{2.5, 26}));
  EXPECT_EQ(dense.in_sum, (std::vector<double>{3, 2}));
  EXPECT_EQ(dense.counts, std::vector<int64_t>{4});
  const tensor::ImportanceEntry& experts = entries.at("blk.0.ffn_up_exps.weight");
  EXPECT_EQ(experts.in_sum2, (std::vector<double>{0, 0, 0, 0, 1, 4}));
  EXPECT_EQ(experts.in_sum, (std::vector<double>{0, 0, 0, 0, 1, -2}));
  EXPECT_EQ(experts.counts, (std::vector<int64_t>{0, 0, 1}));
}

TEST(Importance, DoesNotDependOnThreadsOrBatches) {
  Tiny tiny;
  const Corpus corpus = tiny.corpus(own_text(), 64);
  base::ThreadPool one(1), seven(7);
  const auto first =
      calibrate(tiny.model, corpus, {.process_output = true, .batch_tokens = 64}, one);
  expect_same(first,
              calibrate(tiny.model, corpus, {.process_output = true, .batch_tokens = 64}, seven));
  expect_same(first,
              calibrate(tiny.model, corpus, {.process_output = true, .batch_tokens = 200}, seven));
}

TEST(Importance, SequencesOfAnyLengthRunWholeInPiecesOrTogether) {
  Tiny tiny;
  Corpus corpus = tiny.corpus(own_text(), 64);
  corpus.ends = {1, 40, 300, 303};
  corpus.chunks = 4;
  base::ThreadPool pool(2);
  const auto whole = calibrate(tiny.model, corpus, {.batch_tokens = 1000}, pool);
  expect_same(whole, calibrate(tiny.model, corpus, {.batch_tokens = 50}, pool));
  expect_same(whole, calibrate(tiny.model, corpus, {.batch_tokens = 7}, pool));
  EXPECT_EQ(whole.entries.at("blk.0.attn_qkv.weight").counts[0], 303);
  EXPECT_EQ(whole.entries.at("blk.4.attn_q.weight").counts[0], 303 - 4);
  EXPECT_EQ(whole.chunk_count, 5u);  // of 64 tokens
}

TEST(Importance, CountsAreRowsAndEveryRowHasItsExperts) {
  Tiny tiny;
  const Corpus corpus = tiny.corpus(own_text(), 32, 5);
  base::ThreadPool pool(2);
  const auto importance = calibrate(tiny.model, corpus, {}, pool);
  EXPECT_EQ(importance.chunk_count, 5u);
  EXPECT_EQ(importance.chunk_size, 32u);
  EXPECT_EQ(importance.entries.count("output.weight"), 0u);
  for (const auto& [name, entry] : importance.entries) {
    int64_t rows = 0;
    for (const int64_t count : entry.counts) rows += count;
    // The MTP block pairs each token with the hidden row before it: one row fewer per chunk.
    const bool mtp = name.rfind("blk.4.", 0) == 0;
    const int64_t tokens = 5 * (mtp ? 31 : 32);
    EXPECT_EQ(rows, entry.mats > 1 ? tokens * tiny.opened.config.experts_used : tokens) << name;
  }
  EXPECT_EQ(importance.entries.count("blk.4.nextn.eh_proj.weight"), 1u);
  EXPECT_EQ(importance.entries.at("blk.4.nextn.eh_proj.weight").cols, 128);
}

// More columns than a block and a part of one, more rows than are worth spreading.
TEST(Importance, SumsOfManyRowsAreThoseOfOneColumnAtATime) {
  constexpr int64_t kRows = 100, kCols = 300, kStride = 301;
  base::Rng rng(5);
  std::vector<float> rows(kRows * kStride);
  for (float& value : rows) value = static_cast<float>(rng.uniform() - 0.5);
  for (const int threads : {1, 3}) {
    base::ThreadPool pool(threads);
    ImportanceTap tap(1, false, pool);
    tap.linear_input({"blk.0.attn_q.weight", 0, rows.data(), kRows, kCols, kStride, {}});
    const tensor::ImportanceEntry& entry = tap.importance().entries.at("blk.0.attn_q.weight");
    for (int64_t c = 0; c < kCols; ++c) {
      double sum2 = 0, sum = 0;
      for (int64_t r = 0; r < kRows; ++r) {
        const auto x = static_cast<double>(rows[static_cast<size_t>(r * kStride + c)]);
        sum2 += x * x;
        sum += x;
      }
      ASSERT_EQ(entry.in_sum2[static_cast<size_t>(c)], sum2) << c;
      ASSERT_EQ(entry.in_sum[static_cast<size_t>(c)], sum) << c;
    }
  }
}

TEST(Importance, NaNStopsWithTheLayersName) {
  base::ThreadPool pool(1);
  ImportanceTap tap(4, false, pool);
  const std::vector<float> rows = {1, NAN};
  model::LinearInput input{};
  input.weight = "blk.2.attn_k.weight";
  input.layer = 2;
  input.rows = rows.data();
  input.count = 1, input.cols = 2, input.ld = 2;
  tap.linear_input(input);
  try {
    tap.require_finite("m.gguf");
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_NE(std::string(error.what()).find("blk.2.attn_k.weight"), std::string::npos);
  }
}

// llama-imatrix adds float squares in float: after n additions the sum is off by at most n 2^-24 of
// itself. The two engines' activations differ by at most 1e-4 (the fixtures' tolerance for hidden
// rows), which moves a sum of squares by at most 2 * 1e-4 * sum|x| <= 2e-4 sqrt(n sum x^2), and a
// plain sum by n * 1e-4.
void expect_close(const tensor::ImportanceEntry& ours, const tensor::ImportanceEntry& golden,
                  const std::string& name) {
  ASSERT_EQ(ours.cols, golden.cols) << name;
  ASSERT_EQ(ours.mats, golden.mats) << name;
  EXPECT_EQ(ours.counts, golden.counts) << name;
  for (size_t i = 0; i < ours.in_sum2.size(); ++i) {
    const auto n = static_cast<double>(ours.counts[i / static_cast<size_t>(ours.cols)]);
    const double sum2 = ours.in_sum2[i];
    const double allowed = n * 0x1p-24 * sum2 + 2e-4 * std::sqrt(n * sum2);
    EXPECT_NEAR(sum2, golden.in_sum2[i], allowed) << name << " " << i;
    if (golden.in_sum.empty()) continue;
    const double allowed_sum = n * 0x1p-24 * std::sqrt(n * sum2) + n * 1e-4;
    EXPECT_NEAR(ours.in_sum[i], golden.in_sum[i], allowed_sum) << name << " " << i;
  }
}

void compare_with_golden(const char* file, bool with_mtp) {
  const std::string wiki = shared_file("data/wikitext-2/wiki.test.raw");
  if (wiki.empty()) GTEST_SKIP() << "the golden imatrix's text is not part of the repository";
  Tiny tiny;
  const std::string text = base::read_file(wiki).substr(0, 20480);
  const Corpus corpus = tiny.corpus(text, 128, 16);
  const auto opened = model::open_model(fixture("goldens/gguf/tiny-f32.gguf"));
  const exec::ResidentModel model(*opened.source, opened.config, with_mtp);
  base::ThreadPool pool(2);
  const auto ours = calibrate(model, corpus, {.process_output = true}, pool);
  const auto golden = format::read_imatrix(fixture(std::string("goldens/imatrix/") + file));
  EXPECT_EQ(ours.chunk_count, golden.chunk_count);
  double worst = 0;
  for (const auto& [name, entry] : golden.entries) {
    ASSERT_EQ(ours.entries.count(name), 1u) << name;
    const tensor::ImportanceEntry& mine = ours.entries.at(name);
    expect_close(mine, entry, name);
    double most = 0;
    for (const double value : entry.in_sum2) most = std::max(most, value);
    for (size_t i = 0; i < entry.in_sum2.size(); ++i) {
      worst = std::max(worst, std::abs(mine.in_sum2[i] - entry.in_sum2[i]) / most);
    }
  }
  for (const auto& [name, entry] : ours.entries) EXPECT_EQ(golden.entries.count(name), 1u) << name;
  std::printf("%s: sums within %.2g of their tensor's largest\n", file, worst);
}

TEST(Importance, EqualsTheGoldenImatrix) { compare_with_golden("tiny-f32.imatrix.gguf", false); }

TEST(Importance, EqualsTheGoldenImatrixWithMtp) {
  compare_with_golden("tiny-f32.nextn.imatrix.gguf", true);
}

}  // namespace
}  // namespace karat::calib
