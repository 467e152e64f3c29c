// What the fuzz targets share. A target is one function over bytes; libFuzzer or replay.cc calls
// it.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace karat::fuzz {

// Runs `body`, which may refuse its input as files from outside are refused: by Error{bad_input} or
// {unsupported} with one printable line. Whatever else it throws leaves the target and is a
// finding. False if the input was refused.
template <class Body>
bool accepted(Body body) {
  try {
    body();
    return true;
  } catch (const base::Error& error) {
    if (error.kind() != base::ErrorKind::bad_input &&
        error.kind() != base::ErrorKind::unsupported) {
      throw;
    }
    const std::string_view message = error.what();
    CHECK(!message.empty() && message == base::printable(message, message.size() + 3));
    return false;
  }
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// A file that lies in memory, for readers that take a path. Its name does not depend on its bytes.
class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("karat-fuzz", MFD_CLOEXEC)) { CHECK(fd_ >= 0); }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  void set(const uint8_t* data, size_t size) {
    CHECK(::ftruncate(fd_, 0) == 0);
    CHECK(::pwrite(fd_, data, size, 0) == static_cast<ssize_t>(size));
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

// Inputs of several texts: they are separated by the byte 0x1e, which none of them needs.
class Parts {
 public:
  Parts(const uint8_t* data, size_t size) : rest_(text_of(data, size)) {}
  // The next text; empty when there are no more.
  std::string_view next() {
    const size_t end = rest_.find('\x1e');
    const std::string_view part = rest_.substr(0, end);
    rest_ = end == std::string_view::npos ? std::string_view() : rest_.substr(end + 1);
    return part;
  }

 private:
  std::string_view rest_;
};

}  // namespace karat::fuzz
