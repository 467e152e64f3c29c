#include "recipe/presets.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/text.h"

namespace karat::recipe {

using tensor::DType;

namespace {

constexpr std::array kPresets = {
    Preset{"Q1_0", Ftype::q1_0, DType::q1_0},
    Preset{"IQ1_S", Ftype::iq1_s, DType::iq1_s},
    Preset{"IQ1_M", Ftype::iq1_m, DType::iq1_m},
    Preset{"TQ1_0", Ftype::tq1_0, DType::tq1_0},
    Preset{"TQ2_0", Ftype::tq2_0, DType::tq2_0},
    Preset{"IQ2_XXS", Ftype::iq2_xxs, DType::iq2_xxs},
    Preset{"Q2_0", Ftype::q2_0, DType::q2_0},
    Preset{"IQ2_XS", Ftype::iq2_xs, DType::iq2_xs},
    Preset{"IQ2_S", Ftype::iq2_s, DType::iq2_xs},
    Preset{"IQ2_M", Ftype::iq2_m, DType::iq2_s},
    Preset{"Q2_K_S", Ftype::q2_k_s, DType::q2_k},
    Preset{"Q2_K", Ftype::q2_k, DType::q2_k},
    Preset{"IQ3_XXS", Ftype::iq3_xxs, DType::iq3_xxs},
    Preset{"IQ3_XS", Ftype::iq3_xs, DType::iq3_s},
    Preset{"Q3_K_S", Ftype::q3_k_s, DType::q3_k},
    Preset{"IQ3_S", Ftype::iq3_s, DType::iq3_s},
    Preset{"IQ3_M", Ftype::iq3_m, DType::iq3_s},
    Preset{"Q3_K_M", Ftype::q3_k_m, DType::q3_k},
    Preset{"Q3_K_L", Ftype::q3_k_l, DType::q3_k},
    Preset{"IQ4_XS", Ftype::iq4_xs, DType::iq4_xs},
    Preset{"Q4_0", Ftype::q4_0, DType::q4_0},
    Preset{"IQ4_NL", Ftype::iq4_nl, DType::iq4_nl},
    Preset{"MXFP4_MOE", Ftype::mxfp4_moe, DType::mxfp4},
    Preset{"Q4_K_S", Ftype::q4_k_s, DType::q4_k},
    Preset{"Q4_K_M", Ftype::q4_k_m, DType::q4_k},
    Preset{"Q4_1", Ftype::q4_1, DType::q4_1},
    Preset{"Q5_0", Ftype::q5_0, DType::q5_0},
    Preset{"Q5_K_S", Ftype::q5_k_s, DType::q5_k},
    Preset{"Q5_K_M", Ftype::q5_k_m, DType::q5_k},
    Preset{"Q5_1", Ftype::q5_1, DType::q5_1},
    Preset{"Q6_K", Ftype::q6_k, DType::q6_k},
    Preset{"Q8_0", Ftype::q8_0, DType::q8_0},
    Preset{"F16", Ftype::f16, DType::f16},
    Preset{"BF16", Ftype::bf16, DType::bf16},
    Preset{"F32", Ftype::f32, DType::f32},
    Preset{"COPY", Ftype::f32, DType::f32, true},
};

struct Alias {
  std::string_view name, preset;
};
constexpr std::array kAliases = {Alias{"Q3_K", "Q3_K_M"}, Alias{"Q4_K", "Q4_K_M"},
                                 Alias{"Q5_K", "Q5_K_M"}};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, {}, [](unsigned char c) { return std::tolower(c); },
      [](unsigned char c) { return std::tolower(c); });
}

const Preset* find_if(auto condition) {
  const auto it = std::find_if(kPresets.begin(), kPresets.end(), condition);
  return it == kPresets.end() ? nullptr : &*it;
}

}  // namespace

std::span<const Preset> presets() { return kPresets; }

const Preset* find_preset(std::string_view name) {
  for (const Alias& alias : kAliases) {
    if (equal_ignoring_case(name, alias.name)) name = alias.preset;
  }
  const Preset* found =
      find_if([&](const Preset& preset) { return equal_ignoring_case(preset.name, name); });
  if (found != nullptr) return found;
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return nullptr;
  return find_if([&](const Preset& preset) {
    return !preset.copies && static_cast<uint32_t>(preset.ftype) == number;
  });
}

const Preset& preset_named(std::string_view name) {
  if (const Preset* found = find_preset(name)) return *found;
  std::string list;
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) {
    names.emplace_back(preset.name);
    list += (list.empty() ? "" : " ") + names.back();
  }
  const auto similar = base::did_you_mean(name, names);
  throw base::fail(base::ErrorKind::usage, "unknown type '%s'; %sthe types are %s",
                   base::printable(name).c_str(),
                   similar ? ("did you mean " + *similar + "? ").c_str() : "", list.c_str());
}

}  // namespace karat::recipe
