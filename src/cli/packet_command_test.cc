#include "cli/packet_command.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace karat::cli {
namespace {

TEST(PacketText, SaysWhatIsInItAndWhatIsNot) {
  const base::Json report = base::parse_json(R"({
    "tokens": 30, "sequences": 3, "seed": 18446744073709551615,
    "domains": [{"name": "code", "tokens": 30, "sequences": 3, "sources": [
      {"path": "a\u001b.txt", "tokens": 30, "sequences": 3, "documents": 9, "removed": 1,
       "removed_pieces": 8, "left_out": 2, "duplicates": 4, "unused": 3}]}],
    "evaluations": [{"name": "math", "items": 5, "items_too_short": 6},
                    {"name": "wiki", "items": 7, "items_too_short": 0}],
    "removed": [{"evaluation": "math"}], "left_out": [], "cut_short": [{}]})");
  EXPECT_EQ(packet_text("p", report),
            "p: 30 tokens in 3 sequences, seed 18446744073709551615\n"
            "  code                     30 tokens       3 sequences\n"
            "    a\\x1b.txt                              30 tokens       3 sequences of 9 "
            "documents; 1 and 8 pieces removed, 2 too long, 4 twice, 3 unused\n"
            "  held against math             5 items, 6 of them too short; 1 removed\n"
            "  held against wiki             7 items, 0 of them too short; 0 removed\n"
            "  1 texts cut short; p.report.json says what was removed and why\n");
}

TEST(MakePacket, RefusesAnIncompleteRequest) {
  const auto kind_of = [](const PacketRequest& request) {
    try {
      make_packet(request, {});
    } catch (const base::Error& error) {
      return error.kind();
    }
    return base::ErrorKind::internal;
  };
  EXPECT_EQ(kind_of({"r.toml", "", "p"}), base::ErrorKind::usage);
  EXPECT_EQ(kind_of({"r.toml", "m", ""}), base::ErrorKind::usage);
  EXPECT_EQ(kind_of({"r.toml", "m", "p", -1, {"--chunks"}}), base::ErrorKind::usage);
  EXPECT_EQ(kind_of({"r.toml", "m", "p", (int64_t{1} << 32) + 1, {}}), base::ErrorKind::usage);
}

}  // namespace
}  // namespace karat::cli
