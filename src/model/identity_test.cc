#include "model/identity.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "model/open.h"
#include "support/shared.h"

namespace karat::model {
namespace {

// The tensors of another source backwards, with one byte of one tensor changed.
class Altered : public tensor::TensorSource {
 public:
  Altered(const tensor::TensorSource& source, std::string name, int64_t row)
      : source_(source), name_(std::move(name)), row_(row), tensors_(source.tensors()) {
    std::reverse(tensors_.begin(), tensors_.end());
  }
  const std::vector<tensor::TensorInfo>& tensors() const override { return tensors_; }
  void read_rows(const tensor::TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                 std::span<std::byte> out) const override {
    source_.read_rows(tensor, row_begin, row_count, out);
    if (tensor.name == name_ && row_begin == row_) out.back() ^= std::byte{1};
  }

 private:
  const tensor::TensorSource& source_;
  std::string name_;
  int64_t row_;
  std::vector<tensor::TensorInfo> tensors_;
};

struct Model {
  OpenedModel opened = open_model(test::fixture("goldens/gguf/tiny-f32.gguf"));
  std::string altered(const std::string& name, int64_t row) const {
    return trunk_identity(Altered(*opened.source, name, row), opened.config);
  }
  std::string identity() const { return trunk_identity(*opened.source, opened.config); }
};

TEST(Identity, IsOfWhatTheTrunkComputesWith) {
  const Model model;
  const std::string ours = model.identity();
  EXPECT_EQ(ours.size(), 64u);
  EXPECT_EQ(model.altered("", 0), ours);  // another order in the file
  EXPECT_EQ(model.altered("output.weight", 0), ours);
  EXPECT_EQ(model.altered("blk.4.nextn.eh_proj.weight", 0), ours);
  EXPECT_NE(model.altered("output_norm.weight", 0), ours);
  EXPECT_NE(model.altered("token_embd.weight", 0), ours);
  const int64_t experts = model.opened.source->at("blk.3.ffn_down_exps.weight").shape.rows();
  for (const int64_t row : {int64_t{0}, experts / 2, experts - 1}) {
    EXPECT_NE(model.altered("blk.3.ffn_down_exps.weight", row), ours) << row;
  }
}

TEST(Identity, KnowsTypesAndConfiguration) {
  Model model;
  const std::string ours = model.identity();
  const OpenedModel bf16 = open_model(test::fixture("goldens/gguf/tiny-bf16.gguf"));
  EXPECT_NE(trunk_identity(*bf16.source, bf16.config), ours);
  model.opened.config.rope.theta *= 2;
  EXPECT_NE(model.identity(), ours);
  model.opened.config.rope.theta /= 2;
  model.opened.config.rms_eps *= 2;
  EXPECT_NE(model.identity(), ours);
}

}  // namespace
}  // namespace karat::model
