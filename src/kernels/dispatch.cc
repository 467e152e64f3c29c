#include "kernels/dispatch.h"

#include <cpuid.h>

#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "codec/codec.h"
#include "kernels/tables.h"

namespace karat::kernels {
namespace {

// CPUID leaf 1, ECX bit 29 (Intel SDM volume 2, CPUID): not among the names both compilers know.
// Its registers are AVX's, so the operating system saves them if it supports AVX.
bool has_f16c() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c >> 29 & 1U) != 0;
}

// __builtin_cpu_supports also asks whether the operating system saves the registers.
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

std::vector<const KernelTable*> detect() {
  __builtin_cpu_init();
  std::vector<const KernelTable*> tables;
  if (has_avx512()) tables.push_back(&avx512_table);
  if (has_avx2()) tables.push_back(&avx2_table);
  tables.push_back(&scalar_table);
  return tables;
}

}  // namespace

void decode_by_codec(tensor::DType type, const std::byte* blocks, int64_t n, float* out) noexcept {
  const auto bytes = static_cast<size_t>(tensor::row_bytes(type, n));
  codec::codec_for(type).decode({blocks, bytes}, {out, static_cast<size_t>(n)});
}

std::span<const KernelTable* const> supported_tables() {
  static const std::vector<const KernelTable*> tables = detect();
  return tables;
}

const KernelTable& table_named(std::string_view name) {
  std::string choices;
  for (const KernelTable* candidate : supported_tables()) {
    if (name == candidate->name) return *candidate;
    choices += choices.empty() ? "" : ", ";
    choices += candidate->name;
  }
  throw base::fail(
      base::ErrorKind::usage,
      "instruction set '%s' is unknown or not supported by this CPU; choose one of: %s",
      base::printable(name).c_str(), choices.c_str());
}

const KernelTable& table() {
  static const KernelTable& chosen = []() -> const KernelTable& {
    const char* forced = std::getenv("KARAT_ISA");
    return forced == nullptr ? *supported_tables().front() : table_named(forced);
  }();
  return chosen;
}

}  // namespace karat::kernels
