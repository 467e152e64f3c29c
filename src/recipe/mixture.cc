#include "recipe/mixture.h"

#include <algorithm>
#include <cctype>
#include <sstream>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "codec/codec.h"
#include "model/names.h"
#include "recipe/mixture_rules.h"

namespace karat::recipe {

using base::ErrorKind;
using base::fail;
using tensor::DType;

namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Tensors that stay as they are: vectors, norms, the router, the convolution.
bool eligible(const tensor::TensorInfo& tensor) {
  return ggml_dims(tensor.shape) >= 2 && base::ends_with(tensor.name, "weight") &&
         !contains(tensor.name, "_norm.weight") && !contains(tensor.name, "ffn_gate_inp.weight") &&
         !contains(tensor.name, "ssm_conv1d");
}

// What llama-quantize keeps count of while it goes through the tensors.
struct Counters {
  uint32_t model_facts = 0;  // those that are true of every tensor
  int64_t blocks = 0;        // block_count, MTP included
  int64_t values = 0;        // value tensors in the file
  int64_t value_index = 0;
  int64_t downs = 0;
  bool tied = false;  // no output.weight: the embedding is the output
};

Counters counters_of(const tensor::TensorSource& source, const model::Config& config,
                     const MixtureOptions& options) {
  Counters counters;
  counters.blocks = config.blocks();
  counters.tied = source.find(model::kOutput) == nullptr;
  for (const tensor::TensorInfo& tensor : source.tensors()) {
    if (category_of(tensor.name) == Category::value) ++counters.values;
  }
  const bool four_queries = config.kv_heads > 0 && config.heads / config.kv_heads >= 4;
  counters.model_facts = (config.experts == 8 ? kEightExperts : kOtherExperts) |
                         (options.imatrix ? kImatrix : kNoImatrix);
  if (four_queries) counters.model_facts |= kFourQueriesPerKey;
  if (four_queries || config.experts >= 4) counters.model_facts |= kFourQueriesOrExperts;
  return counters;
}

// The mixture's type for an eligible tensor; moves the counters on.
DType preset_type(const Preset& preset, const tensor::TensorInfo& tensor, Category category,
                  Counters& counters) {
  if (category == Category::token_embd && counters.tied) category = Category::output;
  uint32_t facts = counters.model_facts;
  if (category == Category::value) {
    facts |= position_facts(counters.value_index++, counters.values);
  } else {
    facts |= position_facts(model::layer_of(tensor.name), counters.blocks);
  }
  if (category == Category::down && counters.downs++ < counters.blocks / 8) facts |= kFirstDowns;
  if (ggml_dims(tensor.shape) >= 3) facts |= kExpertStack;
  if (tensor.shape.cols() % tensor::info(preset.base).block_elems != 0) facts |= kOddRows;
  return ruled_type(preset.ftype, category, facts).value_or(preset.base);
}

std::vector<size_t> write_order(const tensor::TensorSource& source, bool keep) {
  std::vector<size_t> order(source.tensors().size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  if (keep) return order;
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

// What decides is shared by all tensors of a file.
class Decider {
 public:
  Decider(const tensor::TensorSource& source, const model::Config& config, const Preset& preset,
          const MixtureOptions& options)
      : source_(source),
        preset_(preset),
        options_(options),
        counters_(counters_of(source, config, options)),
        rules_(options.rules) {}

  TypeDecision decide(size_t index) {
    const tensor::TensorInfo& tensor = source_.tensors()[index];
    const Category category = category_of(tensor.name);
    const bool left = preset_.copies || !eligible(tensor) ||
                      (options_.leave_output && category == Category::output);
    if (left) return {index, tensor.dtype, "kept", false};
    TypeDecision decision = choose(tensor, category);
    decision.tensor = index;
    decision.requires_imatrix = requires_imatrix(category, decision.type, preset_.ftype);
    return decision;
  }

  void require_rules_used() const { rules_.require_all_used(); }

 private:
  TypeDecision choose(const tensor::TensorInfo& tensor, Category category) {
    if (category == Category::output && options_.output_type) {
      return given(tensor, *options_.output_type, "--output-tensor-type");
    }
    if (category == Category::token_embd && options_.token_embedding_type) {
      return given(tensor, *options_.token_embedding_type, "--token-embedding-type");
    }
    if (!preset_.quantizes()) return {0, preset_.base, "base", false};
    const TypeDecision chosen = choose_quantized(tensor, category);
    const auto fitting = fitting_type(chosen.type, tensor.shape.cols());
    if (!fitting) {
      throw fail(ErrorKind::unsupported,
                 "%s: its rows of %lld elements do not fill %s blocks of %d; choose another TYPE, "
                 "or a type for it with --tensor-type",
                 source_.place_of(tensor).c_str(), static_cast<long long>(tensor.shape.cols()),
                 std::string(tensor::info(chosen.type).name).c_str(),
                 tensor::info(chosen.type).block_elems);
    }
    return {0, *fitting, *fitting == chosen.type ? chosen.decided_by : "fallback", false};
  }

  TypeDecision choose_quantized(const tensor::TensorInfo& tensor, Category category) {
    // The counters stand still for a tensor that a rule decides, as in llama-quantize.
    if (const TypeRule* rule = rules_.decide(tensor.name)) {
      return {0, rule->type, "--tensor-type", false};
    }
    if (options_.pure) return {0, preset_.base, "base", false};
    const DType type = preset_type(preset_, tensor, category, counters_);
    if (category == Category::token_embd && counters_.tied && options_.output_type) {
      return {0, *options_.output_type, "--output-tensor-type", false};
    }
    return {0, type, type == preset_.base ? "base" : "preset", false};
  }

  TypeDecision given(const tensor::TensorInfo& tensor, DType type, const char* option) const {
    if (tensor.shape.cols() % tensor::info(type).block_elems != 0) {
      throw fail(ErrorKind::usage, "%s %s: the rows of '%s' have %lld elements, its blocks %d",
                 option, std::string(tensor::info(type).name).c_str(),
                 base::printable(tensor.name).c_str(), static_cast<long long>(tensor.shape.cols()),
                 tensor::info(type).block_elems);
    }
    return {0, type, option, false};
  }

  const tensor::TensorSource& source_;
  const Preset& preset_;
  const MixtureOptions& options_;
  Counters counters_;
  Rules rules_;
};

}  // namespace

std::vector<std::string> tensor_type_names() {
  std::vector<std::string> names;
  for (const codec::Codec* codec : codec::codecs()) names.emplace_back(codec->info().name);
  return names;
}

DType tensor_type_named(std::string_view name, const std::string& origin) {
  if (const std::optional<DType> type = tensor::dtype_from_name(name)) return *type;
  const auto similar = base::did_you_mean(name, tensor_type_names());
  throw fail(ErrorKind::usage, "%s: unknown type '%s'%s", origin.c_str(),
             base::printable(name).c_str(),
             similar ? ("; did you mean " + *similar + "?").c_str() : "");
}

TypeRule parse_type_rule(const std::string& text, const std::string& origin) {
  const std::string shown = base::printable(text);
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    throw fail(ErrorKind::usage, "%s '%s': REGEX=TYPE is expected", origin.c_str(), shown.c_str());
  }
  const DType type = tensor_type_named(text.substr(equals + 1), origin + " '" + shown + "'");
  std::string pattern = text.substr(0, equals);
  std::transform(pattern.begin(), pattern.end(), pattern.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return {base::Regex(pattern), type};
}

std::vector<TypeRule> read_type_rules(const std::string& path) {
  std::istringstream words(base::read_file(path, uint64_t{1} << 24));
  std::vector<TypeRule> rules;
  for (std::string word; words >> word;) {
    rules.push_back(parse_type_rule(word, base::printable(path) + ":"));
  }
  return rules;
}

std::vector<TypeDecision> decide_types(const tensor::TensorSource& source,
                                       const model::Config& config, const Preset& preset,
                                       const MixtureOptions& options) {
  if (!options.rules.empty() && !preset.quantizes()) {
    throw fail(ErrorKind::usage, "--tensor-type has no effect with %s; give a quantized type",
               std::string(preset.name).c_str());
  }
  if (options.leave_output && options.output_type) {
    throw fail(ErrorKind::usage, "--leave-output-tensor and --output-tensor-type contradict");
  }
  Decider decider(source, config, preset, options);
  std::vector<TypeDecision> decisions;
  for (const size_t index : write_order(source, options.keep_order)) {
    decisions.push_back(decider.decide(index));
  }
  decider.require_rules_used();
  return decisions;
}

int ggml_dims(const tensor::Shape& shape) {
  int dims = shape.rank();
  for (int i = 0; i < shape.rank() - 1 && shape[i] == 1; ++i) --dims;
  return std::max(dims, 1);
}

}  // namespace karat::recipe
