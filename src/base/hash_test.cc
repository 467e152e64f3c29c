#include "base/hash.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace karat::base {
namespace {

std::string of(std::string_view text) {
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
}

// FIPS 180-4 example vectors.
TEST(Sha256, KnownVectors) {
  EXPECT_EQ(of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(of(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesAndFilesGiveTheSame) {
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += static_cast<char>(i * 7 % 251);
  while (text.size() < (size_t{1} << 20) + 17) text += text.substr(0, 1000);  // over one buffer
  Sha256 pieces;
  for (size_t i = 0; i < text.size(); i += 999) {
    const size_t n = std::min<size_t>(999, text.size() - i);
    pieces.update(std::as_bytes(std::span(text.data() + i, n)));
  }
  EXPECT_EQ(pieces.hex(), of(text));
  const std::string path = ::testing::TempDir() + "hash_test.bin";
  write_file(path, text);
  EXPECT_EQ(sha256_of_file(path), of(text));
  write_file(path, "");
  EXPECT_EQ(sha256_of_file(path), of(""));
  EXPECT_THROW(sha256_of_file(path + ".absent"), Error);
}

}  // namespace
}  // namespace karat::base
