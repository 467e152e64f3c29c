#include "cli/inspect_report.h"

#include <gtest/gtest.h>

#include "format/imatrix.h"

namespace karat::cli {
namespace {

const std::string kGoldens = std::string(KARAT_ROOT) + "/tests/fixtures/goldens/";

TEST(InspectReport, Imatrix) {
  const auto importance = format::read_imatrix(kGoldens + "imatrix/tiny-f32.nextn.imatrix.gguf");
  const std::string text = imatrix_text(importance, true);
  for (const char* part : {"16 chunks of 128 tokens", "data set      wiki20k.txt",
                           "means         yes", "MTP blocks    1", "blk.0.attn_gate.weight"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  }
  const base::Json json = imatrix_json(importance, true);
  EXPECT_EQ(json.at("list").as_array().size(), importance.entries.size());
  EXPECT_EQ(json.at("nextn_layers").as_int(), 1);
  EXPECT_EQ(imatrix_json(importance, false).find("list"), nullptr);
}

TEST(InspectReport, AnyGguf) {
  const format::GgufSource source(kGoldens + "gguf/mmproj-tiny-f32.gguf");
  const std::string text = gguf_text(source, true);
  EXPECT_NE(text.find("general.architecture = \"clip\""), std::string::npos) << text;
  EXPECT_NE(text.find(source.tensors()[0].name), std::string::npos) << text;
  EXPECT_EQ(gguf_json(source, true).at("tensors").as_array().size(), source.tensors().size());
  EXPECT_EQ(gguf_json(source, false).find("tensors"), nullptr);
}

}  // namespace
}  // namespace karat::cli
