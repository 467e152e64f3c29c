// Model files of every bad kind through the program: status 0 or 3, one line that names the file,
// bounded memory, nothing written.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/rng.h"
#include "format/gguf.h"
#include "format/gguf_writer.h"
#include "support/files.h"
#include "support/hostile.h"
#include "support/program.h"

namespace karat {
namespace {

using test::Checkpoint;
using test::HostileFile;
using test::InProcess;
using test::Outcome;
using test::refused;
using test::run_karat;
using test::succeeded;
using test::TempDir;

const std::string kTiny = test::fixture("tiny-random");

// What the program takes for a good model of this size, sanitizers' own memory included.
int64_t base_memory() {
  static const int64_t bytes = run_karat({"inspect", kTiny}).rss_max;
  return bytes;
}

// Reading a file of some size may take a multiple of it (a parsed value is larger than its text),
// and a constant; what numbers in the file say does not count.
testing::AssertionResult bounded(const Outcome& outcome, size_t file_bytes) {
  constexpr int64_t kMiB = 1 << 20;
  const int64_t limit = std::max(base_memory() + 32 * kMiB + 64 * static_cast<int64_t>(file_bytes),
                                 test::own_memory());
  if (outcome.rss_max <= limit) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << outcome.rss_max / kMiB << " MiB of memory, " << limit / kMiB << " expected";
}

// 0, or 3 with one line that names the file or its folder.
testing::AssertionResult survived(const Outcome& outcome, const std::string& path) {
  if (outcome.status == 0) return testing::AssertionSuccess();
  return refused(outcome, 3, {path});
}

class BadFile : public testing::Test {
 protected:
  // The tiny model as one GGUF file.
  static std::string tiny_gguf(const TempDir& dir) {
    const std::string path = dir.path("tiny.gguf");
    EXPECT_TRUE(succeeded(run_karat({"convert", kTiny, "-o", path, "-q", "--no-receipt"})));
    return path;
  }
  // Where a GGUF file's first tensor begins.
  static size_t data_begin(const std::string& path) {
    const format::GgufSource source(path);
    return source.place(source.tensors().front()).offset;
  }
  // Inverts one bit of a file.
  static void flip(const std::string& path, size_t bit) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(static_cast<std::streamoff>(bit / 8));
    const char byte = static_cast<char>(file.get() ^ (1 << bit % 8));
    file.seekp(static_cast<std::streamoff>(bit / 8));
    file.put(byte);
  }
  TempDir dir_;
};

TEST_F(BadFile, HostileGgufThroughEveryVerbThatReadsOne) {
  const std::vector<HostileFile> files = test::hostile_gguf();
  EXPECT_GE(files.size(), 40u);
  for (const HostileFile& file : files) {
    const std::string path = dir_.write(file.name + ".gguf", file.bytes);
    const std::vector<std::vector<std::string>> lines = {
        {"inspect", path},
        {"quantize", path, "out.gguf", "Q8_0"},
        {"eval", "ppl", "-m", path, "-f", path},
        {"quantize", kTiny, "out.gguf", "Q8_0", "--imatrix", path}};
    for (const std::vector<std::string>& line : lines) {
      const bool model = line.back() != path || line[0] == "inspect";
      const Outcome outcome = run_karat(line, {.folder = dir_.path()});
      std::vector<std::string> words = {path};
      if (model) words.push_back(file.words);
      EXPECT_TRUE(refused(outcome, 3, words)) << line[0] << " " << file.name;
      EXPECT_TRUE(bounded(outcome, file.bytes.size())) << line[0] << " " << file.name;
    }
    std::filesystem::remove(path);
    ASSERT_EQ(dir_.file_count(), 0u) << file.name;
  }
}

TEST_F(BadFile, HostileSafetensorsThroughEveryVerbThatReadsThem) {
  const std::vector<HostileFile> files = test::hostile_safetensors();
  EXPECT_GE(files.size(), 40u);
  const Checkpoint model(dir_);
  for (int shard = 1; shard <= 2; ++shard) {
    model.remove("model.safetensors-0000" + std::to_string(shard) + "-of-00002.safetensors");
  }
  model.remove("model.safetensors.index.json");
  for (const HostileFile& file : files) {
    model.replace("model.safetensors", file.bytes);
    const std::vector<std::vector<std::string>> lines = {
        {"inspect", model.path()},
        {"convert", model.path(), "-o", "out.gguf"},
        {"quantize", model.path(), "out.gguf", "Q8_0"}};
    for (const std::vector<std::string>& line : lines) {
      const Outcome outcome = run_karat(line, {.folder = dir_.path()});
      EXPECT_TRUE(refused(outcome, 3, {model.path("model.safetensors"), file.words}))
          << line[0] << " " << file.name;
      EXPECT_TRUE(bounded(outcome, file.bytes.size())) << line[0] << " " << file.name;
    }
    ASSERT_EQ(dir_.file_count(), 1u) << file.name;
  }
}

// Every prefix and every flipped bit of the small files, whose tensors no model has: what gets past
// the reader is refused by what comes after it.
TEST_F(BadFile, PrefixesAndFlippedBitsOfSmallFiles) {
  const Checkpoint model(dir_, "folder");
  model.remove("model.safetensors-00001-of-00002.safetensors");
  model.remove("model.safetensors-00002-of-00002.safetensors");
  model.remove("model.safetensors.index.json");
  const std::string gguf = dir_.path("small.gguf"), safetensors = model.path("model.safetensors");
  InProcess program;
  const auto check = [&](const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
    const std::string named = path == gguf ? gguf : model.path();
    return refused(program.run({"inspect", named}), 3, {named});
  };
  for (const std::string& path : {gguf, safetensors}) {
    const std::string bytes = path == gguf ? test::small_gguf().str() : test::small_safetensors();
    for (size_t n = 0; n <= bytes.size(); ++n) {
      ASSERT_TRUE(check(path, bytes.substr(0, n))) << path << " cut to " << n;
    }
    for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      std::string flipped = bytes;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      ASSERT_TRUE(check(path, flipped)) << path << " bit " << bit;
    }
  }
}

