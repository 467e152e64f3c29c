// Runs the program as a user does, and keeps everything that came out of it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "cli/command.h"
#include "support/files.h"
#include "support/shared.h"

namespace karat::test {

struct Outcome {
  int status = 0;  // of the exit; 1000 + N if signal N ended the program
  std::string out, err;
  int64_t rss_max = 0;  // bytes
  double cpu_seconds = 0;
};

struct RunOptions {
  std::vector<std::string> environment = {};  // "NAME=value", in addition to ours
  std::vector<std::string> wrapper = {};      // what runs the program: strace and its options
  std::string folder = {};                    // to run in
  std::string input = {};                     // on stdin
};

namespace detail {

// An unnamed file in memory.
class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("karat-test", MFD_CLOEXEC)) {
    if (fd_ < 0) throw std::runtime_error("memfd_create failed");
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  int fd() const { return fd_; }
  void set(const std::string& text) {
    clear();
    if (::write(fd_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
      throw std::runtime_error("write failed");
    }
    ::lseek(fd_, 0, SEEK_SET);
  }
  void clear() {
    if (::ftruncate(fd_, 0) != 0) throw std::runtime_error("ftruncate failed");
    ::lseek(fd_, 0, SEEK_SET);
  }
  std::string text() const {
    std::string bytes(static_cast<size_t>(::lseek(fd_, 0, SEEK_END)), '\0');
    if (::pread(fd_, bytes.data(), bytes.size(), 0) < 0) throw std::runtime_error("pread failed");
    return bytes;
  }

 private:
  int fd_;
};

inline std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (std::string& string : strings) out.push_back(string.data());
  out.push_back(nullptr);
  return out;
}

inline double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

}  // namespace detail

// Starts `command` (found by PATH), for run_karat() and for tests of two programs at once.
class Process {
 public:
  explicit Process(std::vector<std::string> command, const RunOptions& options = {}) {
    std::vector<std::string> environment;
    for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
    environment.insert(environment.begin(), options.environment.begin(), options.environment.end());
    in_.set(options.input);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in_.fd(), 0);
    posix_spawn_file_actions_adddup2(&actions, out_.fd(), 1);
    posix_spawn_file_actions_adddup2(&actions, err_.fd(), 2);
    if (!options.folder.empty()) {
      posix_spawn_file_actions_addchdir_np(&actions, options.folder.c_str());
    }
    const int failed =
        ::posix_spawnp(&pid_, command[0].c_str(), &actions, nullptr,
                       detail::pointers(command).data(), detail::pointers(environment).data());
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) throw std::runtime_error("cannot start " + command[0]);
  }

  pid_t pid() const { return pid_; }

  Outcome wait() {
    int status = 0;
    rusage usage{};
    if (::wait4(pid_, &status, 0, &usage) != pid_) throw std::runtime_error("wait4 failed");
    Outcome outcome;
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    outcome.out = out_.text();
    outcome.err = err_.text();
    outcome.rss_max = usage.ru_maxrss * 1024;
    outcome.cpu_seconds = detail::seconds(usage.ru_utime) + detail::seconds(usage.ru_stime);
    return outcome;
  }

 private:
  detail::MemoryFile in_, out_, err_;
  pid_t pid_ = -1;
};

// The most memory that this process has had: a program that it starts is counted with that much,
// however little it takes itself.
inline int64_t own_memory() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

inline Outcome run_karat(const std::vector<std::string>& arguments,
                         const RunOptions& options = {}) {
  std::vector<std::string> command = options.wrapper;
  command.emplace_back(KARAT_PROGRAM);
  command.insert(command.end(), arguments.begin(), arguments.end());
  return Process(std::move(command), options).wait();
}

