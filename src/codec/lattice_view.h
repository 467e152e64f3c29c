// A list of points as the vectorised searches read it, and what they return.
#pragma once

#include <array>
#include <cstdint>

namespace karat::codec {

// The points are those of LatticeFormat::points, cut in two: "high" is the upper half of the
// coordinates, "low" the lower half. As the list is ascending, the points with the same high half
// lie together: a run. All pointers are the Lattice's.
struct LatticeView {
  int coords = 8;  // of a point; a coordinate's level number has 2 bits if 8, 3 if 4
  int top = 2;     // level numbers are 0..top
  // Coordinates' levels by the low bits of a point, whatever bits follow: entry i is of level
  // number i & 3 or i & 7; where there are only three levels, of the topmost for 3.
  alignas(64) std::array<float, 16> level{};
  float delta =
      0;  // levels of the other kind of octet are lower by this; 0 where there is one kind
  bool both_deltas = false;           // each octet is of either kind
  const uint16_t* nearest = nullptr;  // by cell, numbered in base top + 1: the nearest point
  const int8_t* levels = nullptr;     // coords entries per point
  int runs = 0;
  const uint8_t* high = nullptr;      // per run; to a multiple of 16
  const uint8_t* run_near = nullptr;  // per high half, in the list or not: a run near to it
  const uint16_t* begin = nullptr;    // per run: its first entry of low, a multiple of 16
  const uint16_t* first = nullptr;    // per run, and one more: index of its first point
  const uint8_t* low = nullptr;  // the points' low halves, each run filled up to 16 with its last
};

// Sums over elements with their levels l, for sixteen steps: w y l and w l^2.
struct LatticeSums {
  alignas(64) std::array<float, 16> yl;
  alignas(64) std::array<float, 16> ll;
};

// What d and the scales have to fit: per sub-block the step that is best for its points, and their
// sums of w y l and w l^2.
struct LatticeScales {
  int subs = 0;
  float unit = 1;  // a sub-block's step is d * (2 * scale + 1) * unit
  float scale_max = 0;
  std::array<float, 16> step{};
  std::array<float, 16> yl{};
  std::array<float, 16> ll{};
};

// For sixteen d, with each scale that is nearest to its sub-block's step: the error less the sum of
// w y^2, and the d of least squares for these scales.
struct LatticeScaleFits {
  alignas(64) std::array<float, 16> error;
  alignas(64) std::array<float, 16> d;
};

// The points that octets were rounded to: per octet one or two indices, and the kind, 1 for the
// lower levels; and the sums of w y l, w l^2 and the error, w (y - step l)^2.
struct LatticeRounding {
  std::array<std::array<uint16_t, 2>, 4> index;
  std::array<uint8_t, 4> kind;
  float yl = 0;
  float ll = 0;
  float error = 0;
};

}  // namespace karat::codec
