#include "base/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>

#include "base/error.h"

namespace karat::base {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kMappingMin = size_t{64} << 20;
constexpr size_t kAlign = 64;

size_t rounded_up(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

// Bytes before the first whole huge page.
size_t unaligned_part(const std::byte* begin) {
  const auto address = reinterpret_cast<uintptr_t>(begin);
  return rounded_up(address, kHugePage) - address;
}

}  // namespace

Arena::~Arena() {
  for (const Mapping& mapping : mappings_) ::munmap(mapping.begin, mapping.size);
}

void Arena::clear() {
  for (Mapping& mapping : mappings_) mapping.used = unaligned_part(mapping.begin);
}

std::byte* Arena::allocate(size_t size) {
  CHECK(size <= SIZE_MAX / 4);
  const size_t needed = rounded_up(std::max<size_t>(size, 1), kAlign);
  // Large pieces have mappings of their own, so that after clear() small ones do not take them.
  const bool large = needed > kMappingMin;
  const auto has_room = [&](const Mapping& m) {
    return (m.size > kMappingMin + kHugePage) == large && m.size - m.used >= needed;
  };
  auto mapping = std::find_if(mappings_.begin(), mappings_.end(), has_room);
  if (mapping == mappings_.end()) {
    // One page more than needed, so that a multiple of the page's size lies inside; what is before
    // it is never touched and costs nothing.
    const size_t mapped = std::max(rounded_up(needed, kHugePage), kMappingMin) + kHugePage;
    void* at = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
      throw fail(ErrorKind::memory, "the system has no %zu MiB left", mapped >> 20);
    }
    ::madvise(at, mapped, MADV_HUGEPAGE);  // a wish: without it the same results, more slowly
    auto* begin = static_cast<std::byte*>(at);
    mapping = mappings_.insert(mappings_.end(), {begin, mapped, unaligned_part(begin)});
  }
  std::byte* out = mapping->begin + mapping->used;
  mapping->used += needed;
  return out;
}

}  // namespace karat::base
