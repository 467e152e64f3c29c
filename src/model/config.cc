#include "model/config.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/text.h"
#include "model/config_check.h"

namespace karat::model {

using base::Error;
using base::ErrorKind;
using base::fail;
using base::Json;
using base::printable;
using base::strf;

namespace {

// Reads the keys of one JSON object; every complaint names file and key.
class Reader {
 public:
  Reader(const Json& object, std::string_view where, std::string prefix)
      : object_(object), where_(where), prefix_(std::move(prefix)) {
    if (!object.is_object()) {
      throw fail(ErrorKind::bad_input, "%s: %s must be an object", printable(where_).c_str(),
                 prefix_.empty() ? "the file" : prefix_.c_str());
    }
  }

  const Json* find(std::string_view key) const {
    const Json* value = object_.find(key);
    return value != nullptr && !value->is_null() ? value : nullptr;
  }

  int64_t integer(std::string_view key, int64_t min, int64_t max) const {
    const Json* value = find(key);
    if (value == nullptr) {
      throw fail(ErrorKind::bad_input, "%s: key '%s' is missing", printable(where_).c_str(),
                 path(key).c_str());
    }
    return checked(*value, path(key), min, max);
  }

  int64_t integer_or(std::string_view key, int64_t otherwise, int64_t min, int64_t max) const {
    const Json* value = find(key);
    return value == nullptr ? otherwise : checked(*value, path(key), min, max);
  }

  double number_or(std::string_view key, double otherwise, double min, double max) const {
    const Json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_number() || !(value->as_double() >= min && value->as_double() <= max)) {
      throw fail(ErrorKind::bad_input, "%s: key '%s' must be a number from %g to %g, not %s",
                 printable(where_).c_str(), path(key).c_str(), min, max, shown(*value).c_str());
    }
    return value->as_double();
  }

  bool boolean_or(std::string_view key, bool otherwise) const {
    const Json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_bool()) throw wrong(key, "true or false", *value);
    return value->as_bool();
  }

  std::string text_or(std::string_view key, std::string otherwise) const {
    const Json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_string()) throw wrong(key, "a string", *value);
    return value->as_string();
  }

  const Json::Array& array(std::string_view key, const Json& value) const {
    if (!value.is_array()) throw wrong(key, "an array", value);
    return value.as_array();
  }

  int64_t checked(const Json& value, const std::string& key, int64_t min, int64_t max) const {
    if (!value.is_integer()) {
      throw fail(ErrorKind::bad_input, "%s: key '%s' must be an integer, not %s",
                 printable(where_).c_str(), key.c_str(), shown(value).c_str());
    }
    const bool fits = value.as_double() <= 9e18;
    const int64_t number = fits ? value.as_int() : std::numeric_limits<int64_t>::max();
    if (number < min || number > max) {
      throw fail(ErrorKind::bad_input, "%s: key '%s' is %s; it must be from %lld to %lld",
                 printable(where_).c_str(), key.c_str(), shown(value).c_str(),
                 static_cast<long long>(min), static_cast<long long>(max));
    }
    return number;
  }

  std::string path(std::string_view key) const {
    return prefix_.empty() ? std::string(key) : prefix_ + "." + std::string(key);
  }

  Error wrong(std::string_view key, const char* expected, const Json& value) const {
    return fail(ErrorKind::bad_input, "%s: key '%s' must be %s, not %s", printable(where_).c_str(),
                path(key).c_str(), expected, shown(value).c_str());
  }

  // For values that are well-formed but that nothing here implements.
  Error unsupported(std::string_view key, const std::string& what) const {
    return fail(ErrorKind::unsupported, "%s: key '%s': %s", printable(where_).c_str(),
                path(key).c_str(), what.c_str());
  }

  std::string_view where() const { return where_; }

 private:
  static std::string shown(const Json& value) { return printable(value.dump(), 60); }

  const Json& object_;
  std::string_view where_;
  std::string prefix_;
};

constexpr std::string_view kKnownClasses[] = {"Qwen3_5MoeForConditionalGeneration",
                                              "Qwen3_5MoeForCausalLM"};

