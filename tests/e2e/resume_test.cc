// quantize goes on where it was stopped: by a signal, kill -9 or a full disk, run again with the
// same command, it writes the bytes of a run that nothing stopped. Faults are injected by strace.
#include <gtest/gtest.h>

#include <filesystem>

#include "support/files.h"
#include "support/program.h"

namespace karat {
namespace {

namespace fs = std::filesystem;
using test::Outcome;
using test::refused;
using test::run_karat;
using test::succeeded;

const std::string kTiny = test::fixture("tiny-random");

class Resume : public testing::Test {
 protected:
  void SetUp() override {
    const Outcome probe = inject("pwrite64", "error=EIO", 60000, {"--version"});
    if (probe.status != 0) GTEST_SKIP() << "strace cannot be used here: " << probe.err;
    ASSERT_TRUE(succeeded(run_karat({"convert", kTiny, "-o", in_})));
    ASSERT_TRUE(succeeded(run_karat(line(clean_))));
    expected_ = test::read_bytes(clean_);
  }

  std::vector<std::string> line(const std::string& out, const std::string& type = "Q8_0",
                                const std::string& threads = "1") const {
    return {"quantize", in_, out, type, "-t", threads};
  }

  // `what` happens at the call number `when` of the kind `call`; nothing counts as a leak then.
  static Outcome inject(const std::string& call, const std::string& what, int when,
                        const std::vector<std::string>& line) {
    try {
      return run_karat(
          line, {.environment = {"ASAN_OPTIONS=detect_leaks=0"},
                 .wrapper = {"strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e",
                             "inject=" + call + ":" + what + ":when=" + std::to_string(when)}});
    } catch (const std::runtime_error& error) {
      Outcome missing;
      missing.status = 127;
      missing.err = error.what();
      return missing;
    }
  }

  // Stops a run in its middle, with a checkpoint.
  void stop() {
    const Outcome outcome = inject("pwrite64", "signal=SIGTERM", 12, line(out_));
    ASSERT_EQ(outcome.status, 143) << outcome.err;
    EXPECT_NE(outcome.err.find("the same command goes on"), std::string::npos) << outcome.err;
    ASSERT_TRUE(fs::exists(partial_));
    EXPECT_FALSE(fs::exists(out_));
  }

  void expect_complete(const std::string& what) {
    EXPECT_EQ(test::read_bytes(out_), expected_) << what;
    EXPECT_FALSE(fs::exists(partial_)) << what;
    EXPECT_TRUE(fs::exists(out_ + ".receipt.json")) << what;
    fs::remove(out_);
    fs::remove(out_ + ".receipt.json");
  }

