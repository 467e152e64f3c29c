// SHA-256 (libcrypto), for receipts and manifests.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace karat::base {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void update(std::span<const std::byte> bytes);
  // 64 lower-case hexadecimal digits; the object is spent.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::span<const std::byte> bytes);
// Streams the file; throws what File throws, and Error{interrupted}.
std::string sha256_of_file(const std::string& path);

}  // namespace karat::base
