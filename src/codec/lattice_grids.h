// The point lists of the lattice formats IQ1, IQ2 and IQ3. They were found by a search over trained
// models (llama.cpp, Kawrakow) and follow from no formula. A point is the integer whose two-bit
// fields (grids "2" and "1", eight coordinates) or three-bit fields (grids "3", four coordinates)
// are the coordinates' level numbers, coordinate 0 lowest. Every list is ascending; a point's index
// in it is what a file stores.
#pragma once

#include <cstdint>
#include <span>

namespace karat::codec {

extern const std::span<const uint16_t> kGrid2x256;   // IQ2_XXS; even sums of level numbers
extern const std::span<const uint16_t> kGrid2x512;   // IQ2_XS; even sums
extern const std::span<const uint16_t> kGrid2x1024;  // IQ2_S; even sums
extern const std::span<const uint16_t> kGrid1x2048;  // IQ1_S, IQ1_M
extern const std::span<const uint16_t> kGrid3x256;   // IQ3_XXS; even sums
extern const std::span<const uint16_t> kGrid3x512;   // IQ3_S

}  // namespace karat::codec
