#include "model/scratch.h"

#include <sys/mman.h>

#include <new>
#include <vector>

namespace karat::model {
namespace {

struct Buffer {
  size_t capacity;
  Floats data;
};

// One fault of a large page costs a small part of the 512 that it stands for.
Floats allocate(size_t count) {
  constexpr size_t kLine = 64, kLargePage = size_t{2} << 20;
  const size_t wanted = count * sizeof(float);
  const size_t align = wanted >= 2 * kLargePage ? kLargePage : kLine;
  const size_t size = (wanted + align - 1) / align * align;
  Floats floats(static_cast<float*>(std::aligned_alloc(align, size)));
  if (floats == nullptr) throw std::bad_alloc();
  if (align == kLargePage) madvise(floats.get(), size, MADV_HUGEPAGE);
  return floats;
}

// What one thread keeps, oldest first.
struct Shelf {
  std::vector<Buffer> buffers;
  size_t bytes = 0;

  Buffer take(size_t count) {
    for (size_t i = buffers.size(); i-- > 0;) {
      if (buffers[i].capacity < count || buffers[i].capacity / 2 > count) continue;
      Buffer found = std::move(buffers[i]);
      buffers.erase(buffers.begin() + static_cast<std::ptrdiff_t>(i));
      bytes -= found.capacity * sizeof(float);
      return found;
    }
    return {count, allocate(count)};
  }

  void keep(Buffer buffer) {
    const size_t size = buffer.capacity * sizeof(float);
    if (size > kScratchKept / 2) return;
    size_t dropped = 0;
    for (; bytes + size > kScratchKept; ++dropped) {
      bytes -= buffers[dropped].capacity * sizeof(float);
    }
    buffers.erase(buffers.begin(), buffers.begin() + static_cast<std::ptrdiff_t>(dropped));
    buffers.push_back(std::move(buffer));
    bytes += size;
  }
};

thread_local Shelf shelf;

}  // namespace

size_t scratch_kept() { return shelf.bytes; }

Scratch::Scratch(size_t count) {
  if (count == 0) return;
  Buffer buffer = shelf.take(count);
  capacity_ = buffer.capacity;
  data_ = std::move(buffer.data);
}

Scratch::~Scratch() {
  if (data_ != nullptr) shelf.keep({capacity_, std::move(data_)});
}

}  // namespace karat::model
