#include "model/identity.h"

#include <algorithm>
#include <set>
#include <span>
#include <vector>

#include "base/hash.h"
#include "base/text.h"
#include "model/names.h"

namespace karat::model {

namespace {

using base::strf;

// Everything that the forward pass reads from the configuration and the shapes do not tell.
std::string config_text(const Config& c) {
  std::string text;
  for (const Mixer mixer : c.mixers) text += mixer == Mixer::attention ? 'a' : 'd';
  const auto add = [&](int64_t value) { text += strf(" %lld", static_cast<long long>(value)); };
  for (const int64_t value : {c.hidden, c.vocab, c.heads, c.kv_heads, c.head_dim, c.key_heads,
                              c.value_heads, c.key_dim, c.value_dim, c.conv_taps, c.experts,
                              c.experts_used, c.rope.dims, c.rope.original_context}) {
    add(value);
  }
  for (const int32_t section : c.rope.sections) add(section);
  return text +
         strf(" %.9g %.17g %.17g ", static_cast<double>(c.rms_eps), c.rope.theta, c.rope.factor) +
         c.rope.scaling;
}

bool of_trunk(const tensor::TensorInfo& info, const Config& config) {
  const int64_t layer = layer_of(info.name);
  return info.name == kTokenEmbd || info.name == kOutputNorm ||
         (layer >= 0 && layer < config.layers());
}

}  // namespace

std::string trunk_identity(const tensor::TensorSource& source, const Config& config) {
  std::vector<const tensor::TensorInfo*> tensors;
  for (const tensor::TensorInfo& info : source.tensors()) {
    if (of_trunk(info, config)) tensors.push_back(&info);
  }
  // Files may hold the same tensors in another order.
  std::sort(tensors.begin(), tensors.end(),
            [](const auto* a, const auto* b) { return a->name < b->name; });
  base::Sha256 hash;
  const auto add_text = [&](const std::string& text) {
    hash.update(std::as_bytes(std::span(text.c_str(), text.size() + 1)));
  };
  add_text(config_text(config));
  std::vector<std::byte> row;
  for (const tensor::TensorInfo* info : tensors) {
    add_text(info->name + " " + std::string(tensor::info(info->dtype).name) + " " +
             info->shape.str());
    row.resize(static_cast<size_t>(info->row_bytes()));
    const int64_t rows = info->shape.rows();
    if (rows == 0) continue;
    for (const int64_t r : std::set<int64_t>{0, rows / 2, rows - 1}) {
      source.read_rows(*info, r, 1, row);
      hash.update(row);
    }
  }
  return hash.hex();
}

}  // namespace karat::model
