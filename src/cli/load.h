// What several verbs do with MODEL: open it, get its tokenizer, load its weights.
#pragma once

#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/fit_report.h"
#include "exec/resident.h"
#include "exec/session.h"
#include "model/open.h"
#include "text/tokenizer.h"

namespace karat::cli {

// Error{bad_input} if the model's files have no tokenizer.
text::Tokenizer make_tokenizer(const model::OpenedModel& opened);

// Reads all weights, after require_fit() without a context, for passes with these activations.
std::unique_ptr<exec::ResidentModel> load_resident(
    const model::OpenedModel& opened, bool with_mtp, const Common& common,
    model::Activations activations = model::Activations::f32);

// A context in tokens, where the user names none and the model takes as much.
constexpr int64_t kContextDefault = 4096;
// What running the model takes, and what memory_allowed() gives.
Fit fit_of(const model::OpenedModel& opened, const exec::MemoryRequest& request,
           const Common& common);
// Error{memory} if it does not fit, with what would.
void require_fit(const model::OpenedModel& opened, const exec::MemoryRequest& request,
                 const Common& common);

// A model for sessions of this size, with packed weights: all in memory, or where that does not fit
// as many experts as do (exec::ExpertCache), which it says. Error{memory} as require_fit() if not
// even the experts of one block fit. Model and pool must outlive it.
std::unique_ptr<exec::ResidentModel> load_for_sessions(const model::OpenedModel& opened,
                                                       const exec::MemoryRequest& request,
                                                       const Common& common,
                                                       base::ThreadPool& pool);

// The value of --activations.
model::Activations activations_named(const std::string& name);

// Declares -ctk and -ctv: how keys and values are kept.
struct CacheNames {
  std::string k = "f16", v = "f16";
  void declare(Options& options);
  model::CacheTypes types() const;
};

// A standard message for text files that several verbs take.
void require_files(const std::vector<std::string>& files);

}  // namespace karat::cli
