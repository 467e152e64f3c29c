#include "recipe/sequential.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "format/gguf.h"
#include "model/open.h"
#include "recipe/presets.h"
#include "support/files.h"
#include "support/shared.h"

namespace karat::recipe {
namespace {

// A model whose reading can be made to fail in one block.
class FailingSource : public tensor::TensorSource {
 public:
  explicit FailingSource(const tensor::TensorSource& source) : source_(source) {}
  const std::vector<tensor::TensorInfo>& tensors() const override { return source_.tensors(); }
  void read_rows(const tensor::TensorInfo& tensor, int64_t row_begin, int64_t row_count,
                 std::span<std::byte> out) const override {
    if (!failing.empty() && base::starts_with(tensor.name, failing)) {
      throw base::fail(base::ErrorKind::io, "stop");
    }
    source_.read_rows(tensor, row_begin, row_count, out);
  }
  std::string failing;

 private:
  const tensor::TensorSource& source_;
};

class Sequential : public testing::Test {
 protected:
  Sequential() {
    corpus_.chunk_size = 40;
    corpus_.ends = {40, 41, 130, 200};
    corpus_.chunks = 4;
    for (int i = 0; i < 200; ++i) corpus_.tokens.push_back((i * i * 7 + 3) % 499);
    plan_ = plan_quantize(source_, opened_.config, preset_named("Q4_0"), {}, nullptr);
    metadata_.set("general.architecture", "qwen35moe");
  }

  void quantize(const std::string& out, bool hessians, int threads,
                const exporting::Fingerprint& fingerprint = {},
                std::function<void(double)> alongside = nullptr) {
    base::ThreadPool pool(threads);
    run_quantize(source_, plan_, nullptr,
                 {.out = out,
                  .metadata = metadata_,
                  .fingerprint = fingerprint,
                  .hessians = hessians ? &inputs_ : nullptr,
                  .alongside = std::move(alongside)},
                 pool);
  }

  test::TempDir folder_;
  model::OpenedModel opened_ = model::open_model(test::fixture("tiny-random"));
  FailingSource source_{*opened_.source};
  calib::Corpus corpus_;
  QuantizePlan plan_;
  format::Metadata metadata_;
  HessianInputs inputs_{opened_.config, corpus_, 64};
};

TEST_F(Sequential, WritesOtherCodesThanThePlainSearchToTheSameTensors) {
  quantize(folder_.path("plain.gguf"), false, 2);
  quantize(folder_.path("full.gguf"), true, 2);
  const std::string plain = base::read_file(folder_.path("plain.gguf"));
  const std::string full = base::read_file(folder_.path("full.gguf"));
  ASSERT_EQ(plain.size(), full.size());
  EXPECT_NE(plain, full);
  const format::GgufSource a(folder_.path("plain.gguf")), b(folder_.path("full.gguf"));
  const std::vector<size_t> encoded = hessian_tensors(*opened_.source, plan_);
  ASSERT_FALSE(encoded.empty());
  for (size_t i = 0; i < plan_.tensors.size(); ++i) {
    const std::string& name = plan_.tensors[i].out.name;
    const auto size = static_cast<size_t>(a.at(name).bytes());
    std::vector<std::byte> x(size), y(size);
    a.read(a.at(name), x);
    b.read(b.at(name), y);
    if (std::find(encoded.begin(), encoded.end(), i) == encoded.end()) {
      EXPECT_EQ(x, y) << name;
    }
  }
}

TEST_F(Sequential, BytesDoNotDependOnThreadsOrBatches) {
  quantize(folder_.path("a.gguf"), true, 1);
  inputs_.batch_tokens = 100;
  quantize(folder_.path("b.gguf"), true, 3);
  EXPECT_EQ(base::read_file(folder_.path("a.gguf")), base::read_file(folder_.path("b.gguf")));
}

TEST_F(Sequential, AStoppedRunGoesOnToTheSameBytes) {
  quantize(folder_.path("whole.gguf"), true, 2);
  const std::string out = folder_.path("stopped.gguf");
  const exporting::Fingerprint fingerprint = {{"test", "1"}};
  source_.failing = "blk.2.ffn_down_exps";
  EXPECT_THROW(quantize(out, true, 2, fingerprint), base::Error);
  source_.failing = "";
  EXPECT_TRUE(base::file_exists(out + ".checkpoint"));
  // Stopped in the last phase, when the blocks are there.
  EXPECT_THROW(quantize(out, true, 2, fingerprint,
                        [](double) { throw base::fail(base::ErrorKind::io, "stop"); }),
               base::Error);
  EXPECT_TRUE(base::file_exists(out + ".partial"));
  quantize(out, true, 2, fingerprint);
  EXPECT_EQ(base::read_file(folder_.path("whole.gguf")), base::read_file(out));
  EXPECT_FALSE(base::file_exists(out + ".checkpoint"));
}

TEST_F(Sequential, SaysWhatItTakes) {
  uint64_t encoded = 0;
  for (const size_t i : hessian_tensors(source_, plan_)) {
    encoded += static_cast<uint64_t>(plan_.tensors[i].out.bytes());
  }
  const auto blocks = static_cast<uint64_t>(hessian_stages(opened_.config));
  EXPECT_EQ(hessian_stages(opened_.config), opened_.config.layers() + opened_.config.mtp_layers);
  EXPECT_GT(hessian_memory(source_, plan_, inputs_), encoded / blocks);
}

}  // namespace
}  // namespace karat::recipe
