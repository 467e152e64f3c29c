// Where blocks keep their codes. Four-bit codes of blocks of up to 32 elements: byte i holds
// element i in its low nibble and element n / 2 + i in its high one.
#pragma once

#include <cstdint>

#include "codec/codec.h"

namespace karat::codec {

// nibble_of(Code) gives a value in [0, 16).
template <class NibbleOf>
void pack_nibbles(const Code* codes, int n, uint8_t* q, NibbleOf nibble_of) {
  for (int i = 0; i < n / 2; ++i) {
    const unsigned low = nibble_of(codes[i]);
    const unsigned high = nibble_of(codes[n / 2 + i]);
    q[i] = static_cast<uint8_t>(low | high << 4);
  }
}

// code_of(nibble) gives a Code.
template <class CodeOf>
void unpack_nibbles(const uint8_t* q, int n, Code* codes, CodeOf code_of) {
  for (int i = 0; i < n / 2; ++i) {
    codes[i] = code_of(static_cast<uint8_t>(q[i] & 15));
    codes[n / 2 + i] = code_of(static_cast<uint8_t>(q[i] >> 4));
  }
}

// Of codes that are stored as they are.
inline unsigned low_nibble(Code code) { return static_cast<unsigned>(code) & 15U; }
inline Code code_of_nibble(uint8_t nibble) { return nibble; }

// The fifth bit of 32 codes: bit i % 8 of byte i / 8.
inline void pack_fifth_bits(const Code* codes, uint8_t* qh) {
  for (int i = 0; i < 32; ++i) {
    const unsigned bit = static_cast<unsigned>(codes[i]) >> 4 & 1U;
    qh[i / 8] = static_cast<uint8_t>(qh[i / 8] | bit << i % 8);
  }
}
inline void unpack_fifth_bits(const uint8_t* qh, Code* codes) {
  for (int i = 0; i < 32; ++i) codes[i] |= (qh[i / 8] >> i % 8 & 1) << 4;
}

// The low two bits of 256 codes: element i at bits 2 * (i % 128 / 32) and up of byte
// 32 * (i / 128) + i % 32.
inline void pack_two_bits(const Code* codes, uint8_t* q) {
  for (int b = 0; b < 64; ++b) {
    const Code* four = codes + 128 * (b / 32) + b % 32;
    unsigned byte = 0;
    for (int k = 0; k < 4; ++k) byte |= (static_cast<unsigned>(four[32 * k]) & 3U) << 2 * k;
    q[b] = static_cast<uint8_t>(byte);
  }
}
inline void unpack_two_bits(const uint8_t* q, Code* codes) {
  for (int b = 0; b < 64; ++b) {
    Code* four = codes + 128 * (b / 32) + b % 32;
    for (int k = 0; k < 4; ++k) four[32 * k] = q[b] >> 2 * k & 3;
  }
}

}  // namespace karat::codec
