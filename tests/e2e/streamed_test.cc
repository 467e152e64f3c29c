// calibrate block by block: the same file as with the whole model in memory; stopped by kill -9 or
// a signal and run again with the same command, the same file once more.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "base/rng.h"
#include "support/files.h"
#include "support/program.h"

namespace karat {
namespace {

namespace fs = std::filesystem;
using test::Outcome;
using test::refused;
using test::run_karat;
using test::succeeded;

const std::string kDemo = std::string(KARAT_ROOT) + "/demo/model";

class Streamed : public testing::Test {
 protected:
  std::vector<std::string> line(const std::string& out,
                                const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {
        "calibrate", "-m", kDemo, "-f", kDemo + "/text/calibration.txt",
        "-o",        out,  "-c",  "64", "--chunks",
        "24",        "-t", "1",   "-v"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  std::vector<std::string> streamed(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = line(out_, more);
    words.insert(words.end(), {"--stream", "on"});
    return words;
  }

  // Bytes of a run that nothing stopped, with the model in memory.
  std::string expected(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = line(dir_.path("clean.gguf"), more);
    words.insert(words.end(), {"--stream", "off", "--force"});
    EXPECT_TRUE(succeeded(run_karat(words)));
    return test::read_bytes(dir_.path("clean.gguf"));
  }

  // Starts the command and sends `signal` after so many seconds, or once there is a checkpoint.
  Outcome stopped(int signal, double seconds, bool wait_for_checkpoint = false,
                  const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = streamed(more);
    words.insert(words.begin(), KARAT_PROGRAM);
    test::Process process(words);
    const auto step = std::chrono::milliseconds(1);
    for (int i = 0; wait_for_checkpoint && i < 60000 && !fs::exists(checkpoint_); ++i) {
      std::this_thread::sleep_for(step);
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    ::kill(process.pid(), signal);
    return process.wait();
  }

  test::TempDir dir_;
  std::string out_ = dir_.path("out.gguf"), checkpoint_ = out_ + ".checkpoint";
};

TEST_F(Streamed, WritesTheSameFileForAnyThreads) {
  const std::string clean = expected({"--process-output"});
  for (const char* threads : {"1", "3"}) {
    ASSERT_TRUE(succeeded(run_karat(streamed({"--process-output", "--force", "-t", threads}))));
    EXPECT_EQ(test::read_bytes(out_), clean) << threads;
    EXPECT_FALSE(fs::exists(checkpoint_));
  }
}

TEST_F(Streamed, GoesOnAfterKillsAtRandomMoments) {
  const std::string clean = expected();
  base::Rng rng(static_cast<uint64_t>(::getpid()));
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(succeeded(run_karat(streamed())));
  const double whole =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EXPECT_EQ(test::read_bytes(out_), clean);
  bool went_on = false;
  for (int round = 0; round < 4; ++round) {
    fs::remove(out_);
    for (int kill = 0; kill < 4 && !fs::exists(out_); ++kill) {
      const Outcome outcome = stopped(SIGKILL, rng.uniform() * whole);
      went_on |= outcome.err.find("going on where") != std::string::npos;
    }
    if (!fs::exists(out_)) {
      const Outcome outcome = run_karat(streamed());
      ASSERT_TRUE(succeeded(outcome));
      went_on |= outcome.err.find("going on where") != std::string::npos;
    }
    ASSERT_EQ(test::read_bytes(out_), clean) << round;
    fs::remove(checkpoint_);  // a kill between the last rename and its removal leaves it
  }
  EXPECT_TRUE(went_on);
}

TEST_F(Streamed, ASignalLeavesWhatTheSameCommandGoesOnWith) {
  const Outcome outcome = stopped(SIGTERM, 0, true);
  ASSERT_EQ(outcome.status, 143) << outcome.err;
  EXPECT_NE(outcome.err.find("the same command goes on"), std::string::npos) << outcome.err;
  EXPECT_FALSE(fs::exists(out_));
  const Outcome rest = run_karat(streamed({"-t", "3"}), {.environment = {"KARAT_ISA=avx2"}});
  ASSERT_TRUE(succeeded(rest));
  EXPECT_NE(rest.err.find("going on where the last run stopped"), std::string::npos) << rest.err;
  EXPECT_EQ(test::read_bytes(out_), expected());
  EXPECT_FALSE(fs::exists(checkpoint_));
}

TEST_F(Streamed, AnotherCommandsCheckpointIsRefused) {
  ASSERT_EQ(stopped(SIGKILL, 0, true).status, 1000 + SIGKILL);
  const std::string before = test::read_bytes(checkpoint_);
  const auto quiet = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = streamed(more);
    std::erase(words, "-v");
    return words;
  };
  EXPECT_TRUE(refused(run_karat(quiet({"--activations", "bf16"})), 7,
                      {checkpoint_, "activations", "--force"}));
  EXPECT_TRUE(refused(run_karat(quiet({"--no-mtp"})), 7, {"mtp"}));
  EXPECT_TRUE(refused(run_karat(quiet({"--process-output"})), 7, {"output"}));
  EXPECT_TRUE(refused(run_karat(quiet({"-c", "32"})), 7, {"tokens"}));
  EXPECT_EQ(test::read_bytes(checkpoint_), before);
  const Outcome forced = run_karat(streamed({"--no-mtp", "--force"}));
  ASSERT_TRUE(succeeded(forced));
  EXPECT_NE(forced.err.find("begun anew"), std::string::npos) << forced.err;
  EXPECT_EQ(test::read_bytes(out_), expected({"--no-mtp"}));
}

TEST_F(Streamed, AChangedModelIsRefused) {
  const test::Checkpoint model(dir_, "model");
  std::vector<std::string> words = {
      "calibrate", "-m",       model.path(), "-f", kDemo + "/text/calibration.txt",
      "-o",        out_,       "-c",         "64", "--tokens",
      "120000",    "--stream", "on",         "-t", "1"};
  std::vector<std::string> command = words;
  command.insert(command.begin(), KARAT_PROGRAM);
  {
    test::Process process(command);
    for (int i = 0; i < 60000 && !fs::exists(checkpoint_); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ::kill(process.pid(), SIGKILL);
    ASSERT_EQ(process.wait().status, 1000 + SIGKILL);
  }
  const std::string shard = "model.safetensors-00002-of-00002.safetensors";
  std::string bytes = model.text(shard);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  model.replace(shard, bytes);
  EXPECT_TRUE(refused(run_karat(words), 7, {shard, "--force"}));
}

TEST_F(Streamed, ADamagedCheckpointIsBegunAnew) {
  ASSERT_EQ(stopped(SIGKILL, 0, true).status, 1000 + SIGKILL);
  std::string bytes = test::read_bytes(checkpoint_);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  dir_.write("out.gguf.checkpoint", bytes);
  const Outcome outcome = run_karat(streamed());
  ASSERT_TRUE(succeeded(outcome));
  EXPECT_NE(outcome.err.find("damaged; begun anew"), std::string::npos) << outcome.err;
  EXPECT_EQ(test::read_bytes(out_), expected());
}

TEST_F(Streamed, TooLittleMemoryIsSaidWithWhatWouldFit) {
  std::vector<std::string> words = streamed({"--mem-limit", "24MB", "--chunks", "2000"});
  std::erase(words, "-v");
  EXPECT_TRUE(refused(run_karat(words), 5, {"--mem-limit allows", "--tokens", "would fit"}));
  EXPECT_FALSE(fs::exists(checkpoint_));
}

TEST_F(Streamed, EvalSaysTheSameByBlockAndFromKeptHiddenRows) {
  const std::string small = dir_.path("q4.gguf"), hidden = dir_.path("hidden");
  ASSERT_TRUE(succeeded(run_karat({"quantize", kDemo, small, "Q4_K_M"})));
  const auto eval = [&](std::vector<std::string> words) {
    words.insert(words.begin(), "eval");
    words.insert(words.end(), {"--chunks", "3", "--json"});
    const Outcome outcome = run_karat(words);
    EXPECT_TRUE(succeeded(outcome));
    return outcome.out;
  };
  const std::vector<std::string> text = {"-f", kDemo + "/text/evaluation.txt", "-c", "128"};
  const auto with = [](std::vector<std::string> a, const std::vector<std::string>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };
  const std::vector<std::string> ppl = with({"ppl", "-m", kDemo}, text);
  const std::string expected_ppl = eval(with(ppl, {"--stream", "off"}));
  EXPECT_EQ(eval(with(ppl, {"--stream", "on"})), expected_ppl);
  EXPECT_EQ(eval(with(ppl, {"--save-hidden", hidden})), expected_ppl);
  const std::vector<std::string> kld = {"kld", "-m", small, "--ref", kDemo};
  const std::string expected_kld = eval(with(with(kld, text), {"--stream", "off"}));
  EXPECT_EQ(eval(with(with(kld, text), {"--stream", "on"})), expected_kld);
  EXPECT_EQ(eval(with(kld, {"--ref-hidden", hidden})), expected_kld);
  EXPECT_TRUE(
      refused(run_karat({"eval", "kld", "-m", small, "--ref-hidden", hidden}), 2, {"--ref"}));
  const std::string others = dir_.path("others");
  eval(with({"ppl", "-m", small, "--save-hidden", others}, text));
  EXPECT_TRUE(
      refused(run_karat({"eval", "kld", "-m", small, "--ref", kDemo, "--ref-hidden", others}), 3,
              {"another model's"}));
  const std::vector<std::string> save = with(ppl, {"--save-hidden", dir_.path("again")});
  EXPECT_TRUE(refused(run_karat(with({"eval"}, with(save, {"--stream", "off"}))), 2, {"--stream"}));
  EXPECT_TRUE(
      refused(run_karat(with({"eval"}, with(save, {"--kl-divergence-base", dir_.path("./again")}))),
              2, {"the same file"}));
  // Found before memory is asked for, and so before any pass.
  const std::string tiny = std::string(KARAT_ROOT) + "/tests/fixtures/tiny-random";
  const std::vector<std::string> mismatch = {"eval", "kld",      "-m", tiny,          "--ref",
                                             kDemo,  "--stream", "on", "--mem-limit", "1MB"};
  EXPECT_TRUE(refused(run_karat(with(mismatch, text)), 3, {"vocabulary"}));
}

}  // namespace
}  // namespace karat
