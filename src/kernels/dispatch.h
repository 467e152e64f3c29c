// Which kernel tables this machine can run, and which one is in use.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "kernels/table.h"

namespace karat::kernels {

// Tables in order of preference, best first; "scalar" is always the last.
std::span<const KernelTable* const> supported_tables();
// By name; Error{usage} naming the choices if unknown or not supported by this CPU.
const KernelTable& table_named(std::string_view name);
// The best supported table, or the one KARAT_ISA names. Decided once.
const KernelTable& table();

}  // namespace karat::kernels
