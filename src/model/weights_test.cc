#include "model/weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "codec/codec.h"
#include "kernels/packed.h"
#include "support/edited_source.h"
#include "support/golden.h"

namespace karat::model {
namespace {

using tensor::DType;

class Binding : public testing::Test {
 protected:
  const format::GgufSource file_{golden::fixture("goldens/gguf/tiny-f32.gguf")};
  const Config config_ = config_from_gguf(file_.metadata(), "tiny");
  WeightBytes bytes_;

  // Binds a layer from a source with one tensor replaced by zeros of that type and shape, or
  // removed (no shape); it must end in an error of that kind and with that text.
  void expect_error(int64_t layer, const std::string& name, DType type,
                    const std::vector<int64_t>& dims, base::ErrorKind kind,
                    const std::string& part) {
    test::EditedSource source(file_);
    if (dims.empty()) {
      source.remove(name);
    } else {
      const tensor::TensorInfo info{name, type, tensor::Shape(dims)};
      source.set(name, type, info.shape, std::vector<std::byte>(static_cast<size_t>(info.bytes())));
    }
    try {
      layer < config_.layers() ? (void)bind_block(source, config_, layer, bytes_)
                               : (void)bind_mtp(source, config_, bytes_);
      FAIL() << part;
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  }
};

TEST_F(Binding, EveryPartHasItsShape) {
  const BlockWeights delta = bind_block(file_, config_, 0, bytes_);
  EXPECT_EQ(delta.mixer, Mixer::delta_net);
  EXPECT_EQ(delta.delta.qkv.rows, 128);
  EXPECT_EQ(delta.delta.conv.size(), 512U);
  EXPECT_FALSE(delta.attention.q);
  const BlockWeights attention = bind_block(file_, config_, 3, bytes_);
  EXPECT_EQ(attention.mixer, Mixer::attention);
  EXPECT_EQ(attention.attention.q.name, "blk.3.attn_q.weight");
  EXPECT_EQ(attention.attention.q.rows, 256);
  EXPECT_EQ(attention.moe.gate.experts, 8);
  EXPECT_EQ(attention.moe.shared_router.rows, 1);
  EXPECT_FALSE(attention.moe.gate_up);
  const MtpWeights mtp = bind_mtp(file_, config_, bytes_);
  EXPECT_EQ(mtp.block.layer, 4);
  EXPECT_EQ(mtp.block.mixer, Mixer::attention);
  EXPECT_EQ(mtp.eh_proj.cols, 128);
  const Linear& last = attention.moe.down;
  EXPECT_EQ(last.expert(7) + last.rows * last.row_bytes(), last.data + 8 * 64 * 32 * 4);
}

TEST_F(Binding, ErrorsNameTheTensor) {
  constexpr auto kBad = base::ErrorKind::bad_input, kUnsupported = base::ErrorKind::unsupported;
  expect_error(1, "blk.1.ssm_a", DType::f32, {}, kBad, "missing");
  expect_error(2, "blk.2.attn_qkv.weight", DType::f32, {128, 32}, kBad, "has shape [128, 32]");
  expect_error(0, "blk.0.ssm_conv1d.weight", DType::f32, {512}, kBad, "asks for [128, 4]");
  expect_error(3, "blk.3.ffn_down_exps.weight", DType::f32, {64, 8, 32}, kBad, "[8, 64, 32]");
  expect_error(3, "blk.3.attn_norm.weight", DType::f32, {1, 64}, kBad, "asks for [64]");
  expect_error(4, "blk.4.nextn.eh_proj.weight", DType::f32, {64, 256}, kBad, "asks for [64, 128]");
  expect_error(4, "blk.4.nextn.eh_proj.weight", DType::i32, {64, 128}, kUnsupported, "i32");
  expect_error(4, "blk.4.nextn.embed_tokens.weight", DType::f32, {512, 64}, kUnsupported, "MTP");
}

TEST_F(Binding, SharedGateMayBeAVector) {
  const std::string name = "blk.0.ffn_gate_inp_shexp.weight";
  test::EditedSource source(file_);
  source.set(name, DType::f32, {64}, source.bytes_of(name));
  EXPECT_EQ(bind_block(source, config_, 0, bytes_).moe.shared_router.cols, 64);
}

TEST_F(Binding, VectorsOfHalfTypesAreWidened) {
  test::EditedSource source(file_);
  const std::vector<std::byte> f32 = source.bytes_of("blk.0.ssm_norm.weight");
  std::vector<std::byte> bf16;
  for (size_t i = 0; i < f32.size(); i += 4) bf16.insert(bf16.end(), {f32[i + 2], f32[i + 3]});
  source.set("blk.0.ssm_norm.weight", DType::bf16, {16}, bf16);
  EXPECT_EQ(bind_block(source, config_, 0, bytes_).delta.norm,
            bind_block(file_, config_, 0, bytes_).delta.norm);
}

TEST_F(Binding, MissingOutputAndHeadNormFallBack) {
  const HeadWeights head = bind_head(file_, config_, bytes_);
  EXPECT_NE(head.output.data, head.token_embd.data);
  EXPECT_NE(bind_mtp(file_, config_, bytes_).head_norm, head.output_norm);
  test::EditedSource source(file_);
  source.remove("output.weight");
  source.remove("blk.4.nextn.shared_head_norm.weight");
  const HeadWeights tied = bind_head(source, config_, bytes_);
  EXPECT_EQ(tied.output.data, tied.token_embd.data);
  EXPECT_EQ(bind_mtp(source, config_, bytes_).head_norm, head.output_norm);
}

// Packed weights multiply as the stored ones packed at once; others and embeddings stay rows.
TEST_F(Binding, PanelsHoldThePackedRows) {
  test::EditedSource source(file_);
  base::Rng rng(3);
  const std::string name = "blk.3.ffn_gate_exps.weight";
  std::vector<float> values(8 * 32 * 64);
  for (float& value : values) value = static_cast<float>(rng.uniform() - 0.5);
  const int64_t expert_stored = 32 * tensor::row_bytes(DType::q8_0, 64);
  std::vector<std::byte> stored(static_cast<size_t>(8 * expert_stored));
  codec::codec_for(DType::q8_0).encode_row(values, {}, stored);
  source.set(name, DType::q8_0, {8, 32, 64}, stored);
  base::ThreadPool pool(3);
  WeightBytes alone(Layout::panels), together(Layout::panels, &pool);
  for (WeightBytes* bytes : {&alone, &together}) {
    const MoeWeights moe = bind_block(source, config_, 3, *bytes).moe;
    EXPECT_EQ(moe.up.layout, Layout::rows);
    ASSERT_EQ(moe.gate.layout, Layout::panels);
    std::vector<std::byte> expected(static_cast<size_t>(moe.gate.expert_bytes()));
    for (int64_t e = 0; e < 8; ++e) {
      kernels::pack_rows(DType::q8_0, stored.data() + e * expert_stored, 32, 64, expected.data());
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), moe.gate.expert(e))) << e;
    }
  }
  test::EditedSource tied(file_);
  tied.remove("output.weight");
  std::vector<std::byte> table(static_cast<size_t>(512 * tensor::row_bytes(DType::q8_0, 64)));
  tied.set("token_embd.weight", DType::q8_0, {512, 64}, table);
  const HeadWeights head = bind_head(tied, config_, alone);
  EXPECT_EQ(head.token_embd.layout, Layout::rows);
  EXPECT_EQ(head.output.layout, Layout::panels);
}

}  // namespace
}  // namespace karat::model