void check_family(const Reader& top) {
  const std::string type = top.text_or("model_type", "");
  if (type.empty()) {
    throw fail(ErrorKind::bad_input, "%s: key 'model_type' is missing",
               printable(top.where()).c_str());
  }
  if (type != "qwen3_5_moe" && type != "qwen3_5_moe_text") {
    throw top.unsupported("model_type", "'" + printable(type, 60) +
                                            "' is another architecture; only qwen3_5_moe "
                                            "(Qwen3.5 and Qwen3.6 mixtures of experts) is handled");
  }
  const Json* classes = top.find("architectures");
  if (classes == nullptr) return;
  for (const Json& name : top.array("architectures", *classes)) {
    if (!name.is_string()) throw top.wrong("architectures", "an array of strings", *classes);
    bool known = false;
    for (const std::string_view candidate : kKnownClasses) known |= name.as_string() == candidate;
    if (known) return;
    throw top.unsupported("architectures",
                          "'" + printable(name.as_string(), 60) +
                              "' is not a language model of this family; Qwen3_5MoeFor"
                              "ConditionalGeneration and Qwen3_5MoeForCausalLM are handled");
  }
}

void refuse_quantized(const Reader& reader) {
  for (const char* key : {"quantization_config", "compression_config"}) {
    const Json* value = reader.find(key);
    if (value == nullptr) continue;
    std::string method;
    for (const char* name : {"quant_method", "quant_algo", "format"}) {
      const Json* found = value->find(name);
      if (method.empty() && found != nullptr && found->is_string()) method = found->as_string();
    }
    throw reader.unsupported(key, "this checkpoint is already quantized" +
                                      (method.empty() ? "" : " (" + printable(method, 60) + ")") +
                                      "; start from the original 16-bit one");
  }
}

// Values of fixed switches that would change the arithmetic.
void check_switches(const Reader& text) {
  if (const std::string act = text.text_or("hidden_act", "silu"); act != "silu") {
    throw text.unsupported("hidden_act", "'" + printable(act, 60) + "'; only silu is handled");
  }
  const std::string gate = text.text_or("output_gate_type", "swish");
  if (gate != "swish" && gate != "silu") {
    throw text.unsupported("output_gate_type",
                           "'" + printable(gate, 60) + "'; only swish is handled");
  }
  if (text.boolean_or("attention_bias", false)) {
    throw text.unsupported("attention_bias", "biases in attention are not handled");
  }
  if (!text.boolean_or("attn_output_gate", true)) {
    throw text.unsupported("attn_output_gate", "attention without an output gate is not handled");
  }
  if (!text.boolean_or("norm_topk_prob", true)) {
    throw text.unsupported("norm_topk_prob", "unnormalized router weights are not handled");
  }
  if (text.boolean_or("mtp_use_dedicated_embeddings", false)) {
    throw text.unsupported("mtp_use_dedicated_embeddings",
                           "an MTP block with embeddings of its own is not handled");
  }
}

// YaRN parameters beyond factor and original length must have the values that MODEL.md's formulas
// (and every published configuration) imply.
void check_yarn(const Reader& rope, double factor) {
  struct Fixed {
    const char* key;
    double value;
  };
  const double attention = 0.1 * std::log(factor) + 1;
  for (const Fixed& fixed :
       {Fixed{"beta_fast", 32}, Fixed{"beta_slow", 1}, Fixed{"attention_factor", attention},
        Fixed{"attn_factor", 1}, Fixed{"extrapolation_factor", 1}, Fixed{"mscale", 1},
        Fixed{"mscale_all_dim", 0}}) {
    const double found = rope.number_or(fixed.key, fixed.value, -1e9, 1e9);
    if (std::fabs(found - fixed.value) > 1e-6 * std::fabs(fixed.value)) {
      throw rope.unsupported(fixed.key, strf("%g; only %g is handled", found, fixed.value));
    }
  }
  if (!rope.boolean_or("truncate", true)) {
    throw rope.unsupported("truncate", "only true is handled");
  }
}

