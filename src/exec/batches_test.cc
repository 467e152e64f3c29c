#include "exec/batches.h"

#include <gtest/gtest.h>

#include "format/gguf.h"

namespace karat::exec {
namespace {

model::Config tiny() {
  const format::GgufSource source(std::string(KARAT_ROOT) +
                                  "/tests/fixtures/goldens/gguf/tiny-f32.gguf");
  return model::config_from_gguf(source.metadata(), "tiny");
}

struct Piece {
  int64_t first, rows;
  std::vector<int64_t> sequences, segment_rows, ends;
  bool operator==(const Piece&) const = default;
};

std::vector<Piece> cut(const std::vector<int64_t>& ends, int64_t rows_max) {
  const model::Config config = tiny();
  Batches batches(config, ends, rows_max);
  std::vector<Piece> pieces;
  for (Batch batch = batches.next(); batch.rows > 0; batch = batches.next()) {
    Piece piece{batch.first, batch.rows, {}, {}, batch.ends};
    for (const model::Segment& segment : batch.segments) {
      piece.sequences.push_back(segment.sequence);
      piece.segment_rows.push_back(segment.rows);
    }
    EXPECT_EQ(static_cast<int64_t>(batch.origins.size()), batch.rows);
    pieces.push_back(piece);
  }
  return pieces;
}

TEST(Batches, AreWholeSequencesOrPiecesOfLongOnes) {
  EXPECT_EQ(cut({3, 5, 16, 17}, 6), (std::vector<Piece>{{0, 5, {0, 1}, {3, 2}, {1, 1}},
                                                        {5, 6, {2}, {6}, {0}},
                                                        {11, 6, {2, 3}, {5, 1}, {1, 1}}}));
  EXPECT_EQ(cut(equal_ends(2, 4), 100), (std::vector<Piece>{{0, 8, {0, 1}, {4, 4}, {1, 1}}}));
}

TEST(Batches, KeepTheStateOfACutSequenceAndNoOther) {
  const model::Config config = tiny();
  const std::vector<int64_t> ends = {7, 9};
  Batches batches(config, ends, 4, 2);
  Batch batch = batches.next();
  EXPECT_EQ(batch.segments[0].state->length(), 0);
  EXPECT_TRUE(batch.segments[0].state->block(0).delta.recurrent.empty());
  EXPECT_FALSE(batch.segments[0].state->block(2).delta.recurrent.empty());
  batch.segments[0].state->advance(4);
  batch = batches.next();
  ASSERT_EQ(batch.segments.size(), 1u);  // 3 rows and the next sequence's 2 are too many
  EXPECT_EQ(batch.segments[0].state->length(), 4);
  EXPECT_EQ(batch.origins.front().position, 4);
  batch = batches.next();
  EXPECT_EQ(batch.segments[0].state->length(), 0);
}

TEST(Batches, MtpSeesEachRowWithTheTokenAfterIt) {
  const model::Config config = tiny();
  const std::vector<int64_t> ends = {1, 6};
  const std::vector<int32_t> tokens = {10, 20, 21, 22, 23, 24};
  const std::vector<float> hidden = {0, 1, 2, 3, 4, 5};
  Batches batches(config, ends, 3);
  const auto pairs = [&](Batch batch) {
    return pair_for_mtp(tokens, hidden.data() + batch.first, 1, batch);
  };
  EXPECT_TRUE(pairs(batches.next()).tokens.empty());  // a sequence of one token has no pair
  MtpRows rows = pairs(batches.next());               // a piece: the next token is known
  EXPECT_EQ(rows.tokens, (std::vector<int32_t>{21, 22, 23}));
  EXPECT_EQ(rows.hidden, (std::vector<float>{1, 2, 3}));
  rows = pairs(batches.next());
  EXPECT_EQ(rows.tokens, (std::vector<int32_t>{24}));
  EXPECT_EQ(rows.hidden, (std::vector<float>{4}));
}

// Short sequences do not make more states than limits of memory foresee.
TEST(Batches, HoldSoManySequencesAtMost) {
  const model::Config config = tiny();
  const std::vector<int64_t> ends = equal_ends(100, 2);
  const auto sequences = [&](std::optional<int64_t> only) {
    std::vector<size_t> counts;
    Batches batches(config, ends, 8192, only);
    for (Batch batch = batches.next(); batch.rows > 0; batch = batches.next()) {
      counts.push_back(batch.segments.size());
    }
    return counts;
  };
  EXPECT_EQ(sequences(std::nullopt), (std::vector<size_t>{16, 16, 16, 16, 16, 16, 4}));
  EXPECT_EQ(sequences(0), (std::vector<size_t>{64, 36}));
}

}  // namespace
}  // namespace karat::exec
