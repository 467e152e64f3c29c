// The 32 bits that IQ2_XXS and IQ3_XXS store per 32 elements: four octets' signs and a scale.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace karat::codec {

// The eight sign bits of which seven are stored: the eighth makes their number even.
inline uint8_t with_parity(unsigned seven) {
  return static_cast<uint8_t>(seven | static_cast<unsigned>(std::popcount(seven) & 1) << 7);
}

// signs: four bytes of even parity; scale: four bits; at: four bytes.
inline void write_sign_word(const uint8_t* signs, int scale, uint8_t* at) {
  uint32_t word = static_cast<uint32_t>(scale) << 28;
  for (unsigned l = 0; l < 4; ++l) word |= static_cast<uint32_t>(signs[l] & 127) << (7 * l);
  std::memcpy(at, &word, sizeof word);
}

// Fills the four signs; returns the scale.
inline int16_t read_sign_word(const uint8_t* at, uint8_t* signs) {
  uint32_t word;
  std::memcpy(&word, at, sizeof word);
  for (unsigned l = 0; l < 4; ++l) signs[l] = with_parity(word >> (7 * l) & 127);
  return static_cast<int16_t>(word >> 28);
}

}  // namespace karat::codec
