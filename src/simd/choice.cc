#include "simd/choice.h"

#include <cpuid.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/text.h"

namespace karat::simd {
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
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

std::vector<Isa> detect() {
  __builtin_cpu_init();
  std::vector<Isa> found;
  if (has_avx512() && __builtin_cpu_supports("avx512bf16")) found.push_back(Isa::avx512_bf16);
  if (has_avx512()) found.push_back(Isa::avx512);
  if (has_avx2()) found.push_back(Isa::avx2);
  found.push_back(Isa::scalar);
  return found;
}

}  // namespace

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::avx512_bf16:
      return "avx512_bf16";
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    case Isa::scalar:
      break;
  }
  return "scalar";
}

std::span<const Isa> supported() {
  static const std::vector<Isa> found = detect();
  return found;
}

Isa isa_named(std::string_view name) {
  std::string choices;
  for (const Isa candidate : supported()) {
    if (name == name_of(candidate)) return candidate;
    choices += choices.empty() ? "" : ", ";
    choices += name_of(candidate);
  }
  throw base::fail(
      base::ErrorKind::usage,
      "instruction set '%s' is unknown or not supported by this CPU; choose one of: %s",
      base::printable(name).c_str(), choices.c_str());
}

Isa chosen() {
  static const Isa isa = []() -> Isa {
    const char* forced = std::getenv("KARAT_ISA");
    return forced == nullptr ? supported().front() : isa_named(forced);
  }();
  return isa;
}

}  // namespace karat::simd
