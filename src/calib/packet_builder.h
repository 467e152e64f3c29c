// Makes a calibration packet of local files, as a recipe says: exactly so many tokens of each
// domain, whole conversations and documents, nothing that an evaluation set has.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/threads.h"
#include "calib/overlap.h"
#include "calib/packet.h"
#include "calib/packet_recipe.h"
#include "text/tokenizer.h"

namespace karat::calib {

struct BuiltPacket {
  Packet packet;
  base::Json report;                // docs/FORMATS.md, section 10.3
  std::vector<std::string> inputs;  // every file read, once, the recipe first
  // What the receipt calls them: their paths below the recipe's folder; the bare names of others.
  std::vector<std::string> input_names;
};

// Documents are sorted by a hash of their content and the seed, so neither names nor the order of
// files decide what is chosen; of equal documents one stays. Long texts that may be cut are cut
// after tokenization. Every document is held against the evaluation sets as its strings are, and
// every sequence as its decoded ids are: of documents that are cut only pieces are removed. The
// packet's sequences are looked at once more at the end.
//
// Error{bad_input} for files that are not what the recipe says, and evaluation sets without texts;
// Error{usage} if a domain has too few tokens, or conversations that do not add up to its budget;
// Error{gate} naming the first of them if documents overlap an evaluation set and the recipe says
// refuse, if a domain has too few tokens because of that, or if the finished packet overlaps.
BuiltPacket build_packet(const PacketRecipe& recipe, const text::Tokenizer& tokenizer,
                         const std::string& chat_template, base::ThreadPool& pool);

}  // namespace karat::calib
