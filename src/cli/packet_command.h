// What calibrate does with packets: make one of a recipe, take one in place of texts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "calib/corpus.h"
#include "cli/command.h"
#include "model/open.h"

namespace karat::cli {

struct PacketRequest {
  std::string recipe, model, out;
  int64_t tokens = -1;                   // in place of the recipe's
  std::vector<std::string> others = {};  // options given that say how texts go through a model
};

// Builds the packet and writes OUT, OUT.report.json and OUT.receipt.json; prints what is in it.
// Nothing is written if anything is wrong (calib/packet_builder.h); the receipt gets its name last.
// --seed, unless it is 0, stands for the recipe's. Error{exists} if one of the three is there and
// not --force, or is a file that the recipe or the model reads.
void make_packet(const PacketRequest& request, const Common& common);

// What the report says, for people.
std::string packet_text(const std::string& out, const base::Json& report);

struct PacketUse {
  int64_t chunk_size = 512, chunks_max = -1, tokens = -1;
};
// The sequences of the packet that is the only one of `files`, or nothing if none of them is one.
// Error{usage} if a packet is given together with other files, or with a number of chunks.
std::optional<calib::Corpus> packet_corpus(const std::vector<std::string>& files,
                                           const model::OpenedModel& opened, const PacketUse& use,
                                           const Common& common);

}  // namespace karat::cli
