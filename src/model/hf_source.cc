#include "model/hf_source.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "model/hf_names.h"
#include "model/mapped_source.h"
#include "model/names.h"

namespace karat::model {

using base::ErrorKind;
using base::fail;
using base::printable;
using tensor::DType;
using tensor::Shape;
using tensor::TensorInfo;
using tensor::TensorSource;

namespace {

// Collects recipes and remembers which stored tensors they use.
class Builder {
 public:
  Builder(const TensorSource& raw, const Config& config, std::string_view where)
      : raw_(raw), config_(config), where_(printable(where)) {}

  // The first prefix under which `name` exists, or null.
  const std::string_view* prefix_of(std::span<const std::string_view> prefixes,
                                    std::string_view name) const {
    for (const std::string_view& prefix : prefixes) {
      if (raw_.find(std::string(prefix) + std::string(name)) != nullptr) return &prefix;
    }
    return nullptr;
  }

  void add(const TensorRule& rule, const std::string& canonical_prefix,
           const std::string& hf_prefix) {
    Recipe recipe;
    recipe.info.name = canonical_prefix + std::string(rule.canonical);
    recipe.info.shape = rule.shape;
    recipe.fold = rule.fold;
    const std::string hf_name = hf_prefix + std::string(rule.hf);
    if (rule.experts == ExpertPart::none) {
      const TensorInfo& piece = take(hf_name, rule.hf_shape);
      recipe.stored = piece.dtype;
      const int64_t rows = rule.shape.rows();
      recipe.segments.push_back({{&piece}, rows, 0, rows});
      set_heads(rule, recipe);
    } else {
      add_experts(rule, hf_name, recipe);
    }
    finish(std::move(recipe));
  }

  // Slice `frame` of a convolution kernel over time: [out, in, frames, h, w] -> [out, in, h, w].
  void add_frame(const TensorRule& rule, const std::string& canonical, const std::string& hf_name,
                 int64_t frame) {
    const TensorInfo& piece = take(hf_name, rule.hf_shape);
    const int64_t height = rule.shape[2], frames = rule.hf_shape[2];
    Recipe recipe;
    recipe.info.name = canonical;
    recipe.info.shape = rule.shape;
    recipe.stored = piece.dtype;
    recipe.segments.push_back({{&piece}, height, frame * height, frames * height});
    finish(std::move(recipe));
  }

  const std::unordered_set<const TensorInfo*>& used() const { return used_; }
  std::vector<Recipe> take_recipes() { return std::move(recipes_); }

 private:
  const TensorInfo& take(const std::string& name, const Shape& expected) {
    const TensorInfo* info = raw_.find(name);
    if (info == nullptr) {
      throw fail(ErrorKind::bad_input,
                 "%s: tensor '%s' is missing, although the configuration asks for it",
                 where_.c_str(), printable(name).c_str());
    }
    if (!(info->shape == expected)) {
      throw fail(ErrorKind::bad_input,
                 "%s: tensor '%s' has shape %s, but by the configuration it should be %s",
                 where_.c_str(), printable(name).c_str(), info->shape.str().c_str(),
                 expected.str().c_str());
    }
    if (info->dtype != DType::f32 && info->dtype != DType::f16 && info->dtype != DType::bf16) {
      throw fail(ErrorKind::unsupported,
                 "%s: tensor '%s' has type %s; weights must be F32, F16 or BF16", where_.c_str(),
                 printable(name).c_str(), std::string(tensor::info(info->dtype).name).c_str());
    }
    used_.insert(info);
    return *info;
  }

  void set_heads(const TensorRule& rule, Recipe& recipe) const {
    if (rule.heads == ValueHeads::none) return;
    HeadPermutation heads{0, config_.key_heads, config_.value_heads / config_.key_heads, 0};
    const int64_t axis = rule.heads == ValueHeads::columns ? rule.shape.cols() : rule.shape.rows();
    if (rule.heads == ValueHeads::rows_after_keys) heads.begin = 2 * config_.key_width();
    heads.dim = (axis - heads.begin) / config_.value_heads;
    (rule.heads == ValueHeads::columns ? recipe.column_heads : recipe.row_heads) = heads;
  }