  test::TempDir dir_;
  std::string in_ = dir_.path("in.gguf"), clean_ = dir_.path("clean.gguf");
  std::string out_ = dir_.path("out.gguf"), partial_ = out_ + ".partial", expected_;
};

TEST_F(Resume, AfterASignal) {
  stop();
  const Outcome outcome = run_karat(line(out_));
  ASSERT_TRUE(succeeded(outcome));
  EXPECT_NE(outcome.err.find("going on where the last run stopped"), std::string::npos)
      << outcome.err;
  expect_complete("one thread");
}

TEST_F(Resume, WithOtherThreadsAndAnotherInstructionSet) {
  stop();
  ASSERT_TRUE(succeeded(run_karat(line(out_, "Q8_0", "3"), {.environment = {"KARAT_ISA=scalar"}})));
  expect_complete("three threads, scalar");
}

TEST_F(Resume, AfterKillsAtAnyWriteSyncOrRename) {
  bool went_on = false;
  for (const char* call : {"pwrite64", "fsync", "ftruncate", "rename"}) {
    for (int n = 1; n <= 40; n += call == std::string("pwrite64") ? 7 : 1) {
      const Outcome killed = inject(call, "signal=SIGKILL", n, line(out_));
      if (killed.status == 0) {  // fewer calls than n
        expect_complete("not killed");
        break;
      }
      if (fs::exists(out_)) {  // between the renames of file and receipt
        EXPECT_EQ(test::read_bytes(out_), expected_) << call << n;
        fs::remove(out_);
      }
      const Outcome outcome = run_karat(line(out_));
      ASSERT_TRUE(succeeded(outcome)) << call << n;
      went_on |= outcome.err.find("going on where") != std::string::npos;
      expect_complete(call + std::to_string(n));
      fs::remove(out_ + ".receipt.json.partial");
    }
  }
  EXPECT_TRUE(went_on);
}

TEST_F(Resume, AfterFiveKillsInOneRun) {
  for (int n = 0; n < 5; ++n) {
    inject("pwrite64", "signal=SIGKILL", 8, line(out_));
    EXPECT_FALSE(fs::exists(out_));
  }
  ASSERT_TRUE(succeeded(run_karat(line(out_))));
  expect_complete("five kills");
}

TEST_F(Resume, AfterAFullDisk) {
  stop();
  const Outcome outcome = inject("pwrite64", "error=ENOSPC", 5, line(out_));
  EXPECT_EQ(outcome.status, 4) << outcome.err;
  EXPECT_NE(outcome.err.find("No space left"), std::string::npos) << outcome.err;
  ASSERT_TRUE(fs::exists(partial_));
  ASSERT_TRUE(succeeded(run_karat(line(out_))));
  expect_complete("a full disk");
}

TEST_F(Resume, AnotherCommandIsRefused) {
  stop();
  const std::string before = test::read_bytes(partial_);
  EXPECT_TRUE(refused(run_karat(line(out_, "BF16")), 7, {partial_, "type", "--force"}));
  EXPECT_TRUE(refused(run_karat({"quantize", in_, out_, "Q8_0", "--pure"}), 7, {"pure"}));
  EXPECT_EQ(test::read_bytes(partial_), before);
  std::vector<std::string> forced = line(out_);
  forced.insert(forced.end(), {"--pure", "--force"});
  const Outcome outcome = run_karat(forced);
  ASSERT_TRUE(succeeded(outcome));
  EXPECT_NE(outcome.err.find("begun anew"), std::string::npos) << outcome.err;
}

// The other command's shards have other sizes, and the first one's journal must outlive the look.
TEST_F(Resume, AnotherCommandsShardsAreRefused) {
  ASSERT_TRUE(succeeded(
      run_karat({"merge", in_, "-o", dir_.path("s.gguf"), "--split-max-tensors", "30", "-q"})));
  std::string first;
  for (const auto& entry : fs::directory_iterator(dir_.path())) {
    const std::string path = entry.path().string();
    if (path.find("s-00001-of-") != std::string::npos) first = path;
  }
  ASSERT_FALSE(first.empty());
  const auto shards = [&](const std::string& type) {
    return std::vector<std::string>{"quantize", first, out_, type, "-t", "1", "--keep-split"};
  };
  ASSERT_EQ(inject("pwrite64", "signal=SIGTERM", 14, shards("Q8_0")).status, 143);
  EXPECT_TRUE(refused(run_karat(shards("BF16")), 7, {"type", "--force"}));
  const Outcome outcome = run_karat(shards("Q8_0"));
  ASSERT_TRUE(succeeded(outcome));
  EXPECT_NE(outcome.err.find("going on where the last run stopped"), std::string::npos)
      << outcome.err;
}

TEST_F(Resume, AChangedInputIsRefused) {
  stop();
  fs::last_write_time(in_, fs::last_write_time(in_) + std::chrono::seconds(1));
  EXPECT_TRUE(refused(run_karat(line(out_)), 7, {partial_, "in.gguf"}));
}

TEST_F(Resume, ADamagedCheckpointIsBegunAnew) {
  stop();
  std::string bytes = test::read_bytes(partial_);
  for (size_t i = bytes.size() - 12000; i < bytes.size(); ++i) bytes[i] = 'x';
  dir_.write("out.gguf.partial", bytes);
  const Outcome outcome = run_karat(line(out_));
  ASSERT_TRUE(succeeded(outcome));
  EXPECT_NE(outcome.err.find("begun anew"), std::string::npos) << outcome.err;
  expect_complete("damaged");
}

}  // namespace
}  // namespace karat