// The same without a process, a few hundred times faster: for sweeps over thousands of files.
class InProcess {
 public:
  Outcome run(const std::vector<std::string>& arguments) {
    const Redirect out(1, out_), err(2, err_);
    Outcome outcome;
    outcome.status = cli::run_program(arguments);
    std::fflush(stdout);
    std::fflush(stderr);
    outcome.out = out_.text();
    outcome.err = err_.text();
    return outcome;
  }

 private:
  // Sends a descriptor to a file for as long as the object lives.
  class Redirect {
   public:
    Redirect(int fd, detail::MemoryFile& to) : fd_(fd), saved_(::dup(fd)) {
      std::fflush(fd == 1 ? stdout : stderr);
      to.clear();
      ::dup2(to.fd(), fd);
    }
    ~Redirect() {
      std::fflush(fd_ == 1 ? stdout : stderr);
      ::dup2(saved_, fd_);
      ::close(saved_);
    }
    Redirect(const Redirect&) = delete;
    Redirect& operator=(const Redirect&) = delete;

   private:
    int fd_, saved_;
  };

  detail::MemoryFile out_, err_;
};

// What a refusal has to look like: the status, nothing on stdout, one line on stderr that begins
// with "karat: " and has all the words.
inline testing::AssertionResult refused(const Outcome& outcome, int status,
                                        const std::vector<std::string>& words = {}) {
  const std::string& err = outcome.err;
  const auto describe = [&](const std::string& why) {
    return testing::AssertionFailure()
           << why << "\nstatus " << outcome.status << "\nstdout: " << outcome.out.substr(0, 300)
           << "\nstderr: " << err.substr(0, 2000);
  };
  if (outcome.status != status) return describe("status " + std::to_string(status) + " expected");
  if (!outcome.out.empty()) return describe("stdout is not empty");
  if (err.compare(0, 7, "karat: ") != 0 || err.find('\n') != err.size() - 1) {
    return describe("stderr is not one line from karat");
  }
  for (const char c : err.substr(0, err.size() - 1)) {
    if (static_cast<unsigned char>(c) < 32 || c == 127) return describe("a control character");
  }
  for (const std::string& word : words) {
    if (err.find(word) == std::string::npos) return describe("'" + word + "' is not said");
  }
  return testing::AssertionSuccess();
}

inline testing::AssertionResult succeeded(const Outcome& outcome) {
  if (outcome.status == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "status " << outcome.status << ": " << outcome.err;
}

// A checkpoint folder of a test's own: the tiny model's files as links, to be replaced one by one.
class Checkpoint {
 public:
  explicit Checkpoint(const TempDir& dir, const std::string& name = "model",
                      const std::string& of = fixture("tiny-random"))
      : folder_(dir.path(name)) {
    std::filesystem::create_directory(folder_);
    for (const auto& entry : std::filesystem::directory_iterator(of)) {
      std::filesystem::create_symlink(entry.path(), folder_ / entry.path().filename());
    }
  }

  std::string path() const { return folder_.string(); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string text(const std::string& name) const { return read_bytes(path(name)); }
  void remove(const std::string& name) const { std::filesystem::remove_all(folder_ / name); }
  void replace(const std::string& name, std::string_view bytes) const {
    remove(name);
    std::ofstream(path(name), std::ios::binary) << bytes;
  }
  // Replaces the first occurrence of `from` in a file, which must have it.
  void change(const std::string& name, const std::string& from, const std::string& to) const {
    std::string bytes = text(name);
    const size_t at = bytes.find(from);
    if (at == std::string::npos) throw std::runtime_error(name + " has no " + from);
    replace(name, bytes.replace(at, from.size(), to));
  }

 private:
  std::filesystem::path folder_;
};

// Names and contents of a folder's files, to see that nothing was left and nothing changed.
inline std::vector<std::pair<std::string, std::string>> contents(const std::string& folder) {
  std::vector<std::pair<std::string, std::string>> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const bool plain = entry.is_regular_file() && !entry.is_symlink();
    files.emplace_back(entry.path().filename(), plain ? read_bytes(entry.path()) : "");
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace karat::test
