#include "calib/outliers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "calib/importance.h"
#include "model/open.h"
#include "support/edited_source.h"
#include "support/files.h"
#include "support/shared.h"

namespace karat::calib {
namespace {

TEST(Outliers, AreOfTheRowsGiven) {
  base::ThreadPool pool(2);
  OutlierTap tap(3, pool);
  // Eleven columns: eight running sums and a rest; a stride beyond them.
  std::vector<float> rows(2 * 12, 0);
  rows[0] = 3, rows[9] = -4, rows[11] = 99;
  rows[12 + 10] = 12;
  tap.stage({"out", 7, rows.data(), 2, 11, 12});
  tap.expert_output({7, 1, rows.data(), 1, 11});
  const LayerOutliers& layer = tap.layers().at(7);
  EXPECT_EQ(layer.residual.rows, 2);
  EXPECT_EQ(layer.residual.norm_max, 12);
  EXPECT_EQ(layer.residual.norm_mean(), 8.5);
  EXPECT_EQ(layer.residual.value_max, 12);
  ASSERT_EQ(layer.experts.size(), 3u);
  EXPECT_EQ(layer.experts[1].norm_max, 5);
  EXPECT_EQ(layer.experts[1].value_max, 4);
  EXPECT_EQ(layer.experts[0].rows, 0);
  EXPECT_EQ(layer.experts[0].norm_mean(), 0);
}

TEST(Outliers, AreTakenUpWhereTheyWereKept) {
  const test::TempDir folder;
  base::ThreadPool pool(1);
  StreamCheckpoint checkpoint(folder.path("out"), {{"run", "1"}});
  OutlierTap whole(2, pool), first(2, pool), second(2, pool);
  std::vector<float> rows = {3, 4, 0, 5};
  for (OutlierTap* tap : {&whole, &first}) tap->stage({"out", 0, rows.data(), 2, 2, 2});
  for (OutlierTap* tap : {&whole, &first}) tap->expert_output({0, 1, rows.data(), 1, 2});
  checkpoint.save(1, std::vector<const KeptTap*>{&first}, rows);
  ASSERT_EQ(checkpoint.take_up(std::vector<KeptTap*>{&second}, rows, false), 1);
  for (OutlierTap* tap : {&whole, &second}) tap->stage({"out", 1, rows.data(), 1, 2, 2});
  EXPECT_EQ(outliers_json(whole.layers()).dump(), outliers_json(second.layers()).dump());
}

class TinyOutliers : public testing::Test {
 protected:
  TinyOutliers() {
    base::Rng rng(9);
    for (int i = 0; i < 600; ++i) corpus_.tokens.push_back(static_cast<int32_t>(rng.below(500)));
    corpus_.chunk_size = 200;
    corpus_.chunks = 3;
  }
  std::map<int64_t, LayerOutliers> run(const tensor::TensorSource& source, int threads = 2,
                                       int64_t batch_tokens = 2048) const {
    const exec::ResidentModel model(source, opened_.config, true);
    base::ThreadPool pool(threads);
    OutlierTap tap(opened_.config.experts, pool);
    calibrate(model, corpus_, {.batch_tokens = batch_tokens, .also = {&tap}}, pool);
    return tap.layers();
  }
  model::OpenedModel opened_ = model::open_model(test::fixture("tiny-random"));
  Corpus corpus_;
};

TEST_F(TinyOutliers, DoNotDependOnThreadsOrBatches) {
  EXPECT_EQ(outliers_json(run(*opened_.source, 1)).dump(),
            outliers_json(run(*opened_.source, 5, 90)).dump());
}

TEST_F(TinyOutliers, OfAnOrdinaryModelAreNoSuperExperts) {
  const auto layers = run(*opened_.source);
  EXPECT_EQ(layers.size(), 5u);
  EXPECT_TRUE(super_experts(layers).empty());
  EXPECT_NE(outliers_text(layers).find("No super expert.\n"), std::string::npos);
}

TEST_F(TinyOutliers, APlantedSuperExpertIsFound) {
  test::EditedSource source(*opened_.source);
  const std::string down = "blk.1.ffn_down_exps.weight";
  const tensor::TensorInfo& info = opened_.source->at(down);
  ASSERT_EQ(info.dtype, tensor::DType::bf16);
  std::vector<std::byte> bytes = source.bytes_of(down);
  // Expert 5 puts out a hundred and twenty-eight times as much: seven more in bf16's exponent.
  const size_t one = bytes.size() / 8;
  for (size_t i = 5 * one; i < 6 * one; i += 2) {
    uint16_t value;
    std::memcpy(&value, &bytes[i], 2);
    if ((value & 0x7f80U) != 0) value = static_cast<uint16_t>(value + (7U << 7));
    std::memcpy(&bytes[i], &value, 2);
  }
  source.set(down, info.dtype, info.shape, bytes);
  const auto layers = run(source);
  const std::vector<SuperExpert> found = super_experts(layers);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].layer, 1);
  EXPECT_EQ(found[0].expert, 5);
  EXPECT_GT(found[0].times_median, 50);
  EXPECT_NE(outliers_text(layers).find("block 1 expert 5"), std::string::npos);
  // And the residual stream shows what it did.
  EXPECT_GT(layers.at(1).residual.norm_max, 4 * layers.at(0).residual.norm_max);
}

}  // namespace
}  // namespace karat::calib
