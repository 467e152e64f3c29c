#include <cmath>
#include <string>

#include "base/error.h"
#include "base/text.h"
#include "model/config.h"
#include "model/config_check.h"

namespace karat::model {

using base::ErrorKind;
using base::fail;
using base::printable;
using format::Metadata;

namespace {

constexpr std::string_view kPrefix = "qwen35moe.";

// Reads "qwen35moe.NAME" keys; the metadata's own errors name the file already.
class Reader {
 public:
  Reader(const Metadata& metadata, std::string_view where) : metadata_(metadata), where_(where) {}

  static std::string key(std::string_view name) { return std::string(kPrefix) + std::string(name); }
  bool has(std::string_view name) const { return metadata_.has(key(name)); }

  int64_t integer(std::string_view name, int64_t min, int64_t max) const {
    return checked(name, metadata_.get_int(key(name)), min, max);
  }
  int64_t integer_or(std::string_view name, int64_t otherwise, int64_t min, int64_t max) const {
    return has(name) ? integer(name, min, max) : otherwise;
  }

  // Some writers store one value per layer where the family has the same for all.
  int64_t same_for_all(std::string_view name, int64_t min, int64_t max) const {
    const format::Value& value = metadata_.at(key(name));
    if (!std::holds_alternative<format::Array>(value.data())) return integer(name, min, max);
    int64_t out = 0;
    for (const int64_t entry : metadata_.get_ints(key(name))) {
      if (entry == 0) continue;  // a layer without attention
      if (out != 0 && entry != out) {
        throw fail(ErrorKind::unsupported, "%s: key '%s' differs between layers",
                   printable(where_).c_str(), key(name).c_str());
      }
      out = entry;
    }
    return checked(name, out, min, max);
  }

  double real(std::string_view name, double otherwise, double min, double max) const {
    const double value = metadata_.get_real(key(name), otherwise);
    if (!(value >= min && value <= max)) {
      throw fail(ErrorKind::bad_input, "%s: key '%s' is %g; it must be from %g to %g",
                 printable(where_).c_str(), key(name).c_str(), value, min, max);
    }
    return value;
  }

  int64_t checked(std::string_view name, int64_t value, int64_t min, int64_t max) const {
    if (value >= min && value <= max) return value;
    throw fail(ErrorKind::bad_input, "%s: key '%s' is %lld; it must be from %lld to %lld",
               printable(where_).c_str(), key(name).c_str(), static_cast<long long>(value),
               static_cast<long long>(min), static_cast<long long>(max));
  }

  void require_equal(std::string_view name, int64_t value, std::string_view other,
                     int64_t expected) const {
    if (value == expected) return;
    throw fail(ErrorKind::bad_input, "%s: key '%s' is %lld, but by '%s' it should be %lld",
               printable(where_).c_str(), key(name).c_str(), static_cast<long long>(value),
               key(other).c_str(), static_cast<long long>(expected));
  }

  const Metadata& metadata() const { return metadata_; }
  std::string_view where() const { return where_; }

