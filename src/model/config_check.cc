#include "model/config_check.h"

#include "base/error.h"
#include "base/text.h"

namespace karat::model {

using base::ErrorKind;
using base::fail;
using base::strf;

const ConfigKeys kHfKeys = {
    .heads = "num_attention_heads",
    .kv_heads = "num_key_value_heads",
    .head_dim = "head_dim",
    .rope_dims = "partial_rotary_factor",
    .rope_sections = "rope_parameters.mrope_section",
    .experts = "num_experts",
    .experts_used = "num_experts_per_tok",
    .key_heads = "linear_num_key_heads",
    .value_heads = "linear_num_value_heads",
    .hidden = "hidden_size",
};

const ConfigKeys kGgufKeys = {
    .heads = "qwen35moe.attention.head_count",
    .kv_heads = "qwen35moe.attention.head_count_kv",
    .head_dim = "qwen35moe.attention.key_length",
    .rope_dims = "qwen35moe.rope.dimension_count",
    .rope_sections = "qwen35moe.rope.dimension_sections",
    .experts = "qwen35moe.expert_count",
    .experts_used = "qwen35moe.expert_used_count",
    .key_heads = "qwen35moe.ssm.group_count",
    .value_heads = "qwen35moe.ssm.time_step_rank",
    .hidden = "qwen35moe.embedding_length",
};

namespace {

void require(bool holds, std::string_view where, std::string_view key,
             const std::string& complaint) {
  if (holds) return;
  throw fail(ErrorKind::bad_input, "%s: key '%.*s': %s", base::printable(where).c_str(),
             static_cast<int>(key.size()), key.data(), complaint.c_str());
}

long long ll(int64_t value) { return static_cast<long long>(value); }

}  // namespace

void check_config(const Config& c, const ConfigKeys& keys, std::string_view where) {
  require(c.heads % c.kv_heads == 0, where, keys.kv_heads,
          strf("%lld does not divide the %lld attention heads", ll(c.kv_heads), ll(c.heads)));
  require(c.value_heads % c.key_heads == 0, where, keys.key_heads,
          strf("%lld does not divide the %lld value heads", ll(c.key_heads), ll(c.value_heads)));
  require(
      c.experts_used <= c.experts, where, keys.experts_used,
      strf("%lld experts per token, but the model has %lld", ll(c.experts_used), ll(c.experts)));
  const RopeConfig& rope = c.rope;
  require(rope.dims >= 2 && rope.dims % 2 == 0 && rope.dims <= c.head_dim, where, keys.rope_dims,
          strf("%lld rotary dimensions; an even number from 2 to the head dimension %lld is needed",
               ll(rope.dims), ll(c.head_dim)));
  int64_t frequencies = 0;
  for (const int32_t section : rope.sections) {
    require(section >= 0, where, keys.rope_sections, strf("%d is negative", section));
    frequencies += section;
  }
  require(frequencies == rope.dims / 2, where, keys.rope_sections,
          strf("the sections add up to %lld frequencies, the %lld rotary dimensions have %lld",
               ll(frequencies), ll(rope.dims), ll(rope.dims / 2)));
}

}  // namespace karat::model
