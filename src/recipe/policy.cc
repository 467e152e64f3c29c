#include "recipe/policy.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/text.h"
#include "base/toml.h"
#include "model/names.h"
#include "recipe/mixture_rules.h"

namespace karat::recipe {

using base::ErrorKind;
using base::fail;
using base::TomlTable;
using tensor::DType;

namespace {

constexpr int64_t kSchema = 1;

constexpr std::string_view kDefault = R"(schema = 1
# What stock llama.cpp loads and computes with on every backend.
types = ["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "Q2_K", "IQ3_XXS", "IQ3_S", "Q3_K",
         "IQ4_XS", "IQ4_NL", "Q4_0", "Q4_1", "Q4_K", "Q5_0", "Q5_1", "Q5_K", "Q6_K", "Q8_0", "BF16"]

# They drive the recurrent state and are small.
[[rule]]
match = "ssm_(alpha|beta)\\.weight$"
types = ["Q8_0", "BF16"]

[[rule]]
match = "ssm_out\\.weight$"
floor = "Q6_K"
share = 0.02

[[rule]]
match = "^blk\\.[0-3]\\.attn_(qkv|q|k|v)\\.weight$"
floor = "Q4_K"
share = 0.02

[[rule]]
match = "^output\\.weight$"
floor = "IQ4_XS"
share = 0.1

[[rule]]
match = "^token_embd\\.weight$"
floor = "Q3_K"
share = 0.1
)";

double bits_of(DType type) {
  const tensor::DTypeInfo& info = tensor::info(type);
  return 8.0 * info.block_bytes / info.block_elems;
}

DType type_of(const TomlTable& table, const std::string& key, const std::string& name) {
  if (const auto type = tensor::dtype_from_name(name)) return *type;
  throw table.error(key, "'" + base::printable(name) + "' is no type");
}

std::vector<DType> types_of(TomlTable& table, const std::string& key) {
  std::vector<DType> types;
  for (const std::string& name : table.texts(key)) types.push_back(type_of(table, key, name));
  return types;
}

PolicyRule rule_of(TomlTable& table, bool built_in) {
  PolicyRule rule{base::Regex(table.text_at("match")), types_of(table, "types")};
  rule.built_in = built_in;
  if (const auto name = table.text("type")) rule.fixed = type_of(table, "type", *name);
  if (const auto name = table.text("floor")) rule.floor = type_of(table, "floor", *name);
  const auto share = table.number("share");
  if (share && !rule.floor) throw table.error("share", "belongs to a floor");
  if (share && !(*share > 0 && *share <= 1)) throw table.error("share", "0 to 1 is expected");
  rule.share = share;
  if (rule.fixed && (rule.floor || !rule.types.empty())) {
    throw table.error("type", "leaves nothing to choose; leave 'types' and 'floor' out");
  }
  table.require_all_read();
  return rule;
}

PolicyGroup group_of(TomlTable& table) {
  PolicyGroup group{base::Regex(table.text_at("match"))};
  const std::string by = table.text("by").value_or("layer");
  if (by != "layer" && by != "all") throw table.error("by", "'layer' or 'all' is expected");
  group.per_layer = by == "layer";
  table.require_all_read();
  return group;
}

bool needs_statistics(const tensor::TensorInfo& tensor, DType type) {
  switch (type) {  // garbage without; for these two tensors, too, of which there may be none
    case DType::iq1_s:
    case DType::iq1_m:
    case DType::iq2_xxs:
    case DType::iq2_xs:
    case DType::iq2_s:
    case DType::iq3_xxs:
      return true;
    default:
      return requires_imatrix(category_of(tensor.name), type, Ftype::q4_k_m);
  }
}

// Whether a rule's floor can be paid for.
bool floor_holds(const PolicyRule& rule, const tensor::TensorSource& source,
                 const std::vector<size_t>& tensors, uint64_t budget) {
  if (!rule.share) return true;
  double bytes = 0;
  for (const size_t index : tensors) {
    const tensor::TensorInfo& info = source.tensors()[index];
    if (!rule.pattern.found_in(info.name)) continue;
    bytes += static_cast<double>(info.shape.elements()) * bits_of(*rule.floor) / 8;
  }
  return bytes <= *rule.share * static_cast<double>(budget);
}

std::string shown(const base::Regex& pattern) { return base::printable(pattern.pattern()); }

// The candidates by the rules, and which rules matched.
class RuleChoice {
 public:
  RuleChoice(const Policy& policy, const tensor::TensorSource& source,
             const std::vector<size_t>& tensors, uint64_t budget)
      : policy_(policy), source_(source), matched_(policy.rules.size()) {
    for (const PolicyRule& rule : policy.rules) {
      floors_.push_back(rule.floor && floor_holds(rule, source, tensors, budget));
    }
  }

