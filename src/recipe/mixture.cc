#include "recipe/mixture.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "base/error.h"
#include "base/text.h"
#include "model/names.h"

namespace karat::recipe {

using base::ErrorKind;
using base::fail;
using tensor::DType;

namespace {

constexpr std::array kPresets = {
    Preset{"F32", 0, DType::f32},      Preset{"F16", 1, DType::f16},
    Preset{"Q8_0", 7, DType::q8_0},    Preset{"Q4_K_S", 14, DType::q4_k},
    Preset{"Q4_K_M", 15, DType::q4_k}, Preset{"Q5_K_S", 16, DType::q5_k},
    Preset{"Q5_K_M", 17, DType::q5_k}, Preset{"Q6_K", 18, DType::q6_k},
    Preset{"BF16", 32, DType::bf16},
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Tensors that stay as they are: vectors, norms, the router, the convolution.
bool eligible(const tensor::TensorInfo& tensor) {
  return ggml_dims(tensor.shape) >= 2 && base::ends_with(tensor.name, "weight") &&
         !contains(tensor.name, "_norm.weight") && !contains(tensor.name, "ffn_gate_inp.weight") &&
         !contains(tensor.name, "ssm_conv1d");
}

// What a tensor is to the rules; the first match in this order decides.
enum class Category { output, token_embd, value_like, key, attention_output, down, other };

Category category_of(std::string_view name) {
  if (name == model::kOutput) return Category::output;
  if (name == model::kTokenEmbd) return Category::token_embd;
  // DeltaNet's fused attn_qkv counts as a value projection.
  if (contains(name, "attn_qkv.weight") || contains(name, "attn_v.weight")) {
    return Category::value_like;
  }
  if (contains(name, "attn_k.weight")) return Category::key;
  if (contains(name, "attn_output.weight")) return Category::attention_output;
  if (contains(name, "ffn_down")) return Category::down;
  return Category::other;
}

// llama.cpp's use_more_bits: the first and last eighth of the layers and every third between.
bool more_bits(int64_t i, int64_t n) { return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2; }

struct Counters {
  int64_t blocks = 0;  // block_count, MTP included
  int64_t values = 0;  // value-like tensors in the file
  int64_t value_index = 0;
  bool has_output = false;
  bool eight_experts = false;
};

bool is_medium(std::string_view preset) { return preset == "Q4_K_M" || preset == "Q5_K_M"; }

// The preset's type for an eligible tensor (llama_tensor_get_type, the branches of these presets).
DType preset_type(const Preset& preset, const tensor::TensorInfo& tensor, Counters& counters) {
  const Category category = category_of(tensor.name);
  const int64_t layer = model::layer_of(tensor.name);
  const bool is_output =
      category == Category::output || (category == Category::token_embd && !counters.has_output);
  if (is_output) {
    if (tensor.shape.cols() % tensor::info(preset.base).block_elems != 0) return DType::q8_0;
    return preset.base == DType::q8_0 ? DType::q8_0 : DType::q6_k;
  }
  if (category == Category::value_like) {
    const int64_t i = counters.value_index++;
    if (counters.eight_experts) return DType::q8_0;
    if (is_medium(preset.name) && more_bits(i, counters.values)) return DType::q6_k;
    if (preset.name == "Q4_K_S" && i < 4) return DType::q5_k;
  }
  if (category == Category::key && counters.eight_experts) return DType::q8_0;
  if (category == Category::attention_output && counters.eight_experts &&
      preset.base == DType::q4_k) {
    return DType::q5_k;
  }
  if (category == Category::down) {
    if (is_medium(preset.name) && more_bits(layer, counters.blocks)) return DType::q6_k;
    if (preset.name == "Q4_K_S" && layer < counters.blocks / 8) return DType::q5_k;
  }
  return preset.base;
}

// FORMATS.md section 4.4: a type whose blocks do not fill the rows gives way to one that does.
DType fitting_type(DType type, int64_t cols) {
  if (cols % tensor::info(type).block_elems == 0) return type;
  DType next = DType::f16;
  if (type == DType::q4_k) next = DType::q5_0;
  if (type == DType::q5_k) next = DType::q5_1;
  if (type == DType::q6_k) next = DType::q8_0;
  return cols % tensor::info(next).block_elems == 0 ? next : DType::f16;
}

std::vector<size_t> write_order(const tensor::TensorSource& source) {
  std::vector<size_t> order(source.tensors().size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const std::string &x = source.tensors()[a].name, &y = source.tensors()[b].name;
    const int64_t p = model::layer_of(x), q = model::layer_of(y);
    return p != q ? p < q : x < y;
  });
  return order;
}

// Which rule decides a tensor, and which rules have decided or matched anything at all.
class Rules {
 public:
  explicit Rules(const std::vector<TypeRule>& rules)
      : rules_(rules), matched_(rules.size()), used_(rules.size()) {}

