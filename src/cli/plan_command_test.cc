#include "cli/plan_command.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace karat::cli {
namespace {

TEST(MakePlanFile, SaysWhatIsMissing) {
  const auto refuses = [](const PlanRequest& request, const std::string& word) {
    try {
      make_plan_file(request, {});
      FAIL() << word;
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::usage);
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  };
  PlanRequest request;
  refuses(request, "--model is missing");
  request.model = "m";
  refuses(request, "--stats is missing");
}

}  // namespace
}  // namespace karat::cli