  void add_experts(const TensorRule& rule, const std::string& fused_name, Recipe& recipe) {
    const int64_t per_expert = rule.shape[1];
    for (const std::string& name : {fused_name, fused_name + ".weight"}) {
      if (raw_.find(name) == nullptr) continue;
      const TensorInfo& piece = take(name, rule.hf_shape);
      recipe.stored = piece.dtype;
      const int64_t offset = rule.experts == ExpertPart::up ? per_expert : 0;
      recipe.segments.push_back({{&piece}, per_expert, offset, rule.hf_shape[1]});
      return;
    }
    const std::string base = fused_name.substr(0, fused_name.rfind('.') + 1);
    switch (rule.experts) {
      case ExpertPart::down:
        add_split(base, "down_proj", rule.shape, per_expert, recipe);
        break;
      case ExpertPart::gate:
        add_split(base, "gate_proj", rule.shape, per_expert, recipe);
        break;
      case ExpertPart::up:
        add_split(base, "up_proj", rule.shape, per_expert, recipe);
        break;
      default:
        add_split(base, "gate_proj", rule.shape, per_expert / 2, recipe);
        add_split(base, "up_proj", rule.shape, per_expert / 2, recipe);
    }
  }

  void add_split(const std::string& base, const char* matrix, const Shape& shape, int64_t rows,
                 Recipe& recipe) {
    Recipe::Segment segment;
    segment.rows = rows;
    for (int64_t e = 0; e < shape[0]; ++e) {
      const TensorInfo& piece =
          take(base + std::to_string(e) + "." + matrix + ".weight", {rows, shape.cols()});
      const bool first = recipe.segments.empty() && segment.pieces.empty();
      if (first) recipe.stored = piece.dtype;
      if (piece.dtype != recipe.stored) {
        throw fail(ErrorKind::unsupported,
                   "%s: tensor '%s' has another type than expert 0's; all experts of a layer must "
                   "have one type",
                   where_.c_str(), printable(piece.name).c_str());
      }
      segment.pieces.push_back(&piece);
    }
    recipe.segments.push_back(std::move(segment));
  }

  void finish(Recipe recipe) {
    recipe.info.dtype =
        always_f32(recipe.info.name, recipe.info.shape) ? DType::f32 : recipe.stored;
    recipes_.push_back(std::move(recipe));
  }

