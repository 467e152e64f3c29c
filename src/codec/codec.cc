#include "codec/codec.h"

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/formats.h"
#include "codec/table.h"
#include "codec/weights.h"

namespace karat::codec {
namespace {

using base::ErrorKind;

size_t blocks_in(const Codec& codec, size_t elements) {
  const size_t per_block = static_cast<size_t>(codec.block_elems());
  CHECK(elements % per_block == 0);
  return elements / per_block;
}

}  // namespace

Codec::Codec(tensor::DType type, int sub_elems, int group_elems, float range_max)
    : info_(tensor::info(type)),
      sub_elems_(sub_elems),
      group_elems_(group_elems),
      range_max_(range_max) {
  CHECK(block_elems() <= kBlockElemsMax);
  CHECK(block_elems() % sub_elems == 0 && block_elems() / sub_elems <= kSubBlocksMax);
  CHECK(sub_elems % group_elems == 0);
}

void Codec::decode(std::span<const std::byte> bytes, std::span<float> out) const {
  const size_t blocks = blocks_in(*this, out.size());
  const size_t elems = static_cast<size_t>(block_elems());
  const size_t stride = static_cast<size_t>(block_bytes());
  CHECK(bytes.size() == blocks * stride);
  std::array<Code, kBlockElemsMax> codes;
  const size_t sub = static_cast<size_t>(sub_elems());
  for (size_t b = 0; b < blocks; ++b) {
    Grid grid;
    unpack(&bytes[b * stride], grid, codes.data());
    float* values = &out[b * elems];
    for (size_t i = 0; i < elems; ++i) {
      const size_t s = i / sub;
      values[i] = grid.step[s] * static_cast<float>(codes[i]) - grid.offset[s];
    }
  }
}

std::optional<int64_t> Codec::find_out_of_range(std::span<const float> x) const {
  const auto n = static_cast<int64_t>(x.size());
  const int64_t first = table().first_out_of_range(x.data(), n, range_max());
  return first < n ? std::optional(first) : std::nullopt;
}

void Codec::encode_row(std::span<const float> x, std::span<const float> importance,
                       std::span<std::byte> out) const {
  CHECK(out.size() == blocks_in(*this, x.size()) * static_cast<size_t>(block_bytes()));
  CHECK(importance.empty() || importance.size() == x.size());
  if (const auto column = find_out_of_range(x)) {
    const double value = static_cast<double>(x[static_cast<size_t>(*column)]);
    const long long where = *column;
    if (!std::isfinite(value)) {
      throw base::fail(ErrorKind::bad_input, "column %lld: value is %f; weights must be finite",
                       where, value);
    }
    throw base::fail(ErrorKind::bad_input, "column %lld: value %g does not fit %s (largest %g)",
                     where, value, info().name.data(), static_cast<double>(range_max()));
  }
  encode_checked(x, importance, out);
}

void Codec::encode_checked(std::span<const float> x, std::span<const float> importance,
                           std::span<std::byte> out) const {
  static thread_local std::vector<float> weights;  // a row's: no allocation per row
  weights.resize(x.size());
  weigh(x, importance, weights);
  const size_t elems = static_cast<size_t>(block_elems());
  const size_t stride = static_cast<size_t>(block_bytes());
  std::array<Code, kBlockElemsMax> codes;
  for (size_t b = 0; b * elems < x.size(); ++b) {
    const float* block = &x[b * elems];
    const float* w = &weights[b * elems];
    const Grid grid = choose_grid(block, w);
    round_block(grid, block, w, codes.data());
    pack(grid, codes.data(), &out[b * stride]);
  }
}

void Codec::round_block(const Grid& grid, const float* x, const float* w, Code* codes) const {
  std::array<float, kBlockElemsMax> values;
  for (int i = 0; i < block_elems(); i += group_elems()) {
    round(grid, i, x + i, w + i, codes + i, &values[static_cast<size_t>(i)]);
  }
}

Grid Codec::choose_grid(const float* x, const float* w) const {
  std::array<float, kBlockElemsMax> weights;
  condition_weights(w, block_elems(), weights.data());
  return search_grid(x, weights.data());
}

void Codec::weigh(std::span<const float> x, std::span<const float> importance,
                  std::span<float> w) const {
  CHECK(w.size() == x.size());
  CHECK(importance.empty() || importance.size() == x.size());
  for (size_t i = 0; i < x.size(); ++i) w[i] = importance.empty() ? 1.0F : importance[i];
}

std::span<const Codec* const> codecs() {
  static const std::array list = {
      &f32_codec(),    &f16_codec(),     &bf16_codec(),                                   // plain
      &q4_0_codec(),   &q4_1_codec(),    &q5_0_codec(),  &q5_1_codec(),   &q8_0_codec(),  // legacy
      &q2_k_codec(),   &q3_k_codec(),    &q4_k_codec(),  &q5_k_codec(),   &q6_k_codec(),  // K
      &iq4_nl_codec(), &iq4_xs_codec(),  &mxfp4_codec(), &nvfp4_codec(),  // codebooks
      &tq1_0_codec(),  &tq2_0_codec(),   &q1_0_codec(),  &q2_0_codec(),   // few codes
      &iq3_s_codec(),  &iq3_xxs_codec(), &iq2_s_codec(), &iq2_xs_codec(), &iq2_xxs_codec(),
      &iq1_m_codec(),  &iq1_s_codec(),  // lattices
  };
  return list;
}

const Codec* find_codec(tensor::DType type) {
  for (const Codec* codec : codecs()) {
    if (codec->type() == type) return codec;
  }
  return nullptr;
}

const Codec& codec_for(tensor::DType type) {
  const Codec* codec = find_codec(type);
  if (codec == nullptr) {
    std::string choices;
    for (const Codec* other : codecs()) {
      choices += choices.empty() ? "" : ", ";
      choices += other->info().name;
    }
    throw base::fail(ErrorKind::unsupported, "type %s cannot be encoded or decoded; use one of: %s",
                     tensor::info(type).name.data(), choices.c_str());
  }
  return *codec;
}

}  // namespace karat::codec
