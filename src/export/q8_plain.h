// Q8_0 as the reference converter makes it: round to nearest, no search and no importance.
#pragma once

#include <cstddef>
#include <span>

namespace karat::exporting {

// Each block of 32: d = max|x| / 127 in f32, codes = x * (1 / d) rounded half away from zero, d
// stored as f16 (gguf-py, quants.py). x.size() is a multiple of 32 and out has 34 bytes per block;
// values must be finite, and small enough for d.
void encode_q8_plain(std::span<const float> x, std::span<std::byte> out);

}  // namespace karat::exporting
