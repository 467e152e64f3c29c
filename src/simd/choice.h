// Which instruction sets this machine can run, and which one is in use. Tables of functions exist
// per instruction set (codec/, kernels/) and compute the same bits.
#pragma once

#include <span>
#include <string_view>

namespace karat::simd {

enum class Isa { scalar, avx2, avx512, avx512_bf16 };

// "scalar", "avx2", "avx512" or "avx512_bf16".
const char* name_of(Isa isa);
// In order of preference, best first; scalar is always the last.
std::span<const Isa> supported();
// By name; Error{usage} naming the choices if unknown or not supported by this CPU.
Isa isa_named(std::string_view name);
// The best supported one, or the one that the environment variable KARAT_ISA names. Decided once.
Isa chosen();

}  // namespace karat::simd
