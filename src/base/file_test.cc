#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"

namespace karat::base {
namespace {

namespace fs = std::filesystem;

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "karat_file_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const char* name) const { return folder_ + "/" + name; }
  int entries() const {
    return static_cast<int>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  std::string folder_;
};

// The kind and message of what `call` throws; fails the test if it throws nothing.
template <class Call>
std::pair<ErrorKind, std::string> thrown(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return {error.kind(), error.what()};
  }
  ADD_FAILURE() << "nothing thrown";
  return {ErrorKind::internal, ""};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(FileTest, ReadsAtOffsets) {
  write_file(path("a"), "0123456789");
  const File file(path("a"));
  EXPECT_EQ(file.size(), 10u);
  std::string out(4, ' ');
  file.read_at(3, std::as_writable_bytes(std::span(out.data(), out.size())));
  EXPECT_EQ(out, "3456");
  file.read_at(6, std::as_writable_bytes(std::span(out.data(), out.size())));
  EXPECT_EQ(out, "6789");
  file.will_read(0, 10);
}

TEST_F(FileTest, ReadingPastTheEndNamesThePlace) {
  write_file(path("a"), "0123456789");
  const File file(path("a"));
  std::string out(4, ' ');
  const auto bytes = std::as_writable_bytes(std::span(out.data(), out.size()));
  const auto [kind, message] = thrown([&] { file.read_at(7, bytes); });
  EXPECT_EQ(kind, ErrorKind::bad_input);
  EXPECT_TRUE(contains(message, "4 bytes are needed at offset 7, but the file has only 10"))
      << message;
  for (const uint64_t offset : {uint64_t{10}, uint64_t{1} << 62, UINT64_MAX - 1, UINT64_MAX}) {
    EXPECT_EQ(thrown([&] { file.read_at(offset, bytes); }).first, ErrorKind::bad_input) << offset;
  }
  EXPECT_NO_THROW(file.read_at(UINT64_MAX, {}));
}

TEST_F(FileTest, AFileThatShrinksIsBadInput) {
  write_file(path("a"), std::string(1000, 'x'));
  const File file(path("a"));
  ASSERT_EQ(::truncate(path("a").c_str(), 10), 0);
  std::string out(100, ' ');
  EXPECT_EQ(thrown([&] {
              file.read_at(0, std::as_writable_bytes(std::span(out.data(), out.size())));
            }).first,
            ErrorKind::bad_input);
}

TEST_F(FileTest, OpeningSaysWhatIsWrong) {
  EXPECT_TRUE(contains(thrown([&] { File(path("none")); }).second, "No such file"));
  EXPECT_TRUE(contains(thrown([&] { File f(folder_); }).second, "is a folder"));
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  EXPECT_TRUE(contains(thrown([&] { File(path("fifo")); }).second, "not a regular file"));
  EXPECT_EQ(thrown([&] { File(path("none\n\x1b")); }).second,
            folder_ + "/none\\n\\x1b: No such file or directory");
}

TEST_F(FileTest, MovedFilesKeepTheirDescriptor) {
  write_file(path("a"), "aa");
  write_file(path("b"), "bbb");
  File a(path("a"));
  File b(std::move(a));
  EXPECT_EQ(b.size(), 2u);
  a = File(path("b"));
  std::string out(3, ' ');
  a.read_at(0, std::as_writable_bytes(std::span(out.data(), out.size())));
  EXPECT_EQ(out, "bbb");
}

TEST_F(FileTest, ReadFileIsBounded) {
  write_file(path("a"), "0123456789");
  EXPECT_EQ(read_file(path("a")), "0123456789");
  EXPECT_EQ(read_file(path("a"), 10), "0123456789");
  EXPECT_EQ(thrown([&] { read_file(path("a"), 9); }).first, ErrorKind::bad_input);
}

TEST_F(FileTest, CheckOutputRefusesBeforeTheWork) {
  write_file(path("in"), "input");
  write_file(path("old"), "old");
  const std::vector<std::string> inputs = {path("in")};
  const auto kind = [&](const std::string& name, OutputCheck check = {}) {
    check.inputs = inputs;
    return thrown([&] { check_output(name, check); }).first;
  };
  EXPECT_NO_THROW(check_output(path("new"), {.inputs = inputs}));
  EXPECT_NO_THROW(check_output(path("old"), {.force = true, .inputs = inputs}));
  EXPECT_EQ(kind(path("old")), ErrorKind::exists);

  fs::create_hard_link(path("in"), path("hard"));
  fs::create_symlink(path("in"), path("soft"));
  for (const char* name : {"in", "hard", "soft", "./in"}) {
    EXPECT_EQ(kind(path(name), {.force = true}), ErrorKind::exists) << name;
  }
  fs::create_hard_link(path("in"), path("out.partial"));
  EXPECT_EQ(kind(path("out"), {.force = true}), ErrorKind::exists);

  EXPECT_EQ(kind(folder_), ErrorKind::io);
  EXPECT_EQ(kind(path("absent/out")), ErrorKind::io);
  EXPECT_EQ(kind(path("in/out")), ErrorKind::io);
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(kind(path("fifo"), {.force = true}), ErrorKind::io);
  const auto [full, message] =
      thrown([&] { check_output(path("new"), {.bytes_needed = uint64_t{1} << 62}); });
  EXPECT_EQ(full, ErrorKind::io);
  EXPECT_TRUE(contains(message, "are needed") && contains(message, "are free")) << message;
}

TEST_F(FileTest, CommitReplacesTheOldFile) {
  write_file(path("out"), "old");
  OutputFile file(path("out"));
  file.append("abc");
  file.append("def");
  EXPECT_EQ(file.position(), 6u);
  const std::string patch = "XY";
  file.write_at(2, std::as_bytes(std::span(patch.data(), patch.size())));
  EXPECT_EQ(file.position(), 6u);
  EXPECT_EQ(read_file(path("out")), "old");
  file.commit();
  EXPECT_EQ(read_file(path("out")), "abXYef");
  EXPECT_EQ(entries(), 1);
}

TEST_F(FileTest, WithoutCommitTheOldFileStaysAndNothingElse) {
  write_file(path("out"), "old");
  {
    OutputFile file(path("out"));
    file.append("half");
    EXPECT_EQ(entries(), 2);
  }
  EXPECT_EQ(read_file(path("out")), "old");
  EXPECT_EQ(entries(), 1);
}

TEST_F(FileTest, LeftoversOfAKilledRunAreReplaced) {
  {
    OutputFile file(path("x"));
    file.append("a long leftover");
    file.commit();
  }
  fs::rename(path("x"), path("out.partial"));
  OutputFile file(path("out"));
  file.append("new");
  file.commit();
  EXPECT_EQ(read_file(path("out")), "new");
}

TEST_F(FileTest, OneWriterAtATime) {
  auto first = std::make_unique<OutputFile>(path("out"));
  first->append("first");
  EXPECT_EQ(thrown([&] { OutputFile second(path("out")); }).first, ErrorKind::exists);
  first->commit();
  first.reset();
  EXPECT_EQ(read_file(path("out")), "first");
  EXPECT_NO_THROW(OutputFile third(path("out")));
}

TEST_F(FileTest, ThePartialFileIsNeverFollowedElsewhere) {
  write_file(path("precious"), "precious");
  fs::create_symlink(path("precious"), path("out.partial"));
  EXPECT_EQ(thrown([&] { OutputFile file(path("out")); }).first, ErrorKind::io);
  EXPECT_EQ(read_file(path("precious")), "precious");
  ASSERT_EQ(::mkfifo(path("pipe.partial").c_str(), 0600), 0);
  EXPECT_EQ(thrown([&] { OutputFile file(path("pipe")); }).first, ErrorKind::io);
}

TEST_F(FileTest, AFailedRenameIsAnErrorAndLeavesNothing) {
  OutputFile file(path("out"));
  file.append("x");
  ASSERT_TRUE(fs::create_directory(path("out")));
  EXPECT_EQ(thrown([&] { file.commit(); }).first, ErrorKind::io);
}

TEST_F(FileTest, AKeptPartialFileIsTakenUpOrDiscarded) {
  const std::string out = path("out"), partial = out + ".partial";
  {
    OutputFile file(out);
    file.append("half");
    file.keep_partial();
  }
  EXPECT_EQ(read_file(partial), "half");
  {
    OutputFile file(out, OutputFile::Leftover::kept);
    file.truncate(3);
  }
  EXPECT_EQ(read_file(partial), "hal");
  discard_partial(out);
  EXPECT_EQ(entries(), 0);
  discard_partial(out);
}

}  // namespace
}  // namespace karat::base
