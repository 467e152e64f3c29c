// The tables here were printed by llama-quantize --dry-run on the 35B's shapes.
#include "recipe/mixture.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/error.h"
#include "model/names.h"
#include "support/files.h"
#include "support/full_shape.h"
#include "support/memory_source.h"

namespace karat::recipe {
namespace {

using model::block_name;
using tensor::DType;
using test::Full;
using test::MemorySource;

int64_t bytes_of(const Full& full, const char* preset, const MixtureOptions& options = {}) {
  int64_t bytes = 0;
  for (const TypeDecision& d :
       decide_types(full.source, full.config, preset_named(preset), options)) {
    bytes += tensor::TensorInfo{"", d.type, full.source.tensors()[d.tensor].shape}.bytes();
  }
  return bytes;
}

std::set<int64_t> layers_with(const Full& full, const char* preset, std::string_view rest,
                              DType type) {
  std::set<int64_t> layers;
  for (const TypeDecision& d : decide_types(full.source, full.config, preset_named(preset), {})) {
    const tensor::TensorInfo& t = full.source.tensors()[d.tensor];
    const int64_t layer = model::layer_of(t.name);
    if (layer >= 0 && t.name == block_name(layer, rest) && d.type == type) layers.insert(layer);
  }
  return layers;
}

TEST(Mixture, TotalsOfTheFullModelEqualLlamaQuantizes) {
  const Full plain(false), mtp(true);
  ASSERT_EQ(plain.source.tensors().size(), 733u);
  ASSERT_EQ(mtp.source.tensors().size(), 753u);
  enum Statistics { kWithout, kWith, kEither };
  const struct {
    const char* preset;
    Statistics statistics;
    int64_t without, with;
  } kTotals[] = {
      {"IQ1_S", kEither, 7473152512, 7641074176},
      {"IQ1_M", kEither, 8228219392, 8415703552},
      {"IQ2_XXS", kEither, 9486664192, 9706752512},
      {"IQ2_XS", kEither, 10496041472, 10742475264},
      {"IQ2_S", kEither, 10641490432, 10889103872},
      {"IQ2_M", kEither, 11648246272, 11921943040},
      {"Q2_K_S", kEither, 12141107712, 12420473344},
      {"Q2_K", kEither, 12928604672, 13236191744},
      {"IQ3_XXS", kWith, 13612769792, 13937519104},
      {"IQ3_XXS", kWithout, 14297006592, 14634387968},
      {"IQ3_XS", kEither, 14473155072, 14837307904},
      {"Q3_K_S", kEither, 15171195392, 15536044544},
      {"IQ3_S", kEither, 15239434752, 15604423168},
      {"IQ3_M", kEither, 15429530112, 15795632640},
      {"Q3_K_M", kEither, 16753775104, 17155668480},
      {"Q3_K_L", kEither, 18104340992, 18541099520},
      {"IQ4_XS", kWith, 18717788672, 19168530944},
      {"IQ4_XS", kWithout, 18928323072, 19379065344},
      {"Q4_0", kWithout, 19704064512, 20181021184},
      {"IQ4_NL", kWith, 19768289792, 20245377536},
      {"MXFP4_MOE", kEither, 19779389952, 20250579456},
      {"Q4_K_S", kEither, 19878914560, 20355871232},
      {"Q4_K_M", kEither, 21155768832, 21702472192},
      {"Q5_K_S", kEither, 23970294272, 24552763904},
      {"Q5_K_M", kEither, 24718141952, 25336541696},
      {"Q6_K", kEither, 28503163392, 29197740544},
      {"Q8_0", kEither, 36892150272, 37791158784},
      {"F16", kEither, 69365647872, 71056003584},
      {"BF16", kEither, 69365647872, 71056003584},
      {"COPY", kEither, 69365647872, 71056003584},
  };
  for (const auto& row : kTotals) {
    for (const bool imatrix : {false, true}) {
      if (row.statistics != kEither && imatrix != (row.statistics == kWith)) continue;
      MixtureOptions options;
      options.imatrix = imatrix;
      EXPECT_EQ(bytes_of(plain, row.preset, options), row.without) << row.preset << imatrix;
      EXPECT_EQ(bytes_of(mtp, row.preset, options), row.with) << row.preset << " MTP" << imatrix;
    }
  }
}

TEST(Mixture, LayersOfQ4_K_M) {
  const Full full(false);
  using Set = std::set<int64_t>;
  EXPECT_EQ(layers_with(full, "Q4_K_M", "attn_qkv.weight", DType::q6_k),
            (Set{0, 1, 2, 4, 10, 13, 16, 22, 25, 28, 34, 36, 37, 38}));
  EXPECT_EQ(layers_with(full, "Q4_K_M", "attn_v.weight", DType::q6_k), (Set{3, 7, 19, 31, 35, 39}));
  EXPECT_EQ(layers_with(full, "Q4_K_M", "ffn_down_exps.weight", DType::q6_k).size(), 20u);
  EXPECT_EQ(layers_with(full, "Q4_K_M", "ffn_down_shexp.weight", DType::q6_k).size(), 20u);
  EXPECT_EQ(layers_with(full, "Q4_K_M", "ssm_alpha.weight", DType::q4_k).size(), 30u);
}

TEST(Mixture, LayersOfQ4_K_S) {
  const Full full(false);
  EXPECT_EQ(layers_with(full, "Q4_K_S", "attn_qkv.weight", DType::q5_k),
            (std::set<int64_t>{0, 1, 2}));
  EXPECT_EQ(layers_with(full, "Q4_K_S", "attn_v.weight", DType::q5_k), (std::set<int64_t>{3}));
  EXPECT_EQ(layers_with(full, "Q4_K_S", "ffn_down_exps.weight", DType::q5_k),
            (std::set<int64_t>{0, 1, 2, 3, 4}));
}

// llama-quantize counts both kinds of ffn_down in its presets below three bits.
TEST(Mixture, LayersOfIQ2_M) {
  const Full full(false);
  EXPECT_EQ(layers_with(full, "IQ2_M", "ffn_down_exps.weight", DType::iq3_s),
            (std::set<int64_t>{0, 1, 2}));
  EXPECT_EQ(layers_with(full, "IQ2_M", "ffn_down_shexp.weight", DType::iq3_s),
            (std::set<int64_t>{0, 1}));
  EXPECT_EQ(layers_with(full, "IQ2_M", "attn_qkv.weight", DType::q4_k).size(), 30u);
}

TEST(Mixture, LayersOfIQ3_XS) {
  const Full full(false);
  const auto gates = layers_with(full, "IQ3_XS", "ffn_gate_exps.weight", DType::iq3_xxs);
  EXPECT_EQ(gates.size(), 30u);
  EXPECT_EQ(*gates.begin(), 5);
  EXPECT_EQ(*gates.rbegin(), 34);
  EXPECT_EQ(layers_with(full, "IQ3_XS", "attn_q.weight", DType::iq3_xxs).size(), 10u);
}

TEST(Mixture, TheEmbeddingIsTheOutputWhereThereIsNone) {
  Full full;
  full.source.add("token_embd.weight", DType::bf16, {512, 256});
  full.source.add("blk.0.attn_q.weight", DType::bf16, {256, 256});
  full.config.mixers.assign(1, model::Mixer::attention);
  const auto type = [&](const MixtureOptions& options) {
    return decide_types(full.source, full.config, preset_named("Q4_K_M"), options)[0].type;
  };
  EXPECT_EQ(type({}), DType::q6_k);
  EXPECT_EQ(type({.output_type = DType::q8_0}), DType::q8_0);
  EXPECT_EQ(type({.output_type = DType::q8_0, .token_embedding_type = DType::q5_k}), DType::q5_k);
}

TEST(Mixture, CopiesAndTheOutputThatIsLeft) {
  const Full full(false);
  for (const TypeDecision& d : decide_types(full.source, full.config, preset_named("COPY"), {})) {
    ASSERT_EQ(d.type, full.source.tensors()[d.tensor].dtype);
  }
  MixtureOptions left;
  left.leave_output = true;
  const auto decisions = decide_types(full.source, full.config, preset_named("Q4_K_M"), left);
  EXPECT_EQ(decisions[0].type, DType::bf16);
  EXPECT_STREQ(decisions[0].decided_by, "kept");
}

TEST(Mixture, TheSourcesOrderCanBeKept) {
  const Full full(false);
  MixtureOptions options;
  options.keep_order = true;
  const auto decisions = decide_types(full.source, full.config, preset_named("Q4_K_M"), options);
  for (size_t i = 0; i < decisions.size(); ++i) ASSERT_EQ(decisions[i].tensor, i);
}

TEST(Mixture, RulesFromAFile) {
  const test::TempDir dir;
  const auto rules = read_type_rules(dir.write("types", "ATTN_V=q8_0\n  exps=q5_K\tssm=f16\n"));
  ASSERT_EQ(rules.size(), 3u);
  EXPECT_TRUE(rules[0].pattern.found_in("blk.3.attn_v.weight"));
  EXPECT_EQ(rules[2].type, DType::f16);
  try {
    read_type_rules(dir.write("wrong", "attn_v"));
    FAIL() << "no error";
  } catch (const base::Error& error) {
    EXPECT_NE(std::string(error.what()).find("wrong: 'attn_v'"), std::string::npos) << error.what();
  }
}

TEST(Mixture, EightExpertsFollowTheOlderRules) {
  const Full full(false, 8);
  EXPECT_EQ(layers_with(full, "Q4_K_M", "attn_qkv.weight", DType::q8_0).size(), 30u);
  EXPECT_EQ(layers_with(full, "Q4_K_M", "attn_k.weight", DType::q8_0).size(), 10u);
  EXPECT_EQ(layers_with(full, "Q4_K_M", "attn_output.weight", DType::q5_k).size(), 10u);
}

TEST(Mixture, OrderIsByBlockThenName) {
  const Full full(false);
  const auto decisions = decide_types(full.source, full.config, preset_named("Q8_0"), {});
  const auto name = [&](size_t i) { return full.source.tensors()[decisions[i].tensor].name; };
  EXPECT_EQ(name(0), "output.weight");
  EXPECT_EQ(name(1), "output_norm.weight");
  EXPECT_EQ(name(2), "token_embd.weight");
  EXPECT_EQ(name(3), "blk.0.attn_gate.weight");
  EXPECT_EQ(name(decisions.size() - 1), "blk.39.post_attention_norm.weight");
}

TEST(Mixture, OverridesHavePrecedence) {
  const Full full(false);
  MixtureOptions options;
  options.output_type = DType::q8_0;
  options.token_embedding_type = DType::q6_k;
  options.rules.push_back(parse_type_rule("BLK\\.7\\..*exps=q8_0"));
  options.rules.push_back(parse_type_rule("exps=q5_K"));
  std::map<std::string, TypeDecision> by_name;
  for (const TypeDecision& d :
       decide_types(full.source, full.config, preset_named("q4_k_m"), options)) {
    by_name.emplace(full.source.tensors()[d.tensor].name, d);
  }
  EXPECT_EQ(by_name.at("output.weight").type, DType::q8_0);
  EXPECT_EQ(by_name.at("token_embd.weight").type, DType::q6_k);
  EXPECT_EQ(by_name.at("blk.7.ffn_up_exps.weight").type, DType::q8_0);
  EXPECT_EQ(by_name.at("blk.8.ffn_up_exps.weight").type, DType::q5_k);
  EXPECT_STREQ(by_name.at("blk.8.ffn_up_exps.weight").decided_by, "--tensor-type");
  EXPECT_EQ(by_name.at("blk.8.ffn_gate_inp.weight").type, DType::f32);
  options.pure = true;
  options.rules.clear();
  for (const TypeDecision& d :
       decide_types(full.source, full.config, preset_named("q4_k_m"), options)) {
    const std::string& name = full.source.tensors()[d.tensor].name;
    if (name == "blk.0.attn_qkv.weight") {
      EXPECT_EQ(d.type, DType::q4_k);
    }
  }
}

void expect_usage_error(const Full& full, const char* preset, const MixtureOptions& options,
                        const std::string& part) {
  try {
    decide_types(full.source, full.config, preset_named(preset), options);
    FAIL() << "no error";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Mixture, RulesThatDoNothingAreErrors) {
  const Full full(false);
  MixtureOptions options;
  options.rules.push_back(parse_type_rule("ffn_dwon=q8_0"));
  expect_usage_error(full, "Q4_K_M", options, "matches no tensor");
  options.rules.clear();
  options.rules.push_back(parse_type_rule("ffn_down=q8_0"));
  options.rules.push_back(parse_type_rule("ffn_down_exps=q6_K"));
  expect_usage_error(full, "Q4_K_M", options, "earlier rule");
  options.rules.pop_back();
  expect_usage_error(full, "BF16", options, "no effect");
  EXPECT_THROW(parse_type_rule("x"), base::Error);
  EXPECT_THROW(parse_type_rule("x=q9"), base::Error);
  options.rules.clear();
  options.leave_output = true;
  options.output_type = DType::q8_0;
  expect_usage_error(full, "Q4_K_M", options, "contradict");
}

struct Rows {
  explicit Rows(int64_t gate_cols) {
    full.source.add("blk.0.attn_q.weight", DType::bf16, {64, 96});
    full.source.add("blk.0.attn_gate.weight", DType::bf16, {64, gate_cols});
    full.source.add("output.weight", DType::bf16, {64, 96});
    full.config.mixers.assign(1, model::Mixer::attention);
  }
  std::vector<DType> types(const char* preset) const {
    std::vector<DType> out;
    for (const auto& d : decide_types(full.source, full.config, preset_named(preset), {})) {
      out.push_back(d.type);
    }
    return out;  // output, attn_gate, attn_q
  }
  Full full;
};

TEST(Mixture, ShortRowsFallBack) {
  using Types = std::vector<DType>;
  EXPECT_EQ(Rows(40).types("Q6_K"), (Types{DType::q8_0, DType::f16, DType::q8_0}));
  EXPECT_EQ(Rows(96).types("Q4_K_S"), (Types{DType::q8_0, DType::q5_0, DType::q5_0}));
  EXPECT_EQ(Rows(256).types("IQ4_XS"), (Types{DType::q8_0, DType::iq4_xs, DType::iq4_nl}));
  try {
    Rows(40).types("Q8_0");
    FAIL() << "no error";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::unsupported);
    EXPECT_NE(std::string(error.what()).find("blk.0.attn_gate.weight"), std::string::npos);
  }
}

TEST(Mixture, DimensionsAsGgmlCountsThem) {
  EXPECT_EQ(ggml_dims({1, 2048}), 1);
  EXPECT_EQ(ggml_dims({2048, 1}), 2);
  EXPECT_EQ(ggml_dims({256, 512, 2048}), 3);
  EXPECT_EQ(ggml_dims({1, 1}), 1);
}

}  // namespace
}  // namespace karat::recipe
