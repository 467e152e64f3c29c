// Input: a file of importance statistics, GGUF or the old .dat.
#include "format/imatrix.h"

#include <cmath>

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static karat::fuzz::MemoryFile file;
  file.set(data, size);
  karat::fuzz::accepted([] {
    const karat::tensor::Importance importance = karat::format::read_imatrix(file.path());
    CHECK(!importance.entries.empty());
    for (const auto& [name, entry] : importance.entries) {
      CHECK(static_cast<int64_t>(entry.in_sum2.size()) == entry.mats * entry.cols);
      for (const double sum : entry.in_sum2) CHECK(std::isfinite(sum) && sum >= 0);
      for (const int64_t count : entry.counts) CHECK(count >= 0);
    }
  });
  return 0;
}
