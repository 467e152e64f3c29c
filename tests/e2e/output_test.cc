// Outputs are the old file, absent or complete: existing files, bad places, a full disk, failing
// syncs and renames, signals, two writers. Faults are injected into system calls by strace.
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <csignal>
#include <filesystem>

#include "base/json.h"
#include "format/gguf.h"
#include "format/gguf_writer.h"
#include "support/files.h"
#include "support/program.h"

namespace karat {
namespace {

namespace fs = std::filesystem;
using test::contents;
using test::Outcome;
using test::refused;
using test::run_karat;
using test::succeeded;
using test::TempDir;

const std::string kTiny = test::fixture("tiny-random");
const std::string kText = kTiny + "/merges.txt";

// A line that writes OUT, with one thread (strace counts calls per thread).
struct Writer {
  std::string name;
  std::vector<std::string> line;
};
std::vector<Writer> writers(const std::string& out, const std::string& model = kTiny) {
  return {{"convert", {"convert", model, "-o", out, "-t", "1"}},
          {"quantize", {"quantize", model, out, "Q8_0", "-t", "1"}},
          {"calibrate", {"calibrate", "-m", model, "-f", kText, "-c", "64", "-o", out, "-t", "1"}},
          {"eval",
           {"eval", "ppl", "-m", model, "-f", kText, "-c", "64", "--kl-divergence-base", out, "-t",
            "1"}}};
}

std::vector<std::string> with(std::vector<std::string> line, const std::string& option) {
  line.push_back(option);
  return line;
}

TEST(Output, ForceReplacesAndOthersStay) {
  const TempDir dir;
  const std::string out = dir.path("out.gguf");
  for (const Writer& writer : writers(out)) {
    dir.write("out.gguf", "old");
    EXPECT_TRUE(refused(run_karat(writer.line), 7, {out, "exists", "--force"})) << writer.name;
    EXPECT_EQ(test::read_bytes(out), "old") << writer.name;
    EXPECT_TRUE(succeeded(run_karat(with(writer.line, "--force")))) << writer.name;
    EXPECT_GT(fs::file_size(out), 1000u) << writer.name;
    EXPECT_FALSE(fs::exists(out + ".partial")) << writer.name;
  }
}

TEST(Output, ThatIsTheInput) {
  const TempDir dir;
  const std::string in = dir.path("in.gguf"), other = dir.path("other.gguf");
  ASSERT_TRUE(succeeded(run_karat({"convert", kTiny, "-o", in})));
  const std::string before = test::read_bytes(in);
  const auto check = [&](const std::string& out) {
    for (const Writer& writer : writers(out, in)) {
      if (writer.name == "convert") continue;  // reads folders
      EXPECT_TRUE(refused(run_karat(with(writer.line, "--force")), 7, {out, "is the input"}))
          << writer.name;
      EXPECT_EQ(test::read_bytes(in), before) << writer.name;
    }
  };
  check(in);
  check(dir.path("./in.gguf"));
  fs::create_symlink(in, other);
  check(other);
  fs::remove(other);
  fs::create_hard_link(in, other);
  check(other);
  fs::remove(other);
  // The same for statistics, texts, and a checkpoint's files.
  const test::Checkpoint model(dir);
  model.replace("config.json", model.text("config.json"));
  for (const char* name : {"config.json", "model.safetensors-00001-of-00002.safetensors"}) {
    EXPECT_TRUE(refused(run_karat({"convert", model.path(), "-o", model.path(name), "--force"}), 7,
                        {name, "is the input"}));
  }
  const std::string text = dir.write("text.gguf", test::read_bytes(kText));
  EXPECT_TRUE(
      refused(run_karat({"calibrate", "-m", kTiny, "-f", text, "-c", "64", "-o", text, "--force"}),
              7, {"is the input"}));
  EXPECT_EQ(test::read_bytes(text), test::read_bytes(kText));
}

TEST(Output, PlacesThatCannotBeWritten) {
  const TempDir dir;
  fs::create_directory(dir.path("folder.gguf"));
  ASSERT_EQ(::mkfifo(dir.path("fifo.gguf").c_str(), 0600), 0);
  fs::create_directory(dir.path("read-only"));
  fs::permissions(dir.path("read-only"), fs::perms::owner_read | fs::perms::owner_exec);
  struct Case {
    std::string out;
    std::vector<std::string> words;
  };
  std::vector<Case> cases = {
      {dir.path("missing/out.gguf"), {"missing", "does not exist"}},
      {dir.path("folder.gguf"), {"is a folder"}},
      {dir.path("fifo.gguf"), {"not a regular file"}},
      {dir.path("fifo.gguf/out.gguf"), {"fifo.gguf"}},
  };
  if (::geteuid() != 0) cases.push_back({dir.path("read-only/out.gguf"), {"not writable"}});
  const size_t before = dir.file_count();
  for (const Case& c : cases) {
    for (const Writer& writer : writers(c.out)) {
      EXPECT_TRUE(refused(run_karat(with(writer.line, "--force")), 4, c.words))
          << writer.name << " " << c.out;
    }
  }
  EXPECT_EQ(dir.file_count(), before);
  // The receipt's place counts, too, before any work.
  fs::create_directory(dir.path("q.gguf.receipt.json"));
  EXPECT_TRUE(refused(run_karat({"quantize", kTiny, dir.path("q.gguf"), "Q8_0"}), 4,
                      {"q.gguf.receipt.json", "is a folder"}));
  EXPECT_FALSE(fs::exists(dir.path("q.gguf")));
}

// A model in a file of holes, whose quantized form is twice as large as what is free.
TEST(Output, LessSpaceThanNeededIsSaidBeforeTheWork) {
  const TempDir dir;
  const std::string small = dir.path("small.gguf"), large = dir.path("large.gguf");
  ASSERT_TRUE(succeeded(run_karat({"convert", kTiny, "-o", small, "--no-receipt"})));
  struct statvfs space {};
  ASSERT_EQ(::statvfs(dir.path().c_str(), &space), 0);
  const auto free = static_cast<int64_t>(space.f_bavail * space.f_frsize);
  const format::GgufSource source(small);
  std::vector<tensor::TensorInfo> tensors = source.tensors();
  format::Metadata metadata;
  for (const auto& entry : source.metadata().entries()) {
    if (entry.key.find("tokenizer.") != 0) metadata.set(entry.key, entry.value);
  }
  for (tensor::TensorInfo& tensor : tensors) {
    if (tensor.name == "token_embd.weight" || tensor.name == "output.weight") {
      tensor.shape = tensor::Shape{free / 64 + 1, 64};  // 64 and more bytes a row as Q8_0
    }
  }
  const format::GgufLayout layout(metadata, tensors);
  dir.write("large.gguf", layout.shards()[0].head);
  std::error_code error;
  fs::resize_file(large, layout.file_bytes(), error);
  if (error) GTEST_SKIP() << "no file of holes that large here: " << error.message();
  const Outcome outcome = run_karat({"quantize", large, dir.path("out.gguf"), "Q8_0"});
  if (outcome.status == 3) GTEST_SKIP() << "more is free than any vocabulary takes";
  EXPECT_TRUE(refused(outcome, 4, {"out.gguf", "needed", "free"}));
  EXPECT_EQ(dir.file_count(), 2u);
}

TEST(Output, FileSizeLimit) {
  const TempDir dir;
  dir.write("out.gguf", "old");
  for (const Writer& writer : writers(dir.path("out.gguf"))) {
    const Outcome outcome =
        run_karat(with(writer.line, "--force"),
                  {.wrapper = {"sh", "-c", "ulimit -f 50; exec \"$0\" \"$@\""}});
    EXPECT_TRUE(refused(outcome, 4, {"out.gguf", "File too large"})) << writer.name;
    EXPECT_EQ(contents(dir.path()).size(), 1u) << writer.name;
    EXPECT_EQ(test::read_bytes(dir.path("out.gguf")), "old") << writer.name;
  }
}

TEST(Output, SixteenOpenFilesSuffice) {
  const TempDir dir;
  for (const Writer& writer : writers(dir.path("out.gguf"))) {
    EXPECT_TRUE(succeeded(run_karat(with(writer.line, "--force"),
                                    {.wrapper = {"sh", "-c", "ulimit -n 16; exec \"$0\" \"$@\""}})))
        << writer.name;
  }
}

TEST(Output, SecondWriterOfTheSameFileIsRefused) {
  const TempDir dir;
  const std::string out = dir.path("out.gguf");
  const int fd = ::open((out + ".partial").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);  // as the first writer holds it
  for (const Writer& writer : writers(out)) {
    EXPECT_TRUE(refused(run_karat(writer.line), 7, {out, "another karat"})) << writer.name;
    EXPECT_TRUE(fs::exists(out + ".partial")) << writer.name << ": it is the other's";
    EXPECT_FALSE(fs::exists(out)) << writer.name;
  }
  ::close(fd);
  // A partial file that nobody holds is what a kill left: it is used.
  std::ofstream(out + ".partial") << std::string(1 << 20, 'x');
  EXPECT_TRUE(succeeded(run_karat({"quantize", kTiny, out, "Q8_0"})));
  const std::string clean = dir.path("clean.gguf");
  EXPECT_TRUE(succeeded(run_karat({"quantize", kTiny, clean, "Q8_0"})));
  EXPECT_EQ(test::read_bytes(out), test::read_bytes(clean));
  EXPECT_FALSE(fs::exists(out + ".partial"));
}

// Faults in system calls.
class Injected : public testing::Test {
 protected:
  void SetUp() override {
    const Outcome probe = strace({}, {"--version"});
    if (probe.status != 0) GTEST_SKIP() << "strace cannot be used here: " << probe.err;
  }

