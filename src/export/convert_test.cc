#include "export/convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "base/half.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/rng.h"
#include "codec/codec.h"
#include "export/general_keys.h"
#include "export/gguf_metadata.h"
#include "export/q8_plain.h"
#include "export/recode.h"
#include "format/gguf.h"
#include "support/checkpoint.h"
#include "support/files.h"

namespace karat::exporting {
namespace {

namespace fs = std::filesystem;
using base::Json;

using base::Error;
using base::ErrorKind;
using test::kFixtures;
using test::kTinyCheckpoint;

class ConvertTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return dir_.path(name); }

  // The tiny checkpoint with other tensors, in a folder of the same name (general.name tells it).
  std::string checkpoint_of(const test::MemorySource& tensors) const {
    const std::string out = path("tiny-random");
    fs::remove_all(out);
    fs::create_directory(out);
    for (const auto& entry : fs::directory_iterator(kTinyCheckpoint)) {
      const std::string name = entry.path().filename();
      if (name.find("safetensors") == std::string::npos) fs::copy(entry.path(), out);
    }
    format::write_safetensors(out + "/model.safetensors", tensors.items());
    return out;
  }

  // The split checkpoint completed with the other files.
  std::string split_checkpoint() const {
    return checkpoint_of(*test::renamed(test::kSplitCheckpoint, [](auto& name) { return name; }));
  }

  std::vector<ConvertedFile> convert(const std::string& folder, const ConvertOptions& options,
                                     int threads = 2) const {
    base::ThreadPool pool(threads);
    return convert_checkpoint(folder, options, pool);
  }

