// The kernel tables this machine can run, and the one in use (simd/choice.h).
#pragma once

#include <span>
#include <string_view>

#include "kernels/table.h"
#include "simd/choice.h"

namespace karat::kernels {

const KernelTable& table_for(simd::Isa isa);
// Tables in order of preference, best first; "scalar" is always the last.
std::span<const KernelTable* const> supported_tables();
// By name; errors as simd::isa_named.
const KernelTable& table_named(std::string_view name);
// The table of the instruction set in use.
const KernelTable& table();

}  // namespace karat::kernels