RopeConfig parse_rope(const Reader& text, int64_t head_dim) {
  RopeConfig out;
  const Json* found = text.find("rope_parameters");
  std::string prefix = "rope_parameters";
  if (found == nullptr) {
    found = text.find("rope_scaling");
    prefix = "rope_scaling";
  }
  const Json none = Json::object();
  const Reader rope(found == nullptr ? none : *found, text.where(), text.path(prefix));
  out.theta = rope.number_or("rope_theta", text.number_or("rope_theta", 1e7, 1, 1e15), 1, 1e15);
  const double partial = rope.number_or("partial_rotary_factor",
                                        text.number_or("partial_rotary_factor", 0.25, 0, 1), 0, 1);
  out.dims = static_cast<int64_t>(static_cast<double>(head_dim) * partial);
  if (!rope.boolean_or("mrope_interleaved", true)) {
    throw rope.unsupported("mrope_interleaved", "only interleaved sections are handled");
  }
  if (const Json* sections = rope.find("mrope_section"); sections != nullptr) {
    const Json::Array& values = rope.array("mrope_section", *sections);
    if (values.empty() || values.size() > 4) {
      throw rope.wrong("mrope_section", "an array of three numbers", *sections);
    }
    out.sections = {};
    for (size_t i = 0; i < values.size(); ++i) {
      out.sections[i] =
          static_cast<int32_t>(rope.checked(values[i], rope.path("mrope_section"), 0, kHeadDimMax));
    }
  }
  out.scaling = rope.text_or("rope_type", rope.text_or("type", "default"));
  if (out.scaling == "mrope") out.scaling = "default";
  if (out.scaling == "yarn") {
    out.factor = rope.number_or("factor", 0, 1, 1024);
    if (out.factor < 1) {
      throw fail(ErrorKind::bad_input, "%s: key '%s' is missing", printable(text.where()).c_str(),
                 rope.path("factor").c_str());
    }
    out.original_context = rope.integer("original_max_position_embeddings", 1, kContextMax);
    check_yarn(rope, out.factor);
  } else if (out.scaling != "default") {
    throw rope.unsupported("rope_type",
                           "'" + printable(out.scaling, 60) + "'; default and yarn are handled");
  }
  return out;
}

std::vector<Mixer> parse_mixers(const Reader& text, int64_t layers, int64_t interval) {
  std::vector<Mixer> mixers;
  const Json* types = text.find("layer_types");
  if (types == nullptr) {
    for (int64_t i = 0; i < layers; ++i) {
      mixers.push_back((i + 1) % interval == 0 ? Mixer::attention : Mixer::delta_net);
    }
    return mixers;
  }
  const Json::Array& names = text.array("layer_types", *types);
  if (static_cast<int64_t>(names.size()) != layers) {
    throw fail(ErrorKind::bad_input, "%s: key '%s' has %zu entries for %lld layers",
               printable(text.where()).c_str(), text.path("layer_types").c_str(), names.size(),
               static_cast<long long>(layers));
  }
  for (const Json& name : names) {
    if (name == Json("full_attention")) {
      mixers.push_back(Mixer::attention);
    } else if (name == Json("linear_attention")) {
      mixers.push_back(Mixer::delta_net);
    } else {
      throw text.wrong("layer_types", "full_attention or linear_attention in every entry", name);
    }
  }
  return mixers;
}

VisionConfig parse_vision(const Reader& vision) {
  VisionConfig out;
  out.depth = vision.integer("depth", 1, kLayersMax);
  out.hidden = vision.integer("hidden_size", 1, kWidthMax);
  out.heads = vision.integer("num_heads", 1, kHeadsMax);
  out.intermediate = vision.integer("intermediate_size", 1, kWidthMax);
  out.positions = vision.integer("num_position_embeddings", 1, kWidthMax);
  out.out_hidden = vision.integer("out_hidden_size", 1, kWidthMax);
  out.channels = vision.integer_or("in_channels", 3, 1, 16);
  out.patch = vision.integer_or("patch_size", 16, 1, 256);
  out.temporal_patch = vision.integer_or("temporal_patch_size", 2, 1, 16);
  out.merge = vision.integer_or("spatial_merge_size", 2, 1, 16);
  if (out.hidden % out.heads != 0) {
    throw vision.wrong("num_heads", "a divisor of hidden_size", Json(out.heads));
  }
  const auto side =
      static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(out.positions))));
  if (side * side != out.positions) {
    throw vision.wrong("num_position_embeddings", "a square", Json(out.positions));
  }
  if (const Json* deep = vision.find("deepstack_visual_indexes");
      deep != nullptr && !vision.array("deepstack_visual_indexes", *deep).empty()) {
    throw vision.unsupported("deepstack_visual_indexes", "deepstack features are not handled");
  }
  return out;
}

