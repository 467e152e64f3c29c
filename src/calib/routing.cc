#include "calib/routing.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <span>

#include "base/error.h"
#include "base/text.h"
#include "format/safetensors.h"

namespace karat::calib {

using base::strf;

namespace {

int bin_of(float margin) {
  if (!(margin > 0)) return 0;
  return std::clamp(std::ilogb(margin) + kMarginBinOfOne, 0, kMarginBins - 1);
}

// The `count` largest in decreasing order, ties to the lower index, as the router chooses.
void largest(const float* logits, int64_t experts, int64_t count, int32_t* out) {
  int64_t filled = 0;
  for (int32_t e = 0; e < experts; ++e) {
    if (filled == count && !(logits[e] > logits[out[count - 1]])) continue;
    int64_t place = filled < count ? filled++ : count - 1;
    for (; place > 0 && logits[e] > logits[out[place - 1]]; --place) out[place] = out[place - 1];
    out[place] = e;
  }
}

// The margin below which the given share of the rows lies, to a power of two.
double quantile(const LayerRouting& layer, double share) {
  int64_t seen = 0;
  for (int bin = 0; bin < kMarginBins; ++bin) {
    seen += layer.margins[static_cast<size_t>(bin)];
    if (static_cast<double>(seen) >= share * static_cast<double>(layer.rows)) {
      return std::ldexp(1.0, bin - kMarginBinOfOne + 1);
    }
  }
  return 0;
}

// '.' for none, else how many times the even share in powers of two: 'e' is once to twice, 'd' half
// of that, and so on.
char symbol_of(int64_t count, double even) {
  if (count == 0) return '.';
  const int octave = std::ilogb(static_cast<double>(count) / even);
  return static_cast<char>('e' + std::clamp(octave, -4, 8));
}

template <class T>
format::SafetensorsItem item_of(const char* name, tensor::DType type, const tensor::Shape& shape,
                                const std::vector<T>& data) {
  return {{name, type, shape}, std::as_bytes(std::span(data))};
}

// The elements of a tensor of a type and any shape.
template <class T>
std::vector<T> array_of(const format::SafetensorsSource& file, const std::string& name,
                        tensor::DType type) {
  const tensor::TensorInfo& info = file.at(name);
  if (info.dtype != type) {
    throw base::fail(base::ErrorKind::bad_input, "%s: is not of the type %s",
                     file.place_of(info).c_str(), std::string(tensor::info(type).name).c_str());
  }
  std::vector<T> values(static_cast<size_t>(info.shape.elements()));
  file.read(info, std::as_writable_bytes(std::span(values)));
  return values;
}

}  // namespace

std::vector<int64_t> LayerRouting::cold() const {
  std::vector<int64_t> out;
  for (size_t e = 0; e < counts.size(); ++e) {
    if (counts[e] == 0) out.push_back(static_cast<int64_t>(e));
  }
  return out;
}

RoutingTap::RoutingTap(int64_t experts, int64_t used) {
  CHECK(used >= 1 && used < experts);
  routing_.experts = experts;
  routing_.used = used;
}

bool RoutingTap::wants_stage(std::string_view name) const {
  return name == "moe.router_logits" || name == "moe.topk_weights";
}

void RoutingTap::stage(const model::Stage& stage) {
  LayerRouting& layer = routing_.layers[stage.layer];
  if (layer.counts.empty()) {
    const auto experts = static_cast<size_t>(routing_.experts);
    layer.counts.resize(experts);
    layer.gate_mass.resize(experts);
    layer.together.resize(experts * experts);
  }
  if (stage.name == "moe.router_logits") see_logits(stage, layer);
  if (stage.name == "moe.topk_weights") see_weights(stage, layer);
}

void RoutingTap::see_logits(const model::Stage& stage, LayerRouting& layer) {
  const auto used = static_cast<size_t>(routing_.used);
  std::vector<int32_t> ranked(used + 1);
  chosen_.resize(static_cast<size_t>(stage.rows) * used);
  for (int64_t r = 0; r < stage.rows; ++r) {
    const float* logits = stage.values + r * stage.ld;
    largest(logits, routing_.experts, routing_.used + 1, ranked.data());
    const float margin = logits[ranked[used - 1]] - logits[ranked[used]];
    layer.margin_sum += static_cast<double>(margin);
    ++layer.margins[static_cast<size_t>(bin_of(margin))];
    std::copy_n(ranked.begin(), used, chosen_.begin() + r * routing_.used);
    for (size_t i = 0; i < used; ++i) {
      ++layer.counts[static_cast<size_t>(ranked[i])];
      for (size_t j = 0; j < used; ++j) {
        ++layer.together[static_cast<size_t>(ranked[i] * routing_.experts + ranked[j])];
      }
    }
  }
  layer.rows += stage.rows;
}

void RoutingTap::see_weights(const model::Stage& stage, LayerRouting& layer) const {
  CHECK(chosen_.size() == static_cast<size_t>(stage.rows * routing_.used));
  for (int64_t r = 0; r < stage.rows; ++r) {
    for (int64_t i = 0; i < routing_.used; ++i) {
      const auto expert = static_cast<size_t>(chosen_[static_cast<size_t>(r * routing_.used + i)]);
      layer.gate_mass[expert] += static_cast<double>(stage.values[r * stage.ld + i]);
    }
  }
}

void RoutingTap::keep(StatisticsWriter& out) const {
  out.number(static_cast<int64_t>(routing_.layers.size()));
  for (const auto& [number, layer] : routing_.layers) {
    out.number(number);
    out.number(layer.rows);
    out.values(std::span(layer.counts));
    out.values(std::span(layer.gate_mass));
    out.values(std::span(layer.together));
    out.values(std::span<const double>(&layer.margin_sum, 1));
    out.values(std::span<const int64_t>(layer.margins));
  }
}

void RoutingTap::take_up(StatisticsReader& in) {
  routing_.layers.clear();
  const auto experts = static_cast<size_t>(routing_.experts);
  for (int64_t left = in.number(); left > 0; --left) {
    LayerRouting& layer = routing_.layers[in.number()];
    layer.rows = in.number();
    layer.counts = in.values<int64_t>();
    layer.gate_mass = in.values<double>();
    layer.together = in.values<int32_t>();
    const std::vector<double> sum = in.values<double>();
    const std::vector<int64_t> margins = in.values<int64_t>();
    if (layer.counts.size() != experts || layer.gate_mass.size() != experts ||
        layer.together.size() != experts * experts || sum.size() != 1 ||
        margins.size() != layer.margins.size()) {
      throw base::fail(base::ErrorKind::bad_input, "routing statistics of another model");
    }
    layer.margin_sum = sum[0];
    std::copy(margins.begin(), margins.end(), layer.margins.begin());
  }
}

void write_routing(const std::string& path, const Routing& routing) {
  std::vector<int32_t> numbers, together;
  std::vector<int64_t> rows, counts, margins;
  std::vector<double> gate_mass, margin_sums;
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (const auto& [number, layer] : routing.layers) {
    numbers.push_back(static_cast<int32_t>(number));
    rows.push_back(layer.rows);
    margin_sums.push_back(layer.margin_sum);
    append(counts, layer.counts);
    append(gate_mass, layer.gate_mass);
    append(margins, layer.margins);
    append(together, layer.together);
  }
  const auto layers = static_cast<int64_t>(numbers.size());
  const int64_t experts = routing.experts;
  const std::vector<format::SafetensorsItem> items = {
      item_of("rows", tensor::DType::i64, {layers}, rows),
      item_of("counts", tensor::DType::i64, {layers, experts}, counts),
      item_of("gate_mass", tensor::DType::f64, {layers, experts}, gate_mass),
      item_of("margin_sum", tensor::DType::f64, {layers}, margin_sums),
      item_of("margins", tensor::DType::i64, {layers, kMarginBins}, margins),
      item_of("layers", tensor::DType::i32, {layers}, numbers),
      item_of("together", tensor::DType::i32, {layers, experts, experts}, together)};
  format::write_safetensors(
      path, items, {{"format", "karat.routing.1"}, {"experts_used", std::to_string(routing.used)}});
}

Routing read_routing(const std::string& path) {
  const format::SafetensorsSource file(path);
  const auto& metadata = file.metadata();
  const auto word = metadata.find("format"), used = metadata.find("experts_used");
  if (word == metadata.end() || word->second != "karat.routing.1" || used == metadata.end()) {
    throw base::fail(base::ErrorKind::bad_input, "%s: is no file of routing statistics",
                     base::printable(path).c_str());
  }
  const auto numbers = array_of<int32_t>(file, "layers", tensor::DType::i32);
  const auto rows = array_of<int64_t>(file, "rows", tensor::DType::i64);
  const auto counts = array_of<int64_t>(file, "counts", tensor::DType::i64);
  const auto gate_mass = array_of<double>(file, "gate_mass", tensor::DType::f64);
  const auto margin_sum = array_of<double>(file, "margin_sum", tensor::DType::f64);
  const auto margins = array_of<int64_t>(file, "margins", tensor::DType::i64);
  const auto together = array_of<int32_t>(file, "together", tensor::DType::i32);
  const size_t layers = numbers.size(), experts = layers == 0 ? 0 : counts.size() / layers;
  if (rows.size() != layers || counts.size() != layers * experts ||
      gate_mass.size() != counts.size() || margin_sum.size() != layers ||
      margins.size() != layers * kMarginBins || together.size() != layers * experts * experts) {
    throw base::fail(base::ErrorKind::bad_input, "%s: its arrays do not fit each other",
                     base::printable(path).c_str());
  }
  Routing routing;
  routing.experts = static_cast<int64_t>(experts);
  routing.used = std::atoll(used->second.c_str());
  for (size_t i = 0; i < layers; ++i) {
    LayerRouting& layer = routing.layers[numbers[i]];
    const auto part = [i](const auto& from, size_t each) {
      return std::vector(from.begin() + static_cast<int64_t>(i * each),
                         from.begin() + static_cast<int64_t>((i + 1) * each));
    };
    layer.rows = rows[i];
    layer.counts = part(counts, experts);
    layer.gate_mass = part(gate_mass, experts);
    layer.together = part(together, experts * experts);
    layer.margin_sum = margin_sum[i];
    std::copy_n(margins.begin() + static_cast<int64_t>(i * kMarginBins), kMarginBins,
                layer.margins.begin());
  }
  return routing;
}

std::string routing_text(const Routing& routing) {
  std::string text = strf(
      "Rows of each of %lld experts, a line per block ('.' none, 'e' an even share to twice that, "
      "each letter before it half, each after it twice):\n",
      static_cast<long long>(routing.experts));
  std::string cold;
  for (const auto& [number, layer] : routing.layers) {
    const double even =
        static_cast<double>(layer.rows * routing.used) / static_cast<double>(routing.experts);
    text += strf("%4lld ", static_cast<long long>(number));
    for (const int64_t count : layer.counts) text += symbol_of(count, even);
    text += '\n';
    const std::vector<int64_t> none = layer.cold();
    if (none.empty()) continue;
    cold += strf("  block %lld:", static_cast<long long>(number));
    for (const int64_t expert : none) cold += " " + std::to_string(expert);
    cold += '\n';
  }
  text += cold.empty() ? "Every expert saw a row.\n" : "Experts that saw no row:\n" + cold;
  text +=
      "Margin between the last chosen and the first other logit: mean, and what half and 5 % "
      "of the rows lie below (powers of two):\n";
  for (const auto& [number, layer] : routing.layers) {
    text += strf("%4lld  %8.4f  %8.4g  %8.4g\n", static_cast<long long>(number),
                 layer.margin_sum / static_cast<double>(std::max<int64_t>(1, layer.rows)),
                 quantile(layer, 0.5), quantile(layer, 0.05));
  }
  return text;
}

}  // namespace karat::calib
