// The regions method: code between ISA_BEGIN(features) and ISA_END may use the named instruction
// sets, and nothing outside it does. Per-file -m flags would not do: an inline function shared with
// a baseline file could be emitted once, with instructions the baseline machine lacks. Therefore
// system headers and the project's are included before the region, and everything inside it lives
// in one unnamed namespace per ISA.
#pragma once

#define ISA_PRAGMA(text) _Pragma(#text)

#if defined(__clang__)
#define ISA_BEGIN(features) \
  ISA_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define ISA_END _Pragma("clang attribute pop")
#else
// The warning is about gcc 12's own AVX-512 header, which spells "undefined register" as a variable
// initialised with itself; it is off to the end of the file, where inlining reports it.
#define ISA_BEGIN(features)                                                                   \
  _Pragma("GCC diagnostic ignored \"-Wuninitialized\"")                                       \
      _Pragma("GCC diagnostic ignored \"-Wmaybe-uninitialized\"") _Pragma("GCC push_options") \
          ISA_PRAGMA(GCC target(features))
#define ISA_END _Pragma("GCC pop_options")
#endif

// Vocabulary functions must vanish into their callers, at any optimisation level above none.
#define ISA_INLINE [[gnu::always_inline]] inline

// Unrolls the following loop of constant trip count completely, so that arrays of vectors indexed
// by its counter become registers.
#if defined(__clang__)
#define ISA_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ISA_UNROLL _Pragma("GCC unroll 32")
#endif
