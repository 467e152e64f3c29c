#include "codec/lattice.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/half.h"
#include "codec/lattice_search.h"
#include "codec/table.h"
#include "codec/weights.h"

namespace karat::codec {
namespace {

constexpr size_t kLaneCount = 16;
// Sums of eight errors under larger weights could overflow.
constexpr float kWeightMax = 1e15F;

// Level number j of a cell or point.
int level_number(const LatticeFormat& format, uint16_t cell, int j) {
  const int bits = format.point_bits();
  return cell >> (bits * j) & ((1 << bits) - 1);
}

// Weights of an octet for a choice among points: those of weigh() are as they should be.
void octet_weights(const float* w, float* out) {
  bool good = true;
  for (int j = 0; j < kOctet; ++j) good = good && w[j] > 0 && w[j] < kWeightMax;
  if (good) {
    std::copy_n(w, kOctet, out);
  } else {
    condition_weights(w, kOctet, out);
  }
}

}  // namespace

Lattice::Lattice(const LatticeFormat& format) : format_(format) {
  for (size_t byte = 0; byte < 256; ++byte) {
    const unsigned b = static_cast<unsigned>(byte);
    base3_[byte] =
        static_cast<uint8_t>((b & 3) + 3 * (b >> 2 & 3) + 9 * (b >> 4 & 3) + 27 * (b >> 6));
  }
  for (int c = 0; c <= format.top; ++c) {
    number_[format.level[static_cast<size_t>(c)] & 63] = static_cast<uint8_t>(c);
  }
  find_runs();
  view_.coords = format.point_coords;
  view_.top = format.top;
  const int mask = (1 << format.point_bits()) - 1;
  for (size_t i = 0; i < view_.level.size(); ++i) {
    const int number = std::min(static_cast<int>(i) & mask, format.top);
    view_.level[i] = static_cast<float>(format.level[static_cast<size_t>(number)]);
  }
  view_.delta = format.has_delta() ? 2 : 0;
  view_.both_deltas = format.state == OctetState::delta;
  find_nearest();
}

void Lattice::find_nearest() {
  const int levels = format_.top + 1;
  const int coords = format_.point_coords;
  int cells = 1;
  for (int j = 0; j < coords; ++j) cells *= levels;
  LatticeView upper = view_;
  upper.both_deltas = false;
  std::array<float, kOctet> ones;
  ones.fill(1.0F);
  for (int k = 0; k < cells; ++k) {
    std::array<float, kOctet> y{};
    for (int j = 0, rest = k; j < kOctet; ++j, rest /= levels) {
      if (j % coords == 0) rest = k;  // the same again in the second point
      y[static_cast<size_t>(j)] =
          static_cast<float>(format_.level[static_cast<size_t>(rest % levels)]);
    }
    LatticeRounding rounding;
    table().lattice_round(upper, 0, 1.0F, y.data(), ones.data(), kOctet,
                          std::numeric_limits<float>::infinity(), rounding);
    nearest_.push_back(rounding.index[0][0]);
    nearest_point_.push_back(format_.points[nearest_.back()]);
  }
  nearest_point_.push_back(0);  // lookup_u16
  view_.nearest = nearest_point_.data();
}

void Lattice::find_runs() {
  const int half_bits = format_.point_bits() * format_.point_coords / 2;
  const auto high_of = [&](size_t i) { return format_.points[i] >> half_bits; };
  const size_t count = format_.points.size();
  for (size_t i = 0; i < count; ++i) {
    for (int j = 0; j < format_.point_coords; ++j) {
      const int number = level_number(format_, format_.points[i], j);
      levels_.push_back(format_.level[static_cast<size_t>(number)]);
    }
    if (i == 0 || high_of(i) != high_of(i - 1)) {
      while (low_.size() % kLaneCount != 0) low_.push_back(low_.back());
      high_.push_back(static_cast<uint8_t>(high_of(i)));
      begin_.push_back(static_cast<uint16_t>(low_.size()));
      first_.push_back(static_cast<uint16_t>(i));
    }
    low_.push_back(static_cast<uint8_t>(format_.points[i] & ((1 << half_bits) - 1)));
  }
  while (low_.size() % kLaneCount != 0) low_.push_back(low_.back());
  view_.runs = static_cast<int>(high_.size());
  for (unsigned half = 0; half < run_near_.size(); ++half) {
    int least = std::numeric_limits<int>::max();
    for (size_t run = 0; run < high_.size(); ++run) {
      int distance = 0;
      for (int j = 0; j < format_.point_coords / 2; ++j) {
        const int difference = level_number(format_, static_cast<uint16_t>(half), j) -
                               level_number(format_, high_[run], j);
        distance += difference * difference;
      }
      if (distance >= least) continue;
      least = distance;
      run_near_[half] = static_cast<uint8_t>(run);
    }
  }
  first_.push_back(static_cast<uint16_t>(count));
  while (high_.size() % kLaneCount != 0) high_.push_back(high_.back());
  view_.levels = levels_.data();
  view_.high = high_.data();
  view_.run_near = run_near_.data();
  view_.begin = begin_.data();
  view_.first = first_.data();
  view_.low = low_.data();
}

int Lattice::key(uint16_t cell) const {
  if (format_.point_coords == 4) return cell;
  return base3_[cell & 255] + 81 * base3_[cell >> 8];
}

LatticeCodec::LatticeCodec(const LatticeFormat& format)
    : Codec(format.type, format.sub_elems, kOctet,
            base::kF16Max * static_cast<float>(2 * format.scale_max + 1) * format.unit *
                static_cast<float>(format.level[static_cast<size_t>(format.top)])),
      format_(format) {}

void LatticeCodec::weigh(std::span<const float> x, std::span<const float> importance,
                         std::span<float> w) const {
  codec::weigh(WeightRule::magnitude, x, importance, w);
}

Grid LatticeCodec::search_grid(const float* x, const float* w) const {
  return search_lattice(lattice(), x, w);
}

void LatticeCodec::round(const Grid& grid, int index, const float* x, const float* w, Code* codes,
                         float* values) const {
  const size_t sub = static_cast<size_t>(index / sub_elems());
  const float step = grid.step[sub];
  std::array<float, kOctet> weights;
  weights.fill(1.0F);
  if (w != nullptr) octet_weights(w, weights.data());
  const OctetChoice choice = nearest_octet(lattice(), step, grid.min[sub], x, weights.data());
  octet_codes(format_, choice, codes);
  for (int j = 0; j < kOctet; ++j) values[j] = step * static_cast<float>(codes[j]);
}

void LatticeCodec::encode_checked(std::span<const float> x, std::span<const float> importance,
                                  std::span<std::byte> out) const {
  std::vector<float> weights(x.size());
  weigh(x, importance, weights);
  std::array<float, kBlockElemsMax> block_weights;
  for (size_t b = 0; b * kBlockElemsMax < x.size(); ++b) {
    const float* block = &x[b * kBlockElemsMax];
    const float* w = &weights[b * kBlockElemsMax];
    const Grid grid = choose_grid(block, w);
    for (size_t i = 0; i < kBlockElemsMax; i += kOctet) octet_weights(w + i, &block_weights[i]);
    write_block(grid, nearest_octets(lattice(), grid, block, block_weights.data()),
                &out[b * static_cast<size_t>(block_bytes())]);
  }
}

void LatticeCodec::pack(const Grid& grid, const Code* codes, std::byte* block) const {
  LatticeBlock content;
  for (size_t o = 0; o < kOctets; ++o) {
    const OctetChoice octet = octet_of_codes(lattice(), codes + kOctet * o);
    content.index[o] = octet.index;
    content.state[o] = octet.state;
  }
  write_block(grid, content, block);
}

void LatticeCodec::unpack(const std::byte* block, Grid& grid, Code* codes) const {
  LatticeBlock content;
  grid = {};
  read_block(block, grid, content);
  const float d = base::f16_to_f32(grid.d);
  for (size_t s = 0; s < static_cast<size_t>(kBlockElemsMax / sub_elems()); ++s) {
    grid.step[s] = d * static_cast<float>(2 * grid.scale[s] + 1) * format_.unit;
  }
  for (size_t o = 0; o < kOctets; ++o) {
    octet_codes(format_, {content.index[o], content.state[o]}, codes + kOctet * o);
  }
}

void octet_codes(const LatticeFormat& format, const OctetChoice& octet, Code* codes) {
  for (int j = 0; j < kOctet; ++j) {
    const size_t part = static_cast<size_t>(j / format.point_coords);
    const uint16_t point = format.points[octet.index[part]];
    const Code level =
        format.level[static_cast<size_t>(level_number(format, point, j % format.point_coords))];
    if (format.has_delta()) {
      codes[j] = level - 2 * octet.state;
    } else {
      codes[j] = octet.state >> j & 1 ? -level : level;
    }
  }
}

OctetChoice octet_of_codes(const Lattice& lattice, const Code* codes) {
  const LatticeFormat& format = lattice.format();
  OctetChoice octet;
  // One of the levels -7 1 9 is 1 modulo 8, one of -9 -1 7 is 7.
  if (format.has_delta()) octet.state = (codes[0] & 7) == 7 ? 1 : 0;
  std::array<unsigned, 2> point{};
  for (int j = 0; j < kOctet; ++j) {
    Code level = codes[j] + 2 * octet.state;
    if (!format.has_delta()) {
      level = std::abs(codes[j]);
      if (codes[j] < 0) octet.state = static_cast<uint8_t>(octet.state | 1U << j);
    }
    const unsigned number = lattice.number_of(level);
    const int within = j % format.point_coords;
    point[static_cast<size_t>(j / format.point_coords)] |= number << (format.point_bits() * within);
  }
  for (size_t part = 0; part < static_cast<size_t>(kOctet / format.point_coords); ++part) {
    octet.index[part] = lattice.nearest(static_cast<uint16_t>(point[part]));
  }
  return octet;
}

}  // namespace karat::codec