  Candidates decide(size_t index, bool weighted) {
    const tensor::TensorInfo& info = source_.tensors()[index];
    Candidates out{index, {}, "plan"};
    std::vector<DType> types = policy_.types;
    double floor = 0;
    for (size_t i = 0; i < policy_.rules.size(); ++i) {
      const PolicyRule& rule = policy_.rules[i];
      if (!rule.pattern.found_in(info.name)) continue;
      matched_[i] = true;
      if (out.decided_by != "plan") continue;
      out.decided_by = "recipe";
      if (!rule.types.empty()) types = rule.types;
      if (rule.fixed) types = {*rule.fixed};
      if (floors_[i]) floor = bits_of(*rule.floor);
    }
    for (const DType type : types) {
      const bool fits = info.shape.cols() % tensor::info(type).block_elems == 0;
      if (!fits || bits_of(type) < floor || (!weighted && needs_statistics(info, type))) continue;
      out.types.push_back(type);
    }
    if (out.types.empty() && floor == 0) out.types = fallback(info, types);
    if (out.types.empty()) {
      throw fail(ErrorKind::usage, "the recipe leaves no type for '%s'",
                 base::printable(info.name).c_str());
    }
    if (out.types.size() > 1) out.decided_by = "plan";
    return out;
  }

  void require_all_matched() const {
    for (size_t i = 0; i < matched_.size(); ++i) {
      if (matched_[i] || policy_.rules[i].built_in) continue;
      throw fail(ErrorKind::usage, "the recipe's rule '%s' matches no tensor that can be quantized",
                 shown(policy_.rules[i].pattern).c_str());
    }
  }

 private:
  // Where no type's blocks fill the rows: what llama-quantize takes instead.
  static std::vector<DType> fallback(const tensor::TensorInfo& info,
                                     const std::vector<DType>& types) {
    std::vector<DType> out;
    for (const DType type : types) {
      const auto fitting = fitting_type(type, info.shape.cols());
      const bool had = !fitting || std::find(out.begin(), out.end(), *fitting) != out.end();
      if (!had) out.push_back(*fitting);
    }
    return out;
  }

  const Policy& policy_;
  const tensor::TensorSource& source_;
  std::vector<bool> matched_, floors_;
};

// Numbers the groups and leaves their tensors the types that all of them may have.
void join_groups(const Policy& policy, const tensor::TensorSource& source,
                 std::vector<Candidates>& all) {
  std::map<std::pair<size_t, int64_t>, std::vector<Candidates*>> groups;
  for (size_t g = 0; g < policy.groups.size(); ++g) {
    const PolicyGroup& group = policy.groups[g];
    bool matched = false;
    for (Candidates& candidates : all) {
      const std::string& name = source.tensors()[candidates.tensor].name;
      if (!group.pattern.found_in(name)) continue;
      matched = true;
      if (candidates.group >= 0) {
        throw fail(ErrorKind::usage, "the recipe puts '%s' into two groups",
                   base::printable(name).c_str());
      }
      candidates.group = 0;
      groups[{g, group.per_layer ? model::layer_of(name) : -1}].push_back(&candidates);
    }
    if (!matched) {
      throw fail(ErrorKind::usage,
                 "the recipe's group '%s' matches no tensor that can be quantized",
                 shown(group.pattern).c_str());
    }
  }
  int64_t number = 0;
  for (auto& [key, members] : groups) {
    std::vector<DType> common = members[0]->types;
    for (const Candidates* member : members) {
      std::erase_if(common, [&](DType type) {
        return std::find(member->types.begin(), member->types.end(), type) == member->types.end();
      });
    }
    if (common.empty()) {
      throw fail(ErrorKind::usage, "the tensors of the recipe's group '%s' have no type in common",
                 shown(policy.groups[key.first].pattern).c_str());
    }
    for (Candidates* member : members) member->types = common, member->group = number;
    ++number;
  }
}

Policy parse(std::string_view text, const std::string& name, bool built_in) {
  TomlTable table = TomlTable::parse(text, name);
  if (table.integer_at("schema") != kSchema) throw table.error("schema", "1 is expected");
  Policy policy;
  policy.types = types_of(table, "types");
  const bool defaults = table.flag("defaults").value_or(true);
  for (TomlTable& rule : table.tables("rule")) policy.rules.push_back(rule_of(rule, built_in));
  for (TomlTable& group : table.tables("group")) policy.groups.push_back(group_of(group));
  table.require_all_read();
  if (built_in) return policy;
  Policy standard = default_policy();
  if (policy.types.empty()) policy.types = standard.types;
  if (defaults) {
    for (PolicyRule& rule : standard.rules) policy.rules.push_back(std::move(rule));
  }
  return policy;
}

}  // namespace

std::string_view default_recipe() { return kDefault; }

Policy default_policy() { return parse(kDefault, "the default recipe", true); }

Policy parse_policy(std::string_view text, const std::string& name) {
  return parse(text, name, false);
}

std::vector<Candidates> candidates_of(const Policy& policy, const tensor::TensorSource& source,
                                      const std::vector<size_t>& tensors,
                                      const std::vector<bool>& weighted, uint64_t budget) {
  RuleChoice choice(policy, source, tensors, budget);
  std::vector<Candidates> all;
  for (size_t i = 0; i < tensors.size(); ++i) {
    all.push_back(choice.decide(tensors[i], weighted[i]));
  }
  choice.require_all_matched();
  join_groups(policy, source, all);
  return all;
}

}  // namespace karat::recipe
