// The same bytes from any number of threads, any instruction set, and from a checkpoint or its
// converted file.
#include <gtest/gtest.h>

#include <filesystem>

#include "format/gguf.h"
#include "format/gguf_writer.h"
#include "kernels/dispatch.h"
#include "support/files.h"
#include "support/program.h"

namespace karat {
namespace {

using test::run_karat;
using test::succeeded;
using test::TempDir;

const std::string kTiny = test::fixture("tiny-random");
const std::string kText = kTiny + "/merges.txt";

// Ways to run a line that must not change what it writes.
struct Way {
  const char* threads;
  const char* isa;
};

std::vector<Way> ways() {
  std::vector<Way> all = {{"1", ""}, {"2", ""}, {"7", ""}};
  for (const char* isa : {"scalar", "avx2", "avx512"}) {
    const std::string variable = std::string("KARAT_ISA=") + isa;
    const test::Outcome version = run_karat({"--version"}, {.environment = {variable}});
    if (version.out.find(std::string("instruction set ") + isa) != std::string::npos) {
      all.push_back({"2", isa});
    }
  }
  return all;
}

// The bytes that a line writes to `out`, which must be the same in all ways.
std::string same_bytes(const std::string& out, std::vector<std::string> line) {
  std::string first;
  for (const Way& way : ways()) {
    std::vector<std::string> full = line;
    full.insert(full.end(), {"--force", "-t", way.threads});
    test::RunOptions options;
    if (*way.isa != '\0') options.environment = {std::string("KARAT_ISA=") + way.isa};
    const test::Outcome outcome = run_karat(full, options);
    EXPECT_TRUE(succeeded(outcome)) << line[0];
    const std::string bytes = test::read_bytes(out);
    EXPECT_GT(bytes.size(), 1000u) << line[0];
    if (first.empty()) first = bytes;
    EXPECT_TRUE(bytes == first) << line[0] << " differs with " << way.threads << " threads, "
                                << (*way.isa != '\0' ? way.isa : "the machine's") << " kernels";
  }
  return first;
}

class SameBytes : public testing::Test {
 protected:
  // The demo model's first block, with rows of 256 and more elements, as GGUF.
  std::string one_block() {
    const std::string whole = dir_.path("demo.gguf"), path = dir_.path("one.gguf");
    EXPECT_TRUE(succeeded(run_karat(
        {"convert", std::string(KARAT_ROOT) + "/demo/model", "-o", whole, "-q", "--no-mtp"})));
    const format::GgufSource source(whole);
    format::Metadata metadata = source.metadata();
    metadata.set("qwen35moe.block_count", uint32_t{1});
    std::vector<tensor::TensorInfo> tensors;
    for (const tensor::TensorInfo& tensor : source.tensors()) {
      const bool later_block = tensor.name.find("blk.") == 0 && tensor.name.find("blk.0.") != 0;
      if (!later_block && tensor.name != "output.weight") tensors.push_back(tensor);
    }
    format::GgufWriter writer(path, metadata, tensors);
    for (size_t i = 0; i < tensors.size(); ++i) {
      std::vector<std::byte> bytes(static_cast<size_t>(tensors[i].bytes()));
      source.read(tensors[i], bytes);
      writer.write(i, bytes);
    }
    writer.commit();
    std::filesystem::remove(whole);
    return path;
  }
  TempDir dir_;
};

TEST_F(SameBytes, Quantize) {
  const std::string out = dir_.path("out.gguf");
  const std::string plain = same_bytes(out, {"quantize", kTiny, out, "Q8_0"});
  const std::string statistics = dir_.path("i.gguf");
  ASSERT_TRUE(
      succeeded(run_karat({"calibrate", "-m", kTiny, "-f", kText, "-c", "64", "-o", statistics})));
  same_bytes(out, {"quantize", kTiny, out, "Q8_0", "--imatrix", statistics});
}

TEST_F(SameBytes, QuantizeToSuperBlocks) {
  const std::string model = one_block(), out = dir_.path("out.gguf");
  same_bytes(out, {"quantize", model, out, "Q4_K_M", "--tensor-type", "ffn_up_exps=q5_k"});
}

TEST_F(SameBytes, Calibrate) {
  const std::string out = dir_.path("out.gguf");
  same_bytes(out, {"calibrate", "-m", kTiny, "-f", kText, "-c", "64", "-o", out});
}

TEST_F(SameBytes, LogitsFile) {
  const std::string out = dir_.path("out.kld");
  same_bytes(out,
             {"eval", "ppl", "-m", kTiny, "-f", kText, "-c", "64", "--kl-divergence-base", out});
}

TEST_F(SameBytes, Convert) {
  const std::string out = dir_.path("out.gguf");
  same_bytes(out, {"convert", kTiny, "-o", out, "--outtype", "q8_0"});
}

TEST_F(SameBytes, FolderAndItsConvertedFile) {
  const std::string converted = dir_.path("c.gguf");
  ASSERT_TRUE(succeeded(run_karat({"convert", kTiny, "-o", converted})));
  for (const char* type : {"Q8_0", "BF16", "F16", "F32"}) {
    const std::string a = dir_.path("a.gguf"), b = dir_.path("b.gguf");
    for (const auto& [in, out] : {std::pair(kTiny, a), std::pair(converted, b)}) {
      ASSERT_TRUE(succeeded(run_karat({"quantize", in, out, type, "--no-receipt", "--force"})));
    }
    EXPECT_TRUE(test::read_bytes(a) == test::read_bytes(b)) << type;
  }
}

TEST_F(SameBytes, ReceiptHoldsNothingOfTheRun) {
  const std::string out = dir_.path("out.gguf");
  ASSERT_TRUE(succeeded(run_karat({"quantize", kTiny, out, "Q8_0"})));
  const std::string first = test::read_bytes(out);
  std::filesystem::create_directory(dir_.path("elsewhere"));
  ASSERT_TRUE(succeeded(run_karat({"quantize", kTiny, "other-name.gguf", "Q8_0", "-t", "3"},
                                  {.folder = dir_.path("elsewhere")})));
  EXPECT_TRUE(test::read_bytes(dir_.path("elsewhere/other-name.gguf")) == first);
}

}  // namespace
}  // namespace karat