  // Leak checking cannot work under a tracer.
  static Outcome strace(std::vector<std::string> options, const std::vector<std::string>& line) {
    std::vector<std::string> wrapper = {"strace", "-f", "-qq", "-o", "/dev/null"};
    wrapper.insert(wrapper.end(), options.begin(), options.end());
    try {
      return run_karat(line, {.environment = {"ASAN_OPTIONS=detect_leaks=0"}, .wrapper = wrapper});
    } catch (const std::runtime_error& error) {
      Outcome missing;
      missing.status = 127;
      missing.err = error.what();
      return missing;
    }
  }

  static Outcome inject(const std::string& calls, const std::string& what, int when,
                        const std::vector<std::string>& line) {
    return strace({"-e", "trace=" + calls, "-e",
                   "inject=" + calls + ":" + what + ":when=" + std::to_string(when)},
                  line);
  }

  // The calls of one kind that the line makes, as strace prints them without the process.
  std::vector<std::string> calls(const std::string& call, const std::vector<std::string>& line) {
    const std::string log = dir_.path("log");
    const Outcome outcome = strace({"-e", "trace=" + call, "-o", log}, line);
    EXPECT_TRUE(succeeded(outcome));
    std::ifstream in(log);
    std::vector<std::string> found;
    for (std::string text; std::getline(in, text);) {
      const size_t at = text.find(call + "(");
      if (at != std::string::npos) found.push_back(text.substr(at));
    }
    fs::remove(log);
    return found;
  }
  int count(const std::string& call, const std::vector<std::string>& line) {
    return static_cast<int>(calls(call, line).size());
  }