  // Converting fails with that kind and message, and leaves no output.
  void expect_error(const std::string& folder, const ConvertOptions& options, ErrorKind kind,
                    const std::string& part) const {
    try {
      convert(folder, options);
      ADD_FAILURE() << "no error; expected " << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
    EXPECT_FALSE(fs::exists(options.output));
    EXPECT_FALSE(fs::exists(options.output + ".partial"));
  }

  test::TempDir dir_;
};

std::string file_hash(const std::string& path) { return base::sha256_of_file(path); }

struct Variant {
  const char* name;
  OutType type;
  MtpPart mtp = MtpPart::keep;
  model::GateUp gate_up = model::GateUp::split;
  bool vision = false;
};

const Variant kVariants[] = {
    {"tiny-f32", OutType::f32},
    {"tiny-bf16", OutType::bf16},
    {"tiny-f32-nomtp", OutType::f32, MtpPart::drop},
    {"tiny-bf16-nomtp", OutType::bf16, MtpPart::drop},
    {"tiny-q8_0", OutType::q8_0},
    {"tiny-f16", OutType::f16},
    {"tiny-bf16-fused", OutType::bf16, MtpPart::keep, model::GateUp::fused},
    {"mtp-tiny-bf16", OutType::bf16, MtpPart::only},
    {"mmproj-tiny-f32", OutType::f32, MtpPart::keep, model::GateUp::split, true},
    {"mmproj-tiny-bf16", OutType::bf16, MtpPart::keep, model::GateUp::split, true},
};

ConvertOptions options_of(const Variant& variant, const std::string& out) {
  ConvertOptions options;
  (variant.vision ? options.vision_output : options.output) = out;
  options.type = variant.type;
  options.mtp = variant.mtp;
  options.gate_up = variant.gate_up;
  return options;
}

Json golden(const std::string& name) {
  const std::string file = kFixtures + "goldens/gguf/" + name + ".json";
  return base::parse_json(base::read_file(file));
}

TEST_F(ConvertTest, WritesTheReferenceConvertersFiles) {
  for (const std::string& checkpoint : {kTinyCheckpoint, split_checkpoint()}) {
    for (const Variant& variant : kVariants) {
      const std::string out = path(std::string(variant.name) + ".gguf");
      ConvertOptions options = options_of(variant, out);
      options.force = true;
      const auto files = convert(checkpoint, options, 3);
      ASSERT_EQ(files.size(), 1u);
      const Json want = golden(variant.name);
      const format::GgufSource got(out);
      const Json::Array& keys = want.at("kv").as_array();
      ASSERT_EQ(got.metadata().size(), keys.size()) << variant.name;
      for (size_t i = 0; i < keys.size(); ++i) {
        EXPECT_EQ(got.metadata().entries()[i].key, keys[i].at("key").as_string()) << variant.name;
      }
      const Json::Array& tensors = want.at("tensors").as_array();
      ASSERT_EQ(got.tensors().size(), tensors.size()) << variant.name;
      for (size_t i = 0; i < tensors.size(); ++i) {
        const tensor::TensorInfo& info = got.tensors()[i];
        EXPECT_EQ(info.name, tensors[i].at("name").as_string()) << variant.name;
        std::vector<std::byte> bytes(static_cast<size_t>(info.bytes()));
        got.read(info, bytes);
        EXPECT_EQ(base::sha256_hex(bytes), tensors[i].at("sha256").as_string())
            << variant.name << " " << info.name;
      }
      EXPECT_EQ(base::sha256_of_file(out), want.at("file_sha256").as_string()) << variant.name;
    }
  }
}

std::string golden_hash(const char* name) { return golden(name).at("file_sha256").as_string(); }

TEST_F(ConvertTest, DoesNotDependOnNamesShardsOrThreads) {
  const auto text_only = [](const std::string& name) {
    return test::begins(name, "model.visual.")
               ? ""
               : test::replaced(test::replaced(name, "model.language_model.", "model."), "mtp.",
                                "model.mtp.");
  };
  for (const int threads : {1, 7}) {
    for (const std::string& from : {kTinyCheckpoint, test::kSplitCheckpoint}) {
      const std::string folder = checkpoint_of(*test::renamed(from, text_only));
      ConvertOptions options{.output = path("out.gguf"), .force = true};
      convert(folder, options, threads);
      EXPECT_EQ(file_hash(options.output), golden_hash("tiny-bf16"));
    }
  }
}

TEST_F(ConvertTest, DropsTheMtpBlockThatIsNotThere) {
  const auto no_mtp = [](const std::string& name) {
    return test::begins(name, "mtp.") ? "" : name;
  };
  const std::string folder = checkpoint_of(*test::renamed(kTinyCheckpoint, no_mtp));
  ConvertOptions options{.output = path("out.gguf")};
  convert(folder, options);
  EXPECT_EQ(file_hash(options.output), golden_hash("tiny-bf16-nomtp"));
  options.output = path("draft.gguf");
  options.mtp = MtpPart::only;
  expect_error(folder, options, ErrorKind::usage, "no MTP block");
}

TEST_F(ConvertTest, SplitsIntoShardsThatReadTheSame) {
  const ConvertOptions whole{.output = path("whole.gguf")};
  const ConvertOptions split{.output = path("parts.gguf"), .shard_bytes_max = 200'000};
  convert(kTinyCheckpoint, whole);
  const auto files = convert(kTinyCheckpoint, split);
  ASSERT_GT(files[0].paths.size(), 3u);
  const format::GgufSource a(whole.output), b(files[0].paths[0]);
  ASSERT_EQ(a.tensors().size(), b.tensors().size());
  for (const tensor::TensorInfo& info : a.tensors()) {
    std::vector<std::byte> left(static_cast<size_t>(info.bytes())), right(left.size());
    a.read(info, left);
    b.read(b.at(info.name), right);
    EXPECT_EQ(left, right) << info.name;
  }
  format::Metadata metadata = b.metadata();
  format::drop_split_keys(metadata);
  EXPECT_EQ(a.metadata(), metadata);
}

TEST_F(ConvertTest, ChecksOutputsBeforeAnyWork) {
  ConvertOptions options{.output = dir_.write("old.gguf", "old"), .vision_output = path("v.gguf")};
  try {
    convert(kTinyCheckpoint, options);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::exists);
  }
  EXPECT_EQ(base::read_file(options.output), "old");
  EXPECT_FALSE(fs::exists(options.vision_output));

  const std::string folder = split_checkpoint();
  options = {.output = folder + "/model.safetensors", .force = true};
  EXPECT_THROW(convert(folder, options), Error);
  EXPECT_GT(fs::file_size(options.output), 1'000'000u);  // the input is still there

  options = {.output = path("x.gguf"), .vision_output = dir_.path() + "/./x.gguf", .force = true};
  expect_error(kTinyCheckpoint, options, ErrorKind::usage, "x.gguf");
  options = {.output = path("no/such/folder/x.gguf")};
  expect_error(kTinyCheckpoint, options, ErrorKind::io, "no/such/folder");
  expect_error(kTinyCheckpoint + "/config.json", {.output = path("y.gguf")}, ErrorKind::bad_input,
               "folder");
  EXPECT_THROW(convert(kTinyCheckpoint, {}), Error);
}

// Sets one BF16 element of a stored tensor.
void poke(test::MemorySource& tensors, const std::string& name, size_t element, float value) {
  const uint16_t bits = base::f32_to_bf16(value);
  std::memcpy(tensors.bytes(name).data() + 2 * element, &bits, 2);
}

TEST_F(ConvertTest, RefusesValuesThatAreNotFinite) {
  const std::string name = "model.language_model.layers.1.linear_attn.in_proj_z.weight";
  for (const float value : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    auto tensors = test::renamed(kTinyCheckpoint, [](auto& n) { return n; });
    poke(*tensors, name, 3 * 64 + 5, value);  // row 3 is in the first head, which stays in place
    const std::string folder = checkpoint_of(*tensors);
    for (const OutType type : {OutType::automatic, OutType::f32, OutType::f16, OutType::q8_0}) {
      expect_error(folder, {.output = path("out.gguf"), .type = type}, ErrorKind::bad_input,
                   "tensor 'blk.1.attn_gate.weight': row 3, column 5: " +
                       std::string(std::isnan(value) ? "nan" : "inf"));
    }
  }
}

TEST_F(ConvertTest, OffersBf16WhereF16IsTooSmall) {
  auto tensors = test::renamed(kTinyCheckpoint, [](auto& name) { return name; });
  poke(*tensors, "lm_head.weight", 70, 70'000);
  const std::string folder = checkpoint_of(*tensors);
  expect_error(folder, {.output = path("out.gguf"), .type = OutType::f16}, ErrorKind::gate,
               "choose BF16");
  EXPECT_NO_THROW(convert(folder, {.output = path("out.gguf"), .type = OutType::q8_0}));
}

TEST_F(ConvertTest, KeepsTheTypeOfF16AndF32Checkpoints) {
  for (const tensor::DType type : {tensor::DType::f16, tensor::DType::f32}) {
    const auto from = test::renamed(kTinyCheckpoint, [](auto& name) { return name; });
    test::MemorySource to;
    for (const tensor::TensorInfo& info : from->tensors()) {
      const std::vector<std::byte>& bytes = from->bytes(info.name);
      std::vector<std::byte> out;
      for (size_t i = 0; i < bytes.size(); i += 2) {
        uint16_t bits;
        std::memcpy(&bits, bytes.data() + i, 2);
        const float value = base::bf16_to_f32(bits);
        const uint16_t half = base::f32_to_f16(value);
        const bool f16 = type == tensor::DType::f16;
        const auto* raw = f16 ? reinterpret_cast<const std::byte*>(&half)
                              : reinterpret_cast<const std::byte*>(&value);
        out.insert(out.end(), raw, raw + (f16 ? 2 : 4));
      }
      to.add({info.name, type, info.shape}, std::move(out));
    }
    ConvertOptions options{.output = path("out.gguf"), .force = true};
    const auto files = convert(checkpoint_of(to), options);
    EXPECT_EQ(files[0].type, tensor::info(type).name);
    if (type == tensor::DType::f32) {  // every BF16 value is an F32 value
      EXPECT_EQ(file_hash(options.output), golden_hash("tiny-f32"));
    }
  }
}

TEST_F(ConvertTest, TakesLabelsFromNameAndCard) {
  const std::string folder = split_checkpoint();
  const std::string named = path("Qwen3.6-470K-A190K");
  fs::rename(folder, named);
  dir_.write("Qwen3.6-470K-A190K/README.md",
             "---\nlicense: apache-2.0\nbase_model: Qwen/Qwen3.6-35B-A3B\n"
             "pipeline_tag: image-text-to-text\n---\n");
  convert(named, {.output = path("out.gguf")});
  const format::GgufSource got(path("out.gguf"));
  const format::Metadata& m = got.metadata();
  EXPECT_EQ(m.get_string("general.name"), "Qwen3.6 470K A190K");
  EXPECT_EQ(m.get_string("general.basename"), "Qwen3.6");
  EXPECT_EQ(m.get_string("general.size_label"), "470K-A190K");
  EXPECT_EQ(m.get_string("general.license"), "apache-2.0");
  EXPECT_EQ(m.get_int("general.base_model.count"), 1);
  EXPECT_EQ(m.get_string("general.base_model.0.organization"), "Qwen");
  EXPECT_EQ(m.get_string("general.base_model.0.repo_url"),
            "https://huggingface.co/Qwen/Qwen3.6-35B-A3B");
  EXPECT_EQ(m.get_array<std::string>("general.tags"),
            std::vector<std::string>{"image-text-to-text"});
}

TEST_F(ConvertTest, WritesYarnAndUnusualLayers) {
  model::OpenedModel model = model::open_model(kTinyCheckpoint);
  model.config.rope.scaling = "yarn";
  model.config.rope.factor = 4;
  model.config.rope.original_context = 262144;
  std::swap(model.config.mixers[0], model.config.mixers[3]);
  const format::Metadata metadata =
      text_metadata(model, model.source->tensors(), FileType::mostly_bf16);
  const model::Config back = model::config_from_gguf(metadata, "x");
  EXPECT_EQ(back.rope.scaling, "yarn");
  EXPECT_EQ(back.rope.factor, 4);
  EXPECT_EQ(back.mixers, model.config.mixers);
  model.tokenizer.reset();
  EXPECT_THROW(text_metadata(model, model.source->tensors(), FileType::mostly_bf16), Error);
}

TEST_F(ConvertTest, NamesTheKeyOfBadGenerationConfig) {
  const std::string folder = split_checkpoint();
  dir_.write("tiny-random/generation_config.json", "{\"top_k\": \"many\"}");
  expect_error(folder, {.output = path("out.gguf")}, ErrorKind::bad_input, "'top_k'");
}

// Several pieces per tensor, rows that do not divide them, and one row longer than a piece.
TEST(Recode, WritesTheSameBytesForAnyNumberOfThreads) {
  const test::TempDir dir;
  test::MemorySource source;
  const std::vector<tensor::Shape> shapes{{3001, 704}, {2, (1 << 20) + 32}, {5, 32}};
  base::Rng rng(3);
  for (size_t i = 0; i < shapes.size(); ++i) {
    std::vector<float> values(static_cast<size_t>(shapes[i].elements()));
    for (float& value : values) value = static_cast<float>(rng.uniform() - 0.5);
    const auto bytes = std::as_bytes(std::span(values));
    source.add({"t" + std::to_string(i), tensor::DType::f32, shapes[i]},
               {bytes.begin(), bytes.end()});
  }
  for (const tensor::DType type : {tensor::DType::q8_0, tensor::DType::bf16, tensor::DType::f32}) {
    std::vector<std::string> hashes;
    for (const int threads : {1, 5}) {
      std::vector<const tensor::TensorInfo*> from;
      std::vector<tensor::TensorInfo> to;
      for (const tensor::TensorInfo& info : source.tensors()) {
        from.push_back(&info);
        to.push_back({info.name, type, info.shape});
      }
      base::ThreadPool pool(threads);
      const std::string path = dir.path("out" + std::to_string(threads) + ".gguf");
      format::GgufWriter writer(path, {}, to);
      recode(source, from, writer, pool, {.stage = "test"}, plain_encoder(writer));
      writer.commit();
      hashes.push_back(file_hash(path));
      const format::GgufSource got(path);
      std::vector<std::byte> row(static_cast<size_t>(to[0].row_bytes())), want(row.size());
      got.read_rows(got.at("t0"), 3000, 1, row);
      std::vector<float> values(704);
      source.read_rows(source.at("t0"), 3000, 1, std::as_writable_bytes(std::span(values)));
      if (type == tensor::DType::q8_0) {
        encode_q8_plain(values, want);
      } else {
        codec::codec_for(type).encode_row(values, {}, want);
      }
      EXPECT_EQ(row, want);
    }
    EXPECT_EQ(hashes[0], hashes[1]);
  }
}

TEST(SizeLabel, CountsOneExpertOfEachStack) {
  using tensor::DType;
  EXPECT_EQ(size_label({{"a", DType::f32, {1000, 10}}}), "10K");
  EXPECT_EQ(size_label({{"a", DType::f32, {1000, 10}},
                        {"blk.0.ffn_up_exps.weight", DType::f32, {4, 1000, 10}}}),
            "4x20K");
}

}  // namespace
}  // namespace karat::exporting
