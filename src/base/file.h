// Files: positioned reads that can fail with a useful message, and writes that are never half done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace karat::base {

// A file open for reading. Thread-safe: reads carry their position.
class File {
 public:
  // Throws Error{bad_input} if the path is missing, a directory or not readable.
  explicit File(std::string path);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }

  // Reads exactly out.size() bytes at `offset`. Error{bad_input} "path: n bytes are needed at
  // offset o, but the file has only s" if the file is shorter (also when it shrank since),
  // Error{io} on EIO. `what` ("tensor 'x'") is put behind the path in messages.
  void read_at(uint64_t offset, std::span<std::byte> out, std::string_view what = {}) const;
  // Tells the kernel that these bytes are wanted soon.
  void will_read(uint64_t offset, uint64_t bytes) const;

 private:
  std::string path_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

// Reads a whole file of at most `bytes_max` bytes (Error{bad_input} if larger).
std::string read_file(const std::string& path, uint64_t bytes_max = uint64_t{1} << 31);
bool file_exists(const std::string& path);
// The path without its folders.
std::string file_name(const std::string& path);
bool is_directory(const std::string& path);

// What a writer checks before any work is done, so that the user hears of it at once:
//   Error{exists} if `path` exists and not `force`, or if it or PATH.partial is (by path, hard link
//   or symlink) one of `inputs`; Error{io} if the folder is missing or not writable, `path` is a
//   directory or a FIFO, or the file system has less than `bytes_needed` free.
struct OutputCheck {
  bool force = false;
  uint64_t bytes_needed = 0;
  std::span<const std::string> inputs = {};
};
void check_output(const std::string& path, const OutputCheck& check);

// A file being written under the name PATH.partial, which commit() syncs and renames to PATH (and
// syncs the folder). Destroyed without commit(), it removes the partial file. Who writes several
// files calls sync() on all before the first commit(), so that a full disk leaves none of them.
// A partial file that an earlier, killed writer left is emptied, or, with Leftover::kept, stays as
// it is, and stays if this writer fails, too.
// All writes throw Error{io} ("path: No space left on device while writing n bytes at offset o").
// A second writer of the same PATH is refused with Error{exists} (the partial file is locked).
class OutputFile {
 public:
  enum class Leftover { emptied, kept };
  explicit OutputFile(std::string path, Leftover leftover = Leftover::emptied);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  const std::string& path() const { return path_; }
  const std::string& partial_path() const { return partial_; }
  uint64_t position() const { return position_; }  // end of what append() wrote
  void append(std::span<const std::byte> bytes);
  void append(std::string_view bytes);
  // Writes at an absolute offset; thread-safe, does not move position().
  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  // Makes what was written durable, still under the partial name.
  void sync();
  // Cuts the file off or fills it up with zeros.
  void truncate(uint64_t bytes);
  // From now on the partial file stays if this object goes without commit().
  void keep_partial() { kept_ = true; }
  void commit();

 private:
  bool open_and_lock();
  uint64_t bytes_there() const;

  std::string path_, partial_;
  int fd_ = -1;
  uint64_t position_ = 0;
  bool committed_ = false;
  bool kept_ = false;
};

// Removes the PATH.partial that a writer kept; Error{exists} while another one writes it.
void discard_partial(const std::string& path);

// Writes a small file through OutputFile.
void write_file(const std::string& path, std::string_view bytes);

}  // namespace karat::base