 private:
  const Metadata& metadata_;
  std::string_view where_;
};

void check_architecture(const Metadata& metadata, std::string_view where) {
  const std::string& name = metadata.get_string("general.architecture");
  if (name == "qwen35moe") return;
  if (name == "clip") {
    throw fail(ErrorKind::unsupported,
               "%s: this is a vision file (architecture clip); give the language model's file",
               printable(where).c_str());
  }
  throw fail(ErrorKind::unsupported,
             "%s: architecture '%s' is not handled; only qwen35moe (Qwen3.5 and Qwen3.6 mixtures "
             "of experts) is",
             printable(where).c_str(), printable(name, 60).c_str());
}

RopeConfig read_rope(const Reader& in) {
  RopeConfig rope;
  rope.dims = in.integer("rope.dimension_count", 0, kHeadDimMax);
  rope.theta = in.real("rope.freq_base", 1e7, 1, 1e15);
  const std::vector<int64_t> sections =
      in.metadata().get_ints(Reader::key("rope.dimension_sections"));
  if (sections.empty() || sections.size() > rope.sections.size()) {
    throw fail(ErrorKind::bad_input, "%s: key '%s' has %zu entries, 4 are expected",
               printable(in.where()).c_str(), Reader::key("rope.dimension_sections").c_str(),
               sections.size());
  }
  rope.sections = {};
  for (size_t i = 0; i < sections.size(); ++i) {
    rope.sections[i] =
        static_cast<int32_t>(in.checked("rope.dimension_sections", sections[i], 0, kHeadDimMax));
  }
  const std::string scaling = in.metadata().get_string(Reader::key("rope.scaling.type"), "none");
  if (scaling == "yarn") {
    rope.scaling = "yarn";
    rope.factor = in.real("rope.scaling.factor", 0, 1, 1024);
    rope.original_context = in.integer("rope.scaling.original_context_length", 1, kContextMax);
    struct Fixed {
      std::string_view name;
      double value;
    };
    for (const Fixed& fixed :
         {Fixed{"rope.scaling.yarn_ext_factor", 1}, Fixed{"rope.scaling.yarn_attn_factor", 1},
          Fixed{"rope.scaling.attn_factor", 1}, Fixed{"rope.scaling.yarn_beta_fast", 32},
          Fixed{"rope.scaling.yarn_beta_slow", 1}}) {
      const double found = in.real(fixed.name, fixed.value, -1e9, 1e9);
      if (std::fabs(found - fixed.value) > 1e-6) {
        throw fail(ErrorKind::unsupported, "%s: key '%s' is %g; only %g is handled",
                   printable(in.where()).c_str(), Reader::key(fixed.name).c_str(), found,
                   fixed.value);
      }
    }
  } else if (scaling != "none") {
    throw fail(ErrorKind::unsupported, "%s: key '%s': '%s' is not handled; none and yarn are",
               printable(in.where()).c_str(), Reader::key("rope.scaling.type").c_str(),
               printable(scaling, 60).c_str());
  }
  return rope;
}

// Trunk layers by full_attention_interval, or by the optional list of recurrent layers.
std::vector<Mixer> read_mixers(const Reader& in, int64_t layers, int64_t blocks, int64_t interval) {
  std::vector<Mixer> mixers;
  const char* list = "attention.recurrent_layers";
  if (!in.has(list)) {
    for (int64_t i = 0; i < layers; ++i) {
      mixers.push_back((i + 1) % interval == 0 ? Mixer::attention : Mixer::delta_net);
    }
    return mixers;
  }
  const std::vector<bool>& recurrent = in.metadata().get_array<bool>(Reader::key(list));
  const auto count = static_cast<int64_t>(recurrent.size());
  if (count != layers && count != blocks) {
    throw fail(ErrorKind::bad_input, "%s: key '%s' has %lld entries for %lld blocks",
               printable(in.where()).c_str(), Reader::key(list).c_str(),
               static_cast<long long>(count), static_cast<long long>(blocks));
  }
  for (int64_t i = 0; i < layers; ++i) {
    mixers.push_back(recurrent[static_cast<size_t>(i)] ? Mixer::delta_net : Mixer::attention);
  }
  return mixers;
}

void read_delta_net(const Reader& in, Config& c) {
  c.key_heads = in.integer("ssm.group_count", 1, kHeadsMax);
  c.value_heads = in.integer("ssm.time_step_rank", 1, kHeadsMax);
  c.key_dim = c.value_dim = in.integer("ssm.state_size", 1, kHeadDimMax);
  c.conv_taps = in.integer("ssm.conv_kernel", 1, kConvTapsMax);
  in.require_equal("ssm.inner_size", in.integer("ssm.inner_size", 1, kHeadsMax * kHeadDimMax),
                   "ssm.time_step_rank", c.value_width());
}

}  // namespace

Config config_from_gguf(const Metadata& metadata, std::string_view where) {
  check_architecture(metadata, where);
  const Reader in(metadata, where);
  Config c;
  c.hidden = in.integer("embedding_length", 1, kWidthMax);
  c.context_max = in.integer("context_length", 1, kContextMax);
  c.rms_eps = static_cast<float>(in.real("attention.layer_norm_rms_epsilon", 1e-6, 1e-12, 1));
  const int64_t blocks = in.integer("block_count", 1, kLayersMax + 1);
  c.mtp_layers = in.integer_or("nextn_predict_layers", 0, 0, kLayersMax);
  if (c.mtp_layers > 1) {
    throw fail(ErrorKind::unsupported, "%s: key '%s': more than one MTP block is not handled",
               printable(where).c_str(), Reader::key("nextn_predict_layers").c_str());
  }
  if (blocks <= c.mtp_layers) {
    throw fail(ErrorKind::bad_input,
               "%s: key '%s' is %lld, which leaves no layer beside the MTP block",
               printable(where).c_str(), Reader::key("block_count").c_str(),
               static_cast<long long>(blocks));
  }
  c.full_attention_interval = in.integer_or("full_attention_interval", 4, 1, kLayersMax);
  c.mixers = read_mixers(in, blocks - c.mtp_layers, blocks, c.full_attention_interval);
  c.heads = in.same_for_all("attention.head_count", 1, kHeadsMax);
  c.kv_heads = in.same_for_all("attention.head_count_kv", 1, kHeadsMax);
  c.head_dim = in.integer("attention.key_length", 2, kHeadDimMax);
  in.require_equal("attention.value_length", in.integer("attention.value_length", 1, kHeadDimMax),
                   "attention.key_length", c.head_dim);
  c.rope = read_rope(in);
  read_delta_net(in, c);
  c.experts = in.integer("expert_count", 1, kExpertsMax);
  c.experts_used = in.integer("expert_used_count", 1, kExpertsMax);
  c.expert_ffn = in.integer("expert_feed_forward_length", 1, kWidthMax);
  c.shared_ffn = in.integer("expert_shared_feed_forward_length", 1, kWidthMax);
  if (in.has("vocab_size")) {
    c.vocab = in.integer("vocab_size", 1, kVocabMax);
  } else if (metadata.has("tokenizer.ggml.tokens")) {
    c.vocab = static_cast<int64_t>(metadata.get_array<std::string>("tokenizer.ggml.tokens").size());
  }
  check_config(c, kGgufKeys, where);
  return c;
}

}  // namespace karat::model
