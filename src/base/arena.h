// Memory for what is loaded once and read many times.
#pragma once

#include <cstddef>
#include <vector>

namespace karat::base {

// Hands out pieces of large mappings that the system is asked to back with 2 MiB pages: products
// read weights faster where one entry of the address cache covers more of them. Nothing is given
// back to the system before the arena goes: its pages cost a fault and a clearing each. Not for
// several threads at once.
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
  // All pieces are free again.
  void clear();

 private:
  struct Mapping {
    std::byte* begin;
    size_t size;
    size_t used;
  };
  void swap(Arena& other) noexcept { mappings_.swap(other.mappings_); }

  std::vector<Mapping> mappings_;
};

}  // namespace karat::base
