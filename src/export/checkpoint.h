// How far an interrupted output is, kept behind the data of its partial file, so that the same
// command can go on (FORMATS.md section 9).
#pragma once

#include <cstdint>
#include <string>

#include "base/file.h"
#include "base/fingerprint.h"

namespace karat::exporting {

using base::Fingerprint;

// The journal of one run. It stands in `file` from `data_bytes` on, rounded up to 4096; whoever
// commits the file cuts it off. Not thread-safe.
class Checkpoint {
 public:
  // Takes up a journal with the same fingerprint, or begins one. A partial file without a sound
  // journal is begun anew with a warning. Error{exists} naming what differs if the journal is
  // another command's, unless `force`: then it is begun anew.
  Checkpoint(base::OutputFile& file, uint64_t data_bytes, const Fingerprint& fingerprint,
             bool force);

  // Units of work that need not be done again; 0 for a new run.
  uint64_t done() const { return done_; }
  // Notes that `done` units, their bytes synced, are there. Two places are written in turn: a torn
  // write costs one step.
  void save(uint64_t done);

 private:
  bool take_up(bool force);

  base::OutputFile& file_;
  uint64_t at_;
  std::string text_;  // the fingerprint as JSON
  uint64_t sequence_ = 0, done_ = 0;
};

}  // namespace karat::exporting