TEST_F(BadFile, PrefixesOfTheTinyModel) {
  const std::string path = tiny_gguf(dir_), cut = dir_.path("cut.gguf");
  const size_t whole = std::filesystem::file_size(path), head = data_begin(path);
  std::filesystem::copy_file(path, cut);
  for (const size_t n : {whole - 1, head + 1, head}) {
    std::filesystem::resize_file(cut, n);
    EXPECT_TRUE(refused(run_karat({"inspect", cut}), 3, {cut})) << n << " bytes";
    EXPECT_TRUE(refused(run_karat({"quantize", cut, dir_.path("out.gguf"), "Q8_0"}), 3, {cut}));
  }
  std::filesystem::copy_file(path, cut, std::filesystem::copy_options::overwrite_existing);
  InProcess program;
  for (size_t n = whole - 1;; n -= n > head  ? std::min(n - head, size_t{50'021})
                                   : n > 200 ? 61
                                             : 1) {
    std::filesystem::resize_file(cut, n);
    ASSERT_TRUE(refused(program.run({"inspect", cut}), 3, {cut})) << n << " bytes";
    if (n == 0) break;
  }
  std::filesystem::remove(cut);
  EXPECT_EQ(dir_.file_count(), 1u);
}

TEST_F(BadFile, PrefixesOfACheckpointsShard) {
  const Checkpoint model(dir_);
  const std::string name = "model.safetensors-00001-of-00002.safetensors";
  const std::string whole = model.text(name);
  uint64_t head = 0;
  std::memcpy(&head, whole.data(), 8);
  head += 8;
  InProcess program;
  for (size_t n = 0; n < whole.size(); n += n < 40 ? 1 : n < head ? 61 : 50'021) {
    model.replace(name, whole.substr(0, n));
    ASSERT_TRUE(refused(program.run({"inspect", model.path()}), 3, {model.path(name)})) << n;
  }
  for (const size_t n : {head, head + 1, whole.size() - 1}) {
    model.replace(name, whole.substr(0, n));
    EXPECT_TRUE(refused(run_karat({"quantize", model.path(), dir_.path("out.gguf"), "Q8_0"}), 3,
                        {model.path(name)}))
        << n;
  }
  model.replace(name, whole);
  EXPECT_TRUE(succeeded(run_karat({"inspect", model.path()})));
  EXPECT_EQ(dir_.file_count(), 1u);
}

TEST_F(BadFile, FlippedBitsInTheHeadOfTheTinyModel) {
  const std::string path = tiny_gguf(dir_);
  const size_t head = data_begin(path), bytes = std::filesystem::file_size(path);
  base::Rng rng(20);
  InProcess program;
  for (int i = 0; i < 1000; ++i) {
    const size_t bit = rng.below(8 * head);
    flip(path, bit);
    if (i < 50) {  // the whole way, in a process
      const Outcome outcome =
          run_karat({"quantize", path, "out.gguf", "Q8_0", "--force"}, {.folder = dir_.path()});
      EXPECT_TRUE(survived(outcome, path)) << "bit " << bit;
      EXPECT_TRUE(bounded(outcome, bytes)) << "bit " << bit;
    } else {
      ASSERT_TRUE(survived(program.run({"inspect", path}), path)) << "bit " << bit;
    }
    flip(path, bit);
  }
}

// A file as large as a real one, though most of it is holes, with its last byte missing.
TEST_F(BadFile, LastByteOfAVeryLargeFileMissing) {
  const std::string path = dir_.path("large.gguf");
  test::GgufParts parts = test::small_gguf();
  constexpr int64_t kElements = int64_t{5} << 30;  // 20 GiB of F32
  parts.tensors = {test::tensor_entry("a", {int64_t{1} << 20, kElements >> 20}, 0, 0)};
  parts.data.assign(1, '\0');
  const std::string start = parts.str();
  std::ofstream(path, std::ios::binary) << start;
  std::error_code error;
  std::filesystem::resize_file(path, start.size() - 1 + 4 * kElements - 1, error);
  if (error) GTEST_SKIP() << "no room for a file of 20 GiB with holes: " << error.message();
  const Outcome outcome = run_karat({"inspect", path});
  EXPECT_TRUE(refused(outcome, 3, {path, "tensor 'a'"}));
  EXPECT_TRUE(bounded(outcome, start.size()));
  EXPECT_LT(outcome.cpu_seconds, 1);
}

}  // namespace
}  // namespace karat
