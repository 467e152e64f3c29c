#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "codec/codec.h"
#include "kernels/dispatch.h"
#include "model/forward.h"
#include "support/golden.h"

namespace karat::model {
namespace {

class Head : public testing::Test {
 protected:
  const golden::Tiny tiny_;
  base::ThreadPool pool_{2};
  ForwardContext context_{tiny_.config, pool_, kernels::table()};
};

TEST_F(Head, EmbeddingRowsAreDecoded) {
  const auto hidden = static_cast<size_t>(tiny_.config.hidden);
  const auto* table = reinterpret_cast<const float*>(tiny_.head.token_embd.data);
  for (const tensor::DType type : {tensor::DType::f32, tensor::DType::bf16, tensor::DType::q8_0}) {
    const codec::Codec& codec = codec::codec_for(type);
    HeadWeights head = tiny_.head;
    head.token_embd.dtype = type;
    const auto row_bytes = static_cast<size_t>(head.token_embd.row_bytes());
    std::vector<std::byte> bytes(512 * row_bytes);
    codec.encode_row({table, 512 * hidden}, {}, bytes);
    head.token_embd.data = bytes.data();
    const std::vector<int32_t> ids = {0, 511, 3, 3};
    std::vector<float> out(ids.size() * hidden), expected(hidden);
    embed(context_, head, ids, out.data());
    for (size_t i = 0; i < ids.size(); ++i) {
      codec.decode({bytes.data() + static_cast<size_t>(ids[i]) * row_bytes, row_bytes}, expected);
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(),
                             out.begin() + static_cast<int64_t>(i * hidden)));
    }
  }
}

TEST_F(Head, UnknownTokensAreRefused) {
  std::vector<float> out(64);
  for (const int32_t id : {-1, 512}) {
    try {
      embed(context_, tiny_.head, {&id, 1}, out.data());
      FAIL();
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::bad_input);
      EXPECT_NE(std::string(error.what()).find(std::to_string(id)), std::string::npos);
    }
  }
}

class Recorder : public Tap {
 public:
  void linear_input(const LinearInput& input) override {
    weight = input.weight;
    layer = input.layer;
    position = input.origins[0].position;
  }
  std::string weight;
  int64_t layer = 0, position = 0;
};

TEST_F(Head, TapSeesTheOutputMatrix) {
  Recorder tap;
  context_.tap = &tap;
  const std::vector<float> h(64, 1.0F);
  std::vector<float> out(512);
  const RowOrigin origin{2, 17};
  logits(context_, tiny_.head, h.data(), 1, {&origin, 1}, out.data());
  EXPECT_EQ(tap.weight, "output.weight");
  EXPECT_EQ(tap.layer, -1);
  EXPECT_EQ(tap.position, 17);
  EXPECT_THROW(logits(context_, tiny_.head, h.data(), 1, {}, out.data()), base::Error);
}

}  // namespace
}  // namespace karat::model