  const TypeRule* decide(const std::string& name) {
    const TypeRule* first = nullptr;
    for (size_t i = 0; i < rules_.size(); ++i) {
      if (!rules_[i].pattern.found_in(name)) continue;
      matched_[i] = true;
      if (first == nullptr) used_[i] = true, first = &rules_[i];
    }
    return first;
  }

  void require_all_used() const {
    for (size_t i = 0; i < rules_.size(); ++i) {
      if (used_[i]) continue;
      const std::string pattern = base::printable(rules_[i].pattern.pattern());
      throw fail(ErrorKind::usage,
                 matched_[i]
                     ? "--tensor-type '%s': every tensor it matches is decided by an earlier rule"
                     : "--tensor-type '%s': matches no tensor that can be quantized",
                 pattern.c_str());
    }
  }

 private:
  const std::vector<TypeRule>& rules_;
  std::vector<bool> matched_, used_;
};

TypeDecision decide(const tensor::TensorInfo& tensor, size_t index, const Preset& preset,
                    const MixtureOptions& options, Rules& rules, Counters& counters) {
  if (!eligible(tensor)) return {index, tensor.dtype, "kept"};
  const bool quantizes = tensor::info(preset.base).quantized();
  const Category category = category_of(tensor.name);
  if (category == Category::output && options.output_type) {
    return {index, *options.output_type, "--output-tensor-type"};
  }
  if (category == Category::token_embd && options.token_embedding_type) {
    return {index, *options.token_embedding_type, "--token-embedding-type"};
  }
  if (!quantizes) return {index, preset.base, "base"};
  DType type = preset.base;
  const char* decided_by = "base";
  if (const TypeRule* rule = rules.decide(tensor.name)) {
    // The value-like counter stands still here, as in llama-quantize.
    type = rule->type, decided_by = "--tensor-type";
  } else if (!options.pure) {
    type = preset_type(preset, tensor, counters);
    decided_by = type == preset.base ? "base" : "preset";
  }
  const DType fitting = fitting_type(type, tensor.shape.cols());
  return {index, fitting, fitting == type ? decided_by : "fallback"};
}

}  // namespace

std::vector<Preset> presets() { return {kPresets.begin(), kPresets.end()}; }

const Preset& preset_named(std::string_view name) {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) {
    if (lower(preset.name) == lower(name)) return preset;
    names.emplace_back(preset.name);
  }
  std::string list;
  for (const std::string& known : names) list += (list.empty() ? "" : " ") + known;
  throw fail(ErrorKind::usage, "unknown type '%s'; the types are %s", base::printable(name).c_str(),
             list.c_str());
}

TypeRule parse_type_rule(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    throw fail(ErrorKind::usage, "--tensor-type '%s': REGEX=TYPE is expected",
               base::printable(text).c_str());
  }
  const std::optional<DType> type = tensor::dtype_from_name(text.substr(equals + 1));
  if (!type) {
    throw fail(ErrorKind::usage, "--tensor-type '%s': unknown type '%s'",
               base::printable(text).c_str(), base::printable(text.substr(equals + 1)).c_str());
  }
  return {base::Regex(lower(text.substr(0, equals))), *type};
}

std::vector<TypeDecision> decide_types(const tensor::TensorSource& source,
                                       const model::Config& config, const Preset& preset,
                                       const MixtureOptions& options) {
  if (!options.rules.empty() && !tensor::info(preset.base).quantized()) {
    throw fail(ErrorKind::usage, "--tensor-type has no effect with %s; give a quantized type",
               std::string(preset.name).c_str());
  }
  Counters counters;
  counters.blocks = config.blocks();
  counters.has_output = source.find(model::kOutput) != nullptr;
  counters.eight_experts = config.experts == 8;
  for (const tensor::TensorInfo& tensor : source.tensors()) {
    if (category_of(tensor.name) == Category::value_like) ++counters.values;
  }
  Rules rules(options.rules);
  std::vector<TypeDecision> decisions;
  for (const size_t index : write_order(source)) {
    decisions.push_back(decide(source.tensors()[index], index, preset, options, rules, counters));
  }
  rules.require_all_used();
  return decisions;
}

int ggml_dims(const tensor::Shape& shape) {
  int dims = shape.rank();
  for (int i = 0; i < shape.rank() - 1 && shape[i] == 1; ++i) --dims;
  return std::max(dims, 1);
}

}  // namespace karat::recipe
