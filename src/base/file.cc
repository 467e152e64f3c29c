#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace karat::base {

namespace {

std::string system_message(int code) { return std::strerror(code); }

std::string folder_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool same_file(const std::string& a, const std::string& b) {
  struct stat x {
  }, y{};
  if (::stat(a.c_str(), &x) != 0 || ::stat(b.c_str(), &y) != 0) return false;
  return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

void sync_folder(const std::string& path) {
  const int fd = ::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

File::File(std::string path) : path_(std::move(path)) {
  const std::string shown = printable(path_);
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) {
    throw fail(ErrorKind::bad_input, "%s: %s", shown.c_str(), system_message(errno).c_str());
  }
  struct stat status {};
  if (::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(fd_);
    const bool folder = S_ISDIR(status.st_mode);
    throw fail(ErrorKind::bad_input, "%s: %s", shown.c_str(),
               folder ? "is a folder, a file is expected" : "is not a regular file");
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  return *this;
}

void File::read_at(uint64_t offset, std::span<std::byte> out, std::string_view what) const {
  const auto place = [&] {
    return printable(path_) + (what.empty() ? "" : ": " + printable(what));
  };
  const bool addressable = offset <= static_cast<uint64_t>(INT64_MAX) - out.size();
  size_t done = 0;
  while (done < out.size()) {
    ssize_t n = 0;
    if (addressable) {
      n = ::pread(fd_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      throw fail(ErrorKind::io, "%s: reading at offset %llu: %s", place().c_str(),
                 static_cast<unsigned long long>(offset + done), system_message(errno).c_str());
    }
    if (n == 0) {
      throw fail(
          ErrorKind::bad_input,
          "%s: %zu bytes are needed at offset %llu, but the file has only %llu; it is "
          "truncated, fetch it again",
          place().c_str(), out.size(), static_cast<unsigned long long>(offset),
          static_cast<unsigned long long>(done > 0 ? offset + done : std::min(size_, offset)));
    }
    done += static_cast<size_t>(n);
  }
}

void File::will_read(uint64_t offset, uint64_t bytes) const {
  ::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
}

std::string read_file(const std::string& path, uint64_t bytes_max) {
  const File file(path);
  if (file.size() > bytes_max) {
    throw fail(ErrorKind::bad_input, "%s: %s is more than the %s expected of such a file",
               printable(path).c_str(), both_units(file.size()).c_str(),
               both_units(bytes_max).c_str());
  }
  std::string text(file.size(), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text.data(), text.size())));
  return text;
}

std::string file_name(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

bool file_exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

bool is_directory(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

void check_output(const std::string& path, const OutputCheck& check) {
  const std::string shown = printable(path), folder = folder_of(path);
  for (const std::string& input : check.inputs) {
    if (same_file(path, input) || same_file(path + ".partial", input)) {
      throw fail(ErrorKind::exists, "%s: the output is the input; choose another name",
                 shown.c_str());
    }
  }
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) {
      throw fail(ErrorKind::io, "%s: is a folder; name a file in it", shown.c_str());
    }
    if (!S_ISREG(status.st_mode)) {
      throw fail(ErrorKind::io, "%s: is not a regular file; outputs are renamed into place",
                 shown.c_str());
    }
    if (!check.force) {
      throw fail(ErrorKind::exists, "%s: exists; --force replaces it", shown.c_str());
    }
  }
  if (!is_directory(folder)) {
    throw fail(ErrorKind::io, "%s: folder %s does not exist; create it first", shown.c_str(),
               printable(folder).c_str());
  }
  if (::access(folder.c_str(), W_OK) != 0) {
    throw fail(ErrorKind::io, "%s: folder %s is not writable", shown.c_str(),
               printable(folder).c_str());
  }
  struct statvfs space {};
  if (check.bytes_needed > 0 && ::statvfs(folder.c_str(), &space) == 0) {
    uint64_t free = uint64_t{space.f_bavail} * space.f_frsize;
    // A partial file is taken up or emptied: either way its blocks count.
    struct stat partial {};
    if (::stat((path + ".partial").c_str(), &partial) == 0) {
      free += static_cast<uint64_t>(partial.st_blocks) * 512;
    }
    if (free < check.bytes_needed) {
      throw fail(ErrorKind::io, "%s: %s are needed, %s are free", shown.c_str(),
                 both_units(check.bytes_needed).c_str(), both_units(free).c_str());
    }
  }
}

OutputFile::OutputFile(std::string path, Leftover leftover)
    : path_(std::move(path)), partial_(path_ + ".partial") {
  while (!open_and_lock()) {
  }
  kept_ = leftover == Leftover::kept && bytes_there() > 0;
  if (leftover == Leftover::emptied && ::ftruncate(fd_, 0) != 0) {
    const int code = errno;
    ::close(fd_);
    throw fail(ErrorKind::io, "%s: %s", printable(partial_).c_str(), system_message(code).c_str());
  }
}

// False if the name went to another file between opening and locking: a writer that held the lock
// has just renamed or removed it, and truncating what was opened would destroy its output.
bool OutputFile::open_and_lock() {
  const std::string shown = printable(partial_);
  fd_ = ::open(partial_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
  if (fd_ < 0) {
    throw fail(ErrorKind::io, "%s: %s", shown.c_str(), system_message(errno).c_str());
  }
  struct stat opened {
  }, named{};
  if (::fstat(fd_, &opened) != 0 || !S_ISREG(opened.st_mode)) {
    ::close(fd_);
    throw fail(ErrorKind::io, "%s: is not a regular file; remove it", shown.c_str());
  }
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd_);
    throw fail(ErrorKind::exists, "%s: another karat is writing this output",
               printable(path_).c_str());
  }
  if (::lstat(partial_.c_str(), &named) == 0 && named.st_dev == opened.st_dev &&
      named.st_ino == opened.st_ino) {
    return true;
  }
  ::close(fd_);
  return false;
}

uint64_t OutputFile::bytes_there() const {
  struct stat status {};
  return ::fstat(fd_, &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  if (!committed_ && !kept_) ::unlink(partial_.c_str());
  ::close(fd_);
}

void OutputFile::append(std::span<const std::byte> bytes) {
  write_at(position_, bytes);
  position_ += bytes.size();
}

void OutputFile::append(std::string_view bytes) {
  append(std::as_bytes(std::span(bytes.data(), bytes.size())));
}

void OutputFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n =
        ::pwrite(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      throw fail(ErrorKind::io, "%s: %s while writing %zu bytes at offset %llu",
                 printable(path_).c_str(), system_message(n < 0 ? errno : ENOSPC).c_str(),
                 bytes.size() - done, static_cast<unsigned long long>(offset + done));
    }
    done += static_cast<size_t>(n);
  }
}

void OutputFile::truncate(uint64_t bytes) {
  if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) {
    throw fail(ErrorKind::io, "%s: %s while setting its size to %llu", printable(path_).c_str(),
               system_message(errno).c_str(), static_cast<unsigned long long>(bytes));
  }
}

void OutputFile::sync() {
  CHECK(fd_ >= 0);
  if (::fsync(fd_) != 0) {
    throw fail(ErrorKind::io, "%s: %s while syncing it to the disk", printable(path_).c_str(),
               system_message(errno).c_str());
  }
}

void OutputFile::commit() {
  CHECK(fd_ >= 0 && !committed_);
  sync();
  if (::rename(partial_.c_str(), path_.c_str()) != 0) {
    throw fail(ErrorKind::io, "%s: %s while renaming %s to it", printable(path_).c_str(),
               system_message(errno).c_str(), printable(partial_).c_str());
  }
  committed_ = true;
  sync_folder(path_);
}

void discard_partial(const std::string& path) {
  if (file_exists(path + ".partial")) OutputFile file(path);
}

void write_file(const std::string& path, std::string_view bytes) {
  OutputFile file(path);
  file.append(bytes);
  file.commit();
}

}  // namespace karat::base
