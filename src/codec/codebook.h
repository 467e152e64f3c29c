// Formats whose codes are the levels of a fixed list, not evenly spaced: value = step * level.
// IQ4_NL and IQ4_XS share one list, MXFP4 and NVFP4 another; here are the lists, the nearest level,
// and the searches for steps that these formats share.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "codec/codec.h"
#include "codec/search.h"

namespace karat::codec {

// Levels by nibble. IQ4_NL's are llama.cpp's; MXFP4's are twice FP4 E2M1 (OCP MX
// specification 1.0), with a zero of either sign.
inline constexpr std::array<int8_t, 16> kIq4Levels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                      1,    13,   25,  38,  53,  69,  89,  113};
inline constexpr std::array<int8_t, 16> kFp4Levels = {0, 1,  2,  3,  4,  6,  8,  12,
                                                      0, -1, -2, -3, -4, -6, -8, -12};

// The nearest level of any number in one look-up and one comparison: sixteen cells of equal width,
// each crossed by at most one border between two levels, the outermost reaching to infinity. Cell k
// is round((t - first) / width), clamped; its level is low[k] below border[k] and high[k] from
// there.
struct Codebook {
  float first;
  float inverse_width;
  alignas(64) std::array<float, 16> border;
  alignas(64) std::array<float, 16> low;
  alignas(64) std::array<float, 16> high;
};

const Codebook& iq4_book();
// Magnitudes only: for the absolute values of a block.
const Codebook& fp4_book();

// The level nearest to t; between two the upper one.
float nearest_level(const Codebook& book, float t);

// value = h(d) * level over one sub-block, the d of either sign; problem.subs is 1.
Grid search_codebook_single(const Codebook& book, const BlockProblem& problem);

// value = (h(d) * scale) * level, scale in [-integer_bound, integer_bound - 1].
Grid search_codebook(const Codebook& book, const BlockProblem& problem, int integer_bound);

// Of up to sixteen steps the index of the one with the least weighted squared error; the first of
// equals. n is a multiple of 16.
size_t best_step(const Codebook& book, const float* x, const float* w, int n,
                 std::span<const float> steps);

}  // namespace karat::codec
