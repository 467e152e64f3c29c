#include "recipe/mixture_rules.h"

#include <array>

#include "model/names.h"

namespace karat::recipe {

using tensor::DType;

namespace {

constexpr uint64_t set(auto... ftypes) {
  return ((uint64_t{1} << static_cast<uint32_t>(ftypes)) | ...);
}

constexpr uint64_t kAll = ~uint64_t{0};
// llama-quantize has a branch of its own for the presets below three bits.
constexpr uint64_t kTiny = set(Ftype::iq1_s, Ftype::iq1_m, Ftype::iq2_xxs, Ftype::iq2_xs);
constexpr uint64_t kSmall = set(Ftype::iq2_s, Ftype::iq2_m);
constexpr uint64_t kLow = kTiny | kSmall;
constexpr uint64_t kMedium = set(Ftype::q4_k_m, Ftype::q5_k_m);
constexpr uint64_t kIq4 = set(Ftype::iq4_nl, Ftype::iq4_xs);
constexpr uint64_t kWiderOutputOfEight =
    set(Ftype::q2_k, Ftype::iq3_xs, Ftype::iq3_xxs, Ftype::iq3_s, Ftype::iq3_m, Ftype::q3_k_s,
        Ftype::q3_k_m, Ftype::q4_k_s, Ftype::q4_k_m) |
    kIq4;

struct Rule {
  uint64_t presets;  // set()
  Category category;
  uint32_t when;  // facts that must all be true
  DType type;
};

// The first rule whose preset, category and facts are a tensor's decides.
constexpr std::array kRules = {
    Rule{set(Ftype::mxfp4_moe), Category::gate, kExpertStack, DType::mxfp4},
    Rule{set(Ftype::mxfp4_moe), Category::up, kExpertStack, DType::mxfp4},
    Rule{set(Ftype::mxfp4_moe), Category::down, kExpertStack, DType::mxfp4},

    Rule{kAll, Category::output, kOddRows, DType::q8_0},
    Rule{kLow | set(Ftype::iq3_xxs), Category::output, kAlways, DType::q5_k},
    Rule{~set(Ftype::q8_0, Ftype::mxfp4_moe), Category::output, kAlways, DType::q6_k},

    Rule{kTiny, Category::token_embd, kAlways, DType::q2_k},
    Rule{kSmall | set(Ftype::iq3_xxs), Category::token_embd, kAlways, DType::iq3_s},
    Rule{set(Ftype::tq1_0, Ftype::tq2_0, Ftype::q2_0), Category::token_embd, kAlways, DType::q4_k},

    Rule{kLow, Category::value, kFourQueriesOrExperts, DType::q4_k},
    Rule{kTiny, Category::value, kAlways, DType::q2_k},
    Rule{kSmall, Category::value, kAlways, DType::iq3_s},
    Rule{kAll, Category::value, kEightExperts, DType::q8_0},
    Rule{set(Ftype::q2_k, Ftype::q2_k_s, Ftype::iq3_xxs, Ftype::iq3_xs, Ftype::iq3_s),
         Category::value, kFourQueriesPerKey, DType::q4_k},
    Rule{set(Ftype::q2_k), Category::value, kAlways, DType::q3_k},
    Rule{set(Ftype::iq3_xxs), Category::value, kNoImatrix, DType::iq3_s},
    Rule{set(Ftype::iq3_m), Category::value, kAlways, DType::q4_k},
    Rule{set(Ftype::q3_k_m), Category::value, kFirstTwo, DType::q5_k},
    Rule{set(Ftype::q3_k_m), Category::value, kAlways, DType::q4_k},
    Rule{set(Ftype::q3_k_l), Category::value, kAlways, DType::q5_k},
    Rule{kIq4, Category::value, kFourQueriesPerKey, DType::q5_k},
    Rule{kMedium, Category::value, kMoreBits, DType::q6_k},
    Rule{set(Ftype::q4_k_s), Category::value, kFirstFour, DType::q5_k},

    Rule{kLow, Category::key, kEightExperts, DType::q4_k},
    Rule{kAll, Category::key, kEightExperts, DType::q8_0},
    Rule{set(Ftype::iq3_xs), Category::key, kAlways, DType::iq3_xxs},
    Rule{set(Ftype::iq3_xxs), Category::key, kAlways, DType::iq2_s},
    Rule{set(Ftype::iq3_xs), Category::query, kAlways, DType::iq3_xxs},
    Rule{set(Ftype::iq3_xxs), Category::query, kAlways, DType::iq2_s},

    Rule{kLow | kWiderOutputOfEight, Category::attention_output, kEightExperts, DType::q5_k},
    Rule{set(Ftype::iq1_s, Ftype::iq1_m), Category::attention_output, kOtherExperts,
         DType::iq2_xxs},
    Rule{kSmall | set(Ftype::iq3_xxs), Category::attention_output, kOtherExperts, DType::iq3_s},
    Rule{set(Ftype::q2_k), Category::attention_output, kOtherExperts, DType::q3_k},
    Rule{set(Ftype::q3_k_m, Ftype::iq3_m), Category::attention_output, kOtherExperts, DType::q4_k},
    Rule{set(Ftype::q3_k_l), Category::attention_output, kOtherExperts, DType::q5_k},

    Rule{kTiny, Category::down, kFirstDowns, DType::q2_k},
    Rule{kSmall, Category::down, kFirstDowns, DType::iq3_s},
    Rule{set(Ftype::q2_k), Category::down, kAlways, DType::q3_k},
    Rule{set(Ftype::q2_k_s, Ftype::iq3_m), Category::down, kFirstEighth, DType::q4_k},
    Rule{set(Ftype::iq3_m), Category::down, kEightExperts | kMoreBits, DType::q4_k},
    Rule{set(Ftype::iq3_xxs), Category::down, kNoImatrix | kFirstEighth, DType::q4_k},
    Rule{set(Ftype::iq3_xxs), Category::down, kNoImatrix, DType::q3_k},
    Rule{set(Ftype::q3_k_m), Category::down, kFirstSixteenth, DType::q5_k},
    Rule{set(Ftype::q3_k_m), Category::down, kAlways, DType::q4_k},
    Rule{set(Ftype::q3_k_l), Category::down, kAlways, DType::q5_k},
    Rule{kIq4, Category::down, kNoImatrix | kFirstEighth, DType::q5_k},
    Rule{kMedium, Category::down, kMoreBits, DType::q6_k},
    Rule{set(Ftype::q4_k_s), Category::down, kFirstEighth, DType::q5_k},
    // Q4_0 and Q5_0 can go astray in the first blocks under an imatrix (llama.cpp's observation).
    Rule{set(Ftype::q4_0), Category::down, kImatrix | kFirstEighth, DType::q4_1},
    Rule{set(Ftype::q5_0), Category::down, kImatrix | kFirstEighth, DType::q5_1},

    Rule{set(Ftype::iq3_xs), Category::gate, kMiddle, DType::iq3_xxs},
    Rule{set(Ftype::iq3_xs), Category::up, kMiddle, DType::iq3_xxs},
};

struct Fallback {
  DType type, instead;
};
constexpr std::array kFallbacks = {
    Fallback{DType::iq1_s, DType::iq4_nl},   Fallback{DType::iq1_m, DType::iq4_nl},
    Fallback{DType::iq2_xxs, DType::iq4_nl}, Fallback{DType::iq2_xs, DType::iq4_nl},
    Fallback{DType::iq2_s, DType::iq4_nl},   Fallback{DType::iq3_xxs, DType::iq4_nl},
    Fallback{DType::iq3_s, DType::iq4_nl},   Fallback{DType::iq4_xs, DType::iq4_nl},
    Fallback{DType::q2_0, DType::q4_0},      Fallback{DType::q2_k, DType::q4_0},
    Fallback{DType::q3_k, DType::q4_0},      Fallback{DType::tq1_0, DType::q4_0},
    Fallback{DType::tq2_0, DType::q4_0},     Fallback{DType::q4_k, DType::q5_0},
    Fallback{DType::q5_k, DType::q5_1},      Fallback{DType::q6_k, DType::q8_0},
};

struct NamePart {
  std::string_view part;
  Category category;
};
constexpr std::array kNameParts = {
    NamePart{"attn_qkv.weight", Category::value},
    NamePart{"attn_v.weight", Category::value},
    NamePart{"attn_k.weight", Category::key},
    NamePart{"attn_q.weight", Category::query},
    NamePart{"attn_output.weight", Category::attention_output},
    NamePart{"ffn_up", Category::up},
    NamePart{"ffn_gate", Category::gate},
    NamePart{"ffn_down", Category::down},
};

}  // namespace

Category category_of(std::string_view name) {
  if (name == model::kOutput) return Category::output;
  if (name == model::kTokenEmbd) return Category::token_embd;
  for (const NamePart& row : kNameParts) {
    if (name.find(row.part) != std::string_view::npos) return row.category;
  }
  return Category::other;
}

uint32_t position_facts(int64_t i, int64_t n) {
  const int64_t first = n / 8, last = 7 * n / 8;
  uint32_t facts = 0;
  if (i < 2) facts |= kFirstTwo;
  if (i < 4) facts |= kFirstFour;
  if (i < n / 16) facts |= kFirstSixteenth;
  if (i < first) facts |= kFirstEighth;
  if (i >= first && i < last) facts |= kMiddle;
  if (i < first || i >= last || (i - first) % 3 == 2) facts |= kMoreBits;
  return facts;
}

std::optional<DType> ruled_type(Ftype ftype, Category category, uint32_t facts) {
  for (const Rule& rule : kRules) {
    if ((rule.presets & set(ftype)) != 0 && rule.category == category &&
        (rule.when & ~facts) == 0) {
      return rule.type;
    }
  }
  // Whatever is not a stack of experts.
  if (ftype == Ftype::mxfp4_moe) return DType::q8_0;
  return std::nullopt;
}

std::optional<DType> fitting_type(DType type, int64_t cols) {
  const auto fits = [&](DType candidate) {
    return cols % tensor::info(candidate).block_elems == 0;
  };
  if (fits(type)) return type;
  for (const Fallback& row : kFallbacks) {
    if (row.type == type) return fits(row.instead) ? row.instead : DType::f16;
  }
  return std::nullopt;
}

bool requires_imatrix(Category category, DType type, Ftype ftype) {
  if (category == Category::output || category == Category::token_embd) return false;
  switch (type) {
    case DType::iq1_s:
    case DType::iq1_m:
    case DType::iq2_xxs:
    case DType::iq2_xs:
    case DType::iq2_s:
    case DType::iq3_xxs:
      return true;
    case DType::q2_k:
      return ftype == Ftype::q2_k_s;
    default:
      return false;
  }
}

}  // namespace karat::recipe
