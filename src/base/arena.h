// Memory for what is loaded once and read many times.
#pragma once

#include <cstddef>
#include <vector>

namespace karat::base {

// Hands out pieces of large mappings that the system is asked to back with 2 MiB pages: products
// read weights faster where one entry of the address cache covers more of them. Nothing is given
// back before the arena goes. Not for several threads at once.
class Arena {
 public:
  Arena() = default;
  ~Arena();
  Arena(Arena&& other) noexcept { swap(other); }
  Arena& operator=(Arena&& other) noexcept {
    swap(other);
    return *this;
  }

  // `size` bytes at a multiple of 64, not initialised; never null. Error{memory} if the system has
  // no more.
  std::byte* allocate(size_t size);

 private:
  struct Mapping {
    std::byte* begin;
    size_t size;
  };
  void swap(Arena& other) noexcept {
    mappings_.swap(other.mappings_);
    std::swap(used_, other.used_);
  }

  std::vector<Mapping> mappings_;
  size_t used_ = 0;  // of the last mapping
};

}  // namespace karat::base
