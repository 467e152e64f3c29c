#include "eval/peer.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/files.h"

namespace karat::eval {
namespace {

using base::Error;
using base::ErrorKind;

using Words = std::vector<std::string>;

TEST(PeerCommand, IsLlamaBenchs) {
  const PeerOptions options{"bench", "m.gguf", 2, {"-rtr", "1"}};
  EXPECT_EQ(peer_command(options, {512, 0, 0}),
            (Words{"bench", "-m", "m.gguf", "-p", "512", "-n", "0", "-t", "2", "-r", "2", "-o",
                   "json", "-rtr", "1"}));
  EXPECT_EQ(peer_command({"bench", "m.gguf", 1, {}}, {8, 4, 64}),
            (Words{"bench", "-m", "m.gguf", "-p", "0", "-n", "0", "-pg", "8,4", "-d", "64", "-t",
                   "1", "-r", "2", "-o", "json"}));
}

TEST(ParsePeer, TakesTheLastSampleBehindAnyNotes) {
  const PeerSample sample =
      parse_peer("bench",
                 "[note] of a fork\n[\n {\"n_prompt\": 8, \"build_commit\": \"abc\", "
                 "\"samples_ns\": [ 900, 700 ]}\n]\n");
  EXPECT_EQ(sample.ns, 700);
  EXPECT_EQ(sample.build, "abc");
  EXPECT_EQ(parse_peer("bench", "[{\"samples_ns\": [5]}]").build, "");
}

TEST(ParsePeer, RefusesWhatIsNoResult) {
  for (const char* text : {"", "no", "[]", "[{}]", "[1, 2]", "[{\"samples_ns\": []}]",
                           "[{\"samples_ns\": [0]}]", "[{\"samples_ns\": [\"7\"]}]"}) {
    EXPECT_THROW(parse_peer("bench", text), Error) << text;
  }
}

TEST(RunPeer, SaysWhyAProgramFailed) {
  const test::TempDir dir;
  const auto program = [&](const std::string& name, const std::string& body) {
    const std::string path = dir.write(name, "#!/bin/sh\n" + body);
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return PeerOptions{path, "m.gguf", 1, {}};
  };
  EXPECT_EQ(run_peer(program("good", "echo '[{\"samples_ns\": [3, 2]}]'"), {1, 0, 0}).ns, 2);
  try {
    run_peer(program("bad", "echo early >&2; echo 'no such model' >&2; exit 1"), {1, 0, 0});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    EXPECT_NE(std::string(error.what()).find("status 1: no such model"), std::string::npos);
  }
}

}  // namespace
}  // namespace karat::eval
