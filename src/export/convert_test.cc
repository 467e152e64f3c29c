#include "export/convert.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "format/gguf.h"

namespace karat::exporting {
namespace {

namespace fs = std::filesystem;
using base::Json;

const std::string kFixtures = std::string(KARAT_ROOT) + "/tests/fixtures/";

class ConvertTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "karat-convert-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  // The split checkpoint completed with the other files, in a folder of the same name.
  std::string split_checkpoint() const {
    const std::string out = path("tiny-random");
    fs::create_directory(out);
    for (const auto& entry : fs::directory_iterator(kFixtures + "tiny-random")) {
      const std::string name = entry.path().filename();
      if (name.find("safetensors") == std::string::npos) fs::copy(entry.path(), out);
    }
    for (const auto& entry : fs::directory_iterator(kFixtures + "tiny-random-split")) {
      fs::copy(entry.path(), out, fs::copy_options::overwrite_existing);
    }
    return out;
  }

  std::string folder_;
};

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
  for (const std::string& checkpoint : {kFixtures + "tiny-random", split_checkpoint()}) {
    for (const Variant& variant : kVariants) {
      const std::string out = path(std::string(variant.name) + ".gguf");
      ConvertOptions options = options_of(variant, out);
      options.force = true;
      base::ThreadPool pool(3);
      const auto files = convert_checkpoint(checkpoint, options, pool);
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

}  // namespace
}  // namespace karat::exporting