void parse_dimensions(const Reader& text, Config& c) {
  c.hidden = text.integer("hidden_size", 1, kWidthMax);
  c.vocab = text.integer("vocab_size", 1, kVocabMax);
  c.context_max = text.integer("max_position_embeddings", 1, kContextMax);
  c.rms_eps = static_cast<float>(text.number_or("rms_norm_eps", 1e-6, 1e-12, 1));
  c.heads = text.integer("num_attention_heads", 1, kHeadsMax);
  c.kv_heads = text.integer("num_key_value_heads", 1, kHeadsMax);
  c.head_dim = text.integer("head_dim", 2, kHeadDimMax);
  c.key_heads = text.integer("linear_num_key_heads", 1, kHeadsMax);
  c.value_heads = text.integer("linear_num_value_heads", 1, kHeadsMax);
  c.key_dim = text.integer("linear_key_head_dim", 1, kHeadDimMax);
  c.value_dim = text.integer("linear_value_head_dim", 1, kHeadDimMax);
  c.conv_taps = text.integer("linear_conv_kernel_dim", 1, kConvTapsMax);
  c.experts = text.integer("num_experts", 1, kExpertsMax);
  c.experts_used = text.integer("num_experts_per_tok", 1, kExpertsMax);
  c.expert_ffn = text.integer("moe_intermediate_size", 1, kWidthMax);
  c.shared_ffn = text.integer("shared_expert_intermediate_size", 1, kWidthMax);
  if (c.key_dim != c.value_dim) {
    throw text.unsupported(
        "linear_value_head_dim",
        strf("%lld differs from linear_key_head_dim %lld; GGUF has one size for "
             "both",
             static_cast<long long>(c.value_dim), static_cast<long long>(c.key_dim)));
  }
}

}  // namespace

Config config_from_hf(const Json& config, std::string_view where) {
  const Reader top(config, where, "");
  check_family(top);
  refuse_quantized(top);
  const Json* nested = top.find("text_config");
  const Reader text(nested == nullptr ? config : *nested, where,
                    nested == nullptr ? "" : "text_config");
  refuse_quantized(text);
  check_switches(text);

  Config c;
  parse_dimensions(text, c);
  c.full_attention_interval = text.integer_or("full_attention_interval", 4, 1, kLayersMax);
  c.mixers = parse_mixers(text, text.integer("num_hidden_layers", 1, kLayersMax),
                          c.full_attention_interval);
  c.mtp_layers = text.integer_or("mtp_num_hidden_layers", 0, 0, kLayersMax);
  if (c.mtp_layers > 1) {
    throw text.unsupported("mtp_num_hidden_layers", "more than one MTP block is not handled");
  }
  c.tied_embeddings =
      top.boolean_or("tie_word_embeddings", text.boolean_or("tie_word_embeddings", false));
  c.rope = parse_rope(text, c.head_dim);
  if (const Json* vision = top.find("vision_config"); vision != nullptr) {
    c.vision = parse_vision(Reader(*vision, where, "vision_config"));
    if (c.vision->out_hidden != c.hidden) {
      throw fail(ErrorKind::bad_input,
                 "%s: key 'vision_config.out_hidden_size' is %lld, but the language model's "
                 "hidden_size is %lld",
                 printable(where).c_str(), static_cast<long long>(c.vision->out_hidden),
                 static_cast<long long>(c.hidden));
    }
  }
  check_config(c, kHfKeys, where);
  return c;
}

}  // namespace karat::model
