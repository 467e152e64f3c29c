// Importance statistics in and out of the program: layouts, merging, the table.
#include <gtest/gtest.h>

#include <memory>

#include "base/json.h"
#include "format/gguf.h"
#include "format/imatrix.h"
#include "support/hostile.h"
#include "support/program.h"

namespace karat {
namespace {

using test::Outcome;
using test::refused;
using test::run_karat;
using test::succeeded;

const std::string kFixtures = std::string(KARAT_ROOT) + "/tests/fixtures/";
const std::string kTiny = kFixtures + "tiny-random";
const std::string kGguf = kFixtures + "goldens/imatrix/tiny-f32.imatrix.gguf";
const std::string kDat = kFixtures + "goldens/imatrix/tiny-f32.imatrix.dat";

class Imatrix : public testing::Test {
 protected:
  std::string out(const std::string& name) const { return dir_.path(name); }
  test::TempDir dir_;
};

TEST_F(Imatrix, ConvertsWithoutAModel) {
  EXPECT_TRUE(succeeded(run_karat({"imatrix", "--in-file", kGguf, "-o", out("x.dat")})));
  EXPECT_TRUE(test::read_bytes(out("x.dat")) == test::read_bytes(kDat));
  EXPECT_TRUE(succeeded(run_karat({"calibrate", "--in-file", kGguf, "-o", out("x.gguf")})));
  EXPECT_TRUE(test::read_bytes(out("x.gguf")) == test::read_bytes(kGguf));
  EXPECT_TRUE(succeeded(run_karat({"calibrate", "--in-file", kDat, "-c", "128", "-o", out("back"),
                                   "--output-format", "gguf"})));
  const auto back = format::read_imatrix(out("back")), golden = format::read_imatrix(kGguf);
  EXPECT_EQ(back.chunk_count, golden.chunk_count);
  EXPECT_EQ(back.entries.size(), golden.entries.size());
  EXPECT_EQ(dir_.file_count(), 3u);
}

TEST_F(Imatrix, MergingAddsSumsAndCounts) {
  const std::string text = test::read_bytes(kTiny + "/merges.txt");
  const size_t middle = text.find('\n', text.size() / 2) + 1;
  const std::string first = dir_.write("first.txt", text.substr(0, middle)),
                    second = dir_.write("second.txt", text.substr(middle));
  const auto calibrate = [&](const std::vector<std::string>& more, const std::string& name) {
    std::vector<std::string> line = {"calibrate", "-m", kTiny, "-c", "8", "-o", out(name)};
    line.insert(line.end(), more.begin(), more.end());
    const Outcome outcome = run_karat(line);
    EXPECT_TRUE(succeeded(outcome));
    return format::read_imatrix(out(name));
  };
  const auto a = calibrate({"-f", first}, "a.gguf");
  const auto b = calibrate({"-f", second}, "b.gguf");
  const auto added = calibrate({"-f", second, "--in-file", out("a.gguf")}, "added.gguf");
  EXPECT_EQ(added.chunk_count, a.chunk_count + b.chunk_count);
  EXPECT_EQ(added.datasets, (std::vector<std::string>{"first.txt", "second.txt"}));
  const Outcome merged = run_karat({"calibrate", "--in-file", out("a.gguf"), "--in-file",
                                    out("b.gguf"), "-o", out("merged.gguf")});
  EXPECT_TRUE(succeeded(merged));
  const auto sum = format::read_imatrix(out("merged.gguf"));
  for (const auto& [name, entry] : sum.entries) {
    const tensor::ImportanceEntry &one = a.entries.at(name), &two = b.entries.at(name);
    ASSERT_EQ(entry.counts.size(), one.counts.size()) << name;
    for (size_t i = 0; i < entry.counts.size(); ++i) {
      EXPECT_EQ(entry.counts[i], one.counts[i] + two.counts[i]) << name;
    }
    for (size_t i = 0; i < entry.in_sum2.size(); ++i) {
      // The file rounds the sum to single precision.
      EXPECT_EQ(entry.in_sum2[i],
                static_cast<double>(static_cast<float>(one.in_sum2[i] + two.in_sum2[i])));
    }
    EXPECT_EQ(entry.stats.size(), 12u) << name;
  }
}

TEST_F(Imatrix, LossesAreSaid) {
  const Outcome merged = run_karat(
      {"calibrate", "--in-file", kGguf, "--in-file", kDat, "-c", "128", "-o", out("x.gguf")});
  ASSERT_TRUE(succeeded(merged));
  EXPECT_NE(merged.err.find("approximate"), std::string::npos) << merged.err;
  EXPECT_NE(merged.err.find("means"), std::string::npos) << merged.err;
}

TEST_F(Imatrix, ShowsStatistics) {
  const Outcome table = run_karat({"calibrate", "--in-file", kGguf, "--show-statistics"});
  ASSERT_TRUE(succeeded(table));
  EXPECT_NE(table.out.find("2 | blk.2.attn_gate.weight                   |     0.0027    0.1379"),
            std::string::npos)
      << table.out;
  const Outcome json = run_karat({"calibrate", "--in-file", kGguf, "--show-statistics", "--json"});
  ASSERT_TRUE(succeeded(json));
  const base::Json statistics = base::parse_json(json.out).at("statistics");
  EXPECT_EQ(statistics.at("tensors").as_array().size(), 52u);
}

// The averages are those of the GGUF file, so the tensors' bytes are, too.
TEST_F(Imatrix, QuantizeTakesADat) {
  ASSERT_TRUE(succeeded(run_karat(
      {"calibrate", "-m", kTiny, "-f", kTiny + "/merges.txt", "-c", "64", "-o", out("i.gguf")})));
  ASSERT_TRUE(succeeded(run_karat({"calibrate", "--in-file", out("i.gguf"), "-o", out("i.dat")})));
  const auto quantize = [&](const std::string& imatrix, const std::string& name) {
    EXPECT_TRUE(
        succeeded(run_karat({"quantize", "--imatrix", out(imatrix), kTiny, out(name), "Q8_0"})));
    return std::make_unique<format::GgufSource>(out(name));
  };
  const auto a = quantize("i.gguf", "a.gguf"), b = quantize("i.dat", "b.gguf");
  ASSERT_EQ(a->tensors().size(), b->tensors().size());
  for (const tensor::TensorInfo& tensor : a->tensors()) {
    std::vector<std::byte> one(static_cast<size_t>(tensor.bytes())), two(one.size());
    a->read(tensor, one);
    b->read(b->at(tensor.name), two);
    EXPECT_TRUE(one == two) << tensor.name;
  }
}

TEST_F(Imatrix, ArgumentsThatDoNotFit) {
  EXPECT_TRUE(refused(run_karat({"calibrate", "-o", out("x.gguf")}), 2, {"--in-file"}));
  EXPECT_TRUE(refused(run_karat({"calibrate", "-f", kDat, "-o", out("x.gguf")}), 2, {"-m"}));
  EXPECT_TRUE(refused(run_karat({"calibrate", "-m", kTiny, "--in-file", kDat, "-o", out("x.gguf")}),
                      2, {"-f"}));
  EXPECT_TRUE(refused(run_karat({"calibrate", "--in-file", kDat}), 2, {"-o"}));
  EXPECT_TRUE(refused(run_karat({"calibrate", "--in-file", kDat, "-o", out("x.bin")}), 2,
                      {".gguf", ".dat", "--output-format"}));
  EXPECT_TRUE(
      refused(run_karat({"calibrate", "--in-file", kDat, "-o", kDat, "--force"}), 7, {kDat}));
  EXPECT_EQ(dir_.file_count(), 0u);
}

TEST_F(Imatrix, HostileDatFiles) {
  for (const test::HostileFile& file : test::hostile_imatrix_dats()) {
    const std::string path = dir_.write(file.name, file.bytes);
    EXPECT_TRUE(refused(run_karat({"calibrate", "--in-file", path, "-o", out("x.gguf")}), 3,
                        {file.name, file.words}))
        << file.name;
  }
}

}  // namespace
}  // namespace karat