  const TensorSource& raw_;
  const Config& config_;
  std::string where_;
  std::vector<Recipe> recipes_;
  std::unordered_set<const TensorInfo*> used_;
};

void refuse_quantized(const TensorSource& raw, std::string_view where) {
  for (const TensorInfo& info : raw.tensors()) {
    if (!is_quantization_companion(info.name)) continue;
    throw fail(ErrorKind::unsupported,
               "%s: tensor '%s' belongs to weights that are already quantized; start from the "
               "original 16-bit checkpoint",
               printable(where).c_str(), printable(info.name).c_str());
  }
}

bool has_any_prefix(std::string_view name, std::span<const std::string_view> prefixes) {
  for (const std::string_view prefix : prefixes) {
    if (base::starts_with(name, prefix)) return true;
  }
  return false;
}

// The number after `prefix` in "PREFIX12.rest", or -1.
int64_t index_after(std::string_view name, std::string_view prefix) {
  if (!base::starts_with(name, prefix)) return -1;
  name.remove_prefix(prefix.size());
  int64_t index = -1;
  std::from_chars(name.data(), name.data() + name.size(), index);
  return index;
}

// Tensors that nothing asked for: an error if they show that the configuration describes a smaller
// model, one warning otherwise.
void check_leftovers(const TensorSource& raw, const std::unordered_set<const TensorInfo*>& used,
                     const Config& config, std::string_view text_prefix, std::string_view where) {
  int64_t count = 0;
  std::string first;
  for (const TensorInfo& info : raw.tensors()) {
    if (used.contains(&info)) continue;
    if (config.vision && has_any_prefix(info.name, kVisionPrefixes)) continue;
    const int64_t layer = index_after(info.name, std::string(text_prefix) + "layers.");
    const char* key = layer >= config.layers() ? "num_hidden_layers" : nullptr;
    const size_t experts = info.name.find("mlp.experts.");
    if (key == nullptr && layer >= 0 && experts != std::string::npos &&
        index_after(std::string_view(info.name).substr(experts), "mlp.experts.") >=
            config.experts) {
      key = "num_experts";
    }
    if (key != nullptr) {
      throw fail(
          ErrorKind::bad_input, "%s: tensor '%s' contradicts the configuration's '%s' %lld",
          printable(where).c_str(), printable(info.name).c_str(), key,
          static_cast<long long>(layer >= config.layers() ? config.layers() : config.experts));
    }
    if (count++ == 0) first = info.name;
  }
  if (count == 0) return;
  base::warn(
      "%s: %lld tensor%s left out because nothing in the architecture or configuration uses %s "
      "(the first is '%s')",
      printable(where).c_str(), static_cast<long long>(count), count == 1 ? "" : "s",
      count == 1 ? "it" : "them", printable(first).c_str());
}

void add_block(Builder& builder, const Config& config, Mixer mixer, int64_t layer,
               const std::string& hf_prefix, const HfOptions& options) {
  for (const TensorRule& rule : block_rules(config, mixer, options.gate_up == GateUp::fused)) {
    builder.add(rule, block_name(layer, ""), hf_prefix);
  }
}

void add_mtp(Builder& builder, const Config& config, const std::string& prefix,
             const HfOptions& options) {
  const int64_t layer = config.layers();
  for (const TensorRule& rule : mtp_rules_before(config)) {
    builder.add(rule, block_name(layer, ""), prefix);
  }
  add_block(builder, config, Mixer::attention, layer, prefix + "layers.0.", options);
  for (const TensorRule& rule : mtp_rules_after(config)) {
    builder.add(rule, block_name(layer, ""), prefix);
  }
}

}  // namespace

std::unique_ptr<TensorSource> make_hf_source(std::shared_ptr<const TensorSource> raw,
                                             Config& config, std::string_view where,
                                             const HfOptions& options) {
  refuse_quantized(*raw, where);
  Builder builder(*raw, config, where);
  const std::string_view* text = builder.prefix_of(kTextPrefixes, token_embd_rule(config).hf);
  const std::string prefix(text == nullptr ? kTextPrefixes[0] : *text);
  const std::string_view* mtp = builder.prefix_of(kMtpPrefixes, "fc.weight");
  const bool mtp_lost = mtp == nullptr && config.mtp_layers > 0;
  if (mtp_lost) config.mtp_layers = 0;

  if (!config.tied_embeddings) builder.add(output_rule(config), "", "");
  builder.add(token_embd_rule(config), "", prefix);
  for (int64_t layer = 0; layer < config.layers(); ++layer) {
    add_block(builder, config, config.mixers[static_cast<size_t>(layer)], layer,
              prefix + "layers." + std::to_string(layer) + ".", options);
  }
  builder.add(output_norm_rule(config), "", prefix);
  if (config.mtp_layers > 0) add_mtp(builder, config, std::string(*mtp), options);
  check_leftovers(*raw, builder.used(), config, prefix, where);
  if (mtp_lost) {
    base::warn(
        "%s: the configuration announces an MTP block, but there are no mtp.* tensors (they "
        "are lost when a model is saved through transformers); going on without",
        printable(where).c_str());
  }
  return std::make_unique<MappedSource>(std::move(raw), builder.take_recipes());
}

std::unique_ptr<TensorSource> make_vision_source(std::shared_ptr<const TensorSource> raw,
                                                 const Config& config, std::string_view where) {
  if (!config.vision) {
    throw fail(ErrorKind::bad_input, "%s: this checkpoint has no vision_config, so no vision file",
               printable(where).c_str());
  }
  if (config.vision->temporal_patch != 2) {
    throw fail(ErrorKind::unsupported,
               "%s: key 'vision_config.temporal_patch_size' is %lld; vision files hold two frames",
               printable(where).c_str(), static_cast<long long>(config.vision->temporal_patch));
  }
  refuse_quantized(*raw, where);
  Builder builder(*raw, config, where);
  const std::vector<TensorRule> embedding = vision_embedding_rules(config);
  const std::string_view* found = builder.prefix_of(kVisionPrefixes, embedding[0].hf);
  const std::string prefix(found == nullptr ? kVisionPrefixes[0] : *found);
  for (int64_t n = 0; n < config.vision->depth; ++n) {
    for (const TensorRule& rule : vision_block_rules(config)) {
      builder.add(rule, "v.blk." + std::to_string(n) + ".",
                  prefix + "blocks." + std::to_string(n) + ".");
    }
  }
  for (const TensorRule& rule : vision_merger_rules(config)) builder.add(rule, "", prefix);
  for (const TensorRule& rule : embedding) {
    if (rule.hf_shape.rank() != 5) {
      builder.add(rule, "", prefix);
      continue;
    }
    const std::string name(rule.canonical), hf_name = prefix + std::string(rule.hf);
    builder.add_frame(rule, name, hf_name, 0);
    builder.add_frame(rule, name + ".1", hf_name, 1);
  }
  return std::make_unique<MappedSource>(std::move(raw), builder.take_recipes());
}

}  // namespace karat::model
