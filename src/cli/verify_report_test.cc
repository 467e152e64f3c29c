#include "cli/verify_report.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace karat::cli {
namespace {

base::ErrorKind kind_of(const Verification& verification) {
  try {
    refuse_faults(verification);
  } catch (const base::Error& error) {
    return error.kind();
  }
  return base::ErrorKind::internal;
}

TEST(VerifyReport, SoundFilesAreSaidToBe) {
  Verification v;
  v.path = "m.gguf";
  v.format = "GGUF";
  EXPECT_NE(verification_text(v).find("no NaN"), std::string::npos);
  EXPECT_NE(verification_text(v).find("receipt    none"), std::string::npos);
  EXPECT_TRUE(verification_json(v).at("sound").as_bool());
  EXPECT_TRUE(verification_json(v).at("inputs").is_null());
  refuse_faults(v);
}

TEST(VerifyReport, DamageComesBeforeReceipts) {
  Verification v;
  v.receipt = "m.gguf.receipt.json";
  v.inputs_asked = true;
  v.inputs.faults = {"in.gguf: has 3 bytes"};
  EXPECT_EQ(kind_of(v), base::ErrorKind::gate);
  v.receipt_faults = {"m.gguf: has another hash"};
  EXPECT_EQ(kind_of(v), base::ErrorKind::gate);
  v.values.bad = {{"blk.0.x", 3, 1}};
  EXPECT_EQ(kind_of(v), base::ErrorKind::bad_input);
  const std::string text = verification_text(v);
  for (const char* part : {"tensor 'blk.0.x', row 3, block 1", "does not fit", "another hash",
                           "in.gguf: has 3 bytes"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  }
  EXPECT_FALSE(verification_json(v).at("sound").as_bool());
}

}  // namespace
}  // namespace karat::cli
