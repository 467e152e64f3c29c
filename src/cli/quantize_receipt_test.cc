#include "cli/quantize_receipt.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "support/files.h"

namespace karat::cli {
namespace {

QuantizeRequest example() {
  QuantizeRequest request;
  request.type = "Q4_K_M";
  request.overrides = {"general.name=str:x"};
  request.pure = true;
  return request;
}

recipe::QuantizePlan plan() {
  recipe::QuantizePlan plan;
  plan.preset = recipe::preset_named("Q4_K_M");
  recipe::TensorPlan tensor;
  tensor.out = {"blk.0.ffn_up_exps.weight", tensor::DType::q4_k, {4, 1, 256}};
  tensor.cold_experts = 2;
  plan.tensors.push_back(tensor);
  return plan;
}

TEST(QuantizeReceipt, OptionsThatDetermineTheBytes) {
  const auto receipt = quantize_receipt(example(), plan(), {});
  EXPECT_EQ(receipt.options.dump(),
            R"({"type": "Q4_K_M", "override_kv": ["general.name=str:x"], "pure": true})");
  ASSERT_EQ(receipt.notes.size(), 1u);
  EXPECT_EQ(receipt.notes[0].second, "2 experts without statistics");
  const auto ruled = quantize_receipt({}, plan(), {});
  EXPECT_EQ(ruled.options.dump(), R"({"type": "Q4_K_M"})");
}

TEST(QuantizeReceipt, MetadataInLlamaQuantizesOrder) {
  model::OpenedModel opened;
  opened.metadata.emplace();
  opened.metadata->set("general.file_type", uint32_t{32});
  opened.metadata->set("general.name", "was");
  opened.metadata->set("split.count", uint16_t{2});
  tensor::Importance importance;
  importance.datasets = {"text"};
  importance.chunk_count = 3;
  QuantizeRequest request = example();
  request.imatrix = "folder/imatrix.gguf";
  request.with_receipt = false;
  const auto metadata = quantize_metadata(request, opened, plan(), &importance, {});
  std::vector<std::string> keys;
  for (const auto& entry : metadata.entries()) keys.push_back(entry.key);
  EXPECT_EQ(keys, (std::vector<std::string>{
                      "general.quantization_version", "general.file_type", "general.name",
                      "quantize.imatrix.file", "quantize.imatrix.dataset",
                      "quantize.imatrix.entries_count", "quantize.imatrix.chunks_count"}));
  EXPECT_EQ(metadata.get_string("general.name"), "x");
  EXPECT_EQ(metadata.get_string("quantize.imatrix.file"), "imatrix.gguf");
}

TEST(QuantizeReceipt, FingerprintChangesWithInputAndOptions) {
  const test::TempDir dir;
  const std::string in = dir.write("in.gguf", "weights");
  const auto of = [&](const QuantizeRequest& request) {
    return quantize_fingerprint(request, quantize_receipt(request, plan(), {}), {in}, {1000});
  };
  const auto first = of(example());
  EXPECT_EQ(of(example()), first);
  QuantizeRequest other = example();
  other.pure = false;
  EXPECT_NE(of(other), first);
  other = example();
  other.with_receipt = false;
  EXPECT_NE(of(other), first);
  std::filesystem::last_write_time(in,
                                   std::filesystem::last_write_time(in) + std::chrono::seconds(1));
  EXPECT_NE(of(example()), first);
}

TEST(QuantizeReceipt, InputsBeforeTheyAreHashedTakeTheSameSpace) {
  const test::TempDir dir;
  const auto inputs = unhashed({dir.write("a", "abc")});
  ASSERT_EQ(inputs.size(), 1u);
  EXPECT_EQ(inputs[0].bytes, 3u);
  EXPECT_EQ(inputs[0].sha256.size(), 64u);
}

}  // namespace
}  // namespace karat::cli