  TempDir dir_;
};

// What quantize leaves when it is stopped: it goes on there when run again (resume_test.cc).
std::vector<std::pair<std::string, std::string>> without_partial(const std::string& folder) {
  auto files = contents(folder);
  std::erase_if(files, [](const auto& file) { return file.first == "out.gguf.partial"; });
  return files;
}

TEST_F(Injected, DiskFullAtTheNthWrite) {
  const std::string out = dir_.path("out.gguf");
  std::vector<Writer> lines = writers(out);
  lines.push_back({"both files of convert",
                   {"convert", kTiny, "-o", out, "--mmproj", dir_.path("mmproj.gguf"), "-t", "1"}});
  for (Writer& writer : lines) {
    writer.line.emplace_back("--force");
    const int total = count("pwrite64", writer.line);
    fs::remove(dir_.path("mmproj.gguf"));
    fs::remove(out + ".receipt.json");
    ASSERT_GE(total, 3) << writer.name;
    dir_.write("out.gguf", "old");
    const auto before = contents(dir_.path());
    for (const int n : {1, 2, total / 3, total / 2, total - 1, total}) {
      const Outcome outcome = inject("pwrite64", "error=ENOSPC", n, writer.line);
      // How often quantize saves its checkpoint depends on time: a run may make fewer writes.
      if (writer.name == "quantize" && outcome.status == 0 && n > total / 2) {
        dir_.write("out.gguf", "old");
        fs::remove(out + ".receipt.json");
        continue;
      }
      EXPECT_TRUE(refused(outcome, 4, {dir_.path(), "No space left on device"}))
          << writer.name << " write " << n << " of " << total;
      EXPECT_EQ(writer.name == "quantize" ? without_partial(dir_.path()) : contents(dir_.path()),
                before)
          << writer.name << " write " << n << " of " << total;
      fs::remove(out + ".partial");
    }
  }
}

TEST_F(Injected, FailingSyncsAndRenames) {
  const std::string out = dir_.path("out.gguf");
  for (Writer& writer : writers(out)) {
    writer.line.emplace_back("--force");
    dir_.write("out.gguf", "old");
    const auto before = contents(dir_.path());
    for (const char* call : {"fsync", "rename"}) {
      const Outcome outcome = inject(call, "error=EIO", 1, writer.line);
      EXPECT_TRUE(refused(outcome, 4, {out, "Input/output error"})) << writer.name << " " << call;
      EXPECT_EQ(writer.name == "quantize" ? without_partial(dir_.path()) : contents(dir_.path()),
                before)
          << writer.name << " " << call;
      fs::remove(out + ".partial");
    }
  }
}

TEST_F(Injected, FailingReads) {
  const std::string out = dir_.path("out.gguf");
  for (const Writer& writer : writers(out)) {
    const int total = count("pread64", with(writer.line, "--force"));
    fs::remove(out);
    fs::remove(out + ".receipt.json");
    for (const int n : {total / 2, total - 1}) {
      const Outcome outcome = inject("pread64", "error=EIO", n, writer.line);
      EXPECT_TRUE(refused(outcome, 4, {"Input/output error"})) << writer.name << " read " << n;
      EXPECT_EQ(writer.name == "quantize" ? without_partial(dir_.path()).size() : dir_.file_count(),
                0u)
          << writer.name << " read " << n;
      fs::remove(out + ".partial");
    }
  }
}

TEST_F(Injected, SignalsEndTheWork) {
  const std::string out = dir_.path("out.gguf");
  for (Writer& writer : writers(out)) {
    writer.line.emplace_back("--force");
    const int total = count("pread64", writer.line);
    fs::remove(out + ".receipt.json");
    dir_.write("out.gguf", "old");
    const auto before = contents(dir_.path());
    for (const auto& [name, status] : {std::pair("SIGINT", 130), std::pair("SIGTERM", 143)}) {
      for (const int n : {total / 4, total / 2}) {
        const Outcome outcome = inject("pread64", std::string("signal=") + name, n, writer.line);
        EXPECT_EQ(outcome.status, status) << writer.name << " read " << n << outcome.err;
        EXPECT_EQ(outcome.out, "") << writer.name;
        EXPECT_EQ(writer.name == "quantize" ? without_partial(dir_.path()) : contents(dir_.path()),
                  before)
            << writer.name << " read " << n;
        fs::remove(out + ".partial");
      }
    }
  }
}

// Inside the loop that writes, with the partial file half full.
TEST_F(Injected, SignalsWhileWriting) {
  const std::string out = dir_.path("out.gguf");
  for (const char* verb : {"convert", "quantize"}) {
    for (Writer& writer : writers(out)) {
      if (writer.name != verb) continue;
      for (const auto& [name, status] : {std::pair("SIGINT", 130), std::pair("SIGTERM", 143)}) {
        const Outcome outcome = inject("pwrite64", std::string("signal=") + name, 20, writer.line);
        EXPECT_EQ(outcome.status, status) << verb << outcome.err;
        EXPECT_EQ(contents(dir_.path()).size(), writer.name == "quantize" ? 1u : 0u) << verb;
        EXPECT_FALSE(fs::exists(out)) << verb;
        fs::remove(out + ".partial");
      }
    }
  }
}

// Ctrl-C ends the reply: with -p the program after it, in a conversation only the reply.
TEST_F(Injected, SignalsEndAReply) {
  const std::vector<std::string> line = {"chat", "-m", kTiny, "-t", "1", "-n", "40", "--temp", "0"};
  std::vector<std::string> single = line;
  single.insert(single.end(), {"-p", "hello"});
  // The call that writes the middle of the reply; sanitizers write, too.
  const std::vector<std::string> writes = calls("write", single);
  std::vector<size_t> to_stdout;
  for (size_t i = 0; i < writes.size(); ++i) {
    if (writes[i].find("write(1,") == 0) to_stdout.push_back(i + 1);
  }
  ASSERT_GE(to_stdout.size(), 6u);
  const std::string inject =
      "inject=write:signal=SIGINT:when=" + std::to_string(to_stdout[to_stdout.size() / 2]);
  const auto run = [&](const std::vector<std::string>& words, const std::string& input) {
    return run_karat(words, {.environment = {"ASAN_OPTIONS=detect_leaks=0"},
                             .wrapper = {"strace", "-f", "-qq", "-o", "/dev/null", "-e",
                                         "trace=write", "-e", inject},
                             .input = input});
  };
  const Outcome whole = run_karat(single), cut = run(single, "");
  EXPECT_TRUE(succeeded(whole));
  EXPECT_EQ(cut.status, 130) << cut.err;
  EXPECT_FALSE(cut.out.empty());
  EXPECT_LT(cut.out.size(), whole.out.size());
  const Outcome both = run(line, "hello\nhello\n");
  EXPECT_TRUE(succeeded(both));
  const size_t second = both.out.find("[thinking]", 1);
  EXPECT_NE(second, std::string::npos) << both.out;
  EXPECT_LT(second, whole.out.size());
}

}  // namespace
}  // namespace karat
