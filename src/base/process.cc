#include "base/process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/text.h"

namespace karat::base {

namespace {

// What the program writes into: an unnamed file in memory, so that it never waits for us.
class Capture {
 public:
  Capture() : fd_(::memfd_create("karat-process", MFD_CLOEXEC)) {
    if (fd_ < 0) {
      throw fail(ErrorKind::memory, "no file for a program's output: %s", std::strerror(errno));
    }
  }
  ~Capture() { ::close(fd_); }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  int fd() const { return fd_; }
  std::string text() const {
    std::string bytes(static_cast<size_t>(::lseek(fd_, 0, SEEK_END)), '\0');
    const ssize_t got = ::pread(fd_, bytes.data(), bytes.size(), 0);
    CHECK(got == static_cast<ssize_t>(bytes.size()));
    return bytes;
  }

 private:
  int fd_;
};

class FileActions {
 public:
  FileActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

}  // namespace

ProcessResult run_process(const std::vector<std::string>& command) {
  CHECK(!command.empty());
  const Capture out, err;
  FileActions actions;
  ::posix_spawn_file_actions_addopen(actions.get(), 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(actions.get(), out.fd(), 1);
  ::posix_spawn_file_actions_adddup2(actions.get(), err.fd(), 2);
  std::vector<std::string> strings = command;
  std::vector<char*> arguments;
  for (std::string& string : strings) arguments.push_back(string.data());
  arguments.push_back(nullptr);
  pid_t pid = -1;
  const int failed =
      ::posix_spawnp(&pid, arguments[0], actions.get(), nullptr, arguments.data(), environ);
  if (failed != 0) {
    throw fail(ErrorKind::usage, "%s: cannot be started: %s", printable(command[0]).c_str(),
               std::strerror(failed));
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) CHECK(errno == EINTR);
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return {code, out.text(), err.text()};
}

}  // namespace karat::base
