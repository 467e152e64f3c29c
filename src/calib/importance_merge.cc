#include "calib/importance_merge.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"

namespace karat::calib {

namespace {

using base::ErrorKind;
using base::fail;
using base::printable;
using tensor::Importance;
using tensor::ImportanceEntry;

std::string shown(const Importance& part) {
  return part.file.empty() ? "this run" : printable(part.file);
}

// One count for all matrices of an expert tensor, as .dat files have it.
bool lost_expert_counts(const std::string& name, const ImportanceEntry& entry) {
  return entry.counts.size() == 1 && name.find("_exps.") != std::string::npos;
}

// Presents an entry as `mats` matrices, each with the count that all have in common.
void split_matrices(ImportanceEntry& entry, int64_t mats) {
  entry.cols = entry.cols * entry.mats / mats;
  entry.mats = mats;
  entry.counts.resize(static_cast<size_t>(mats), entry.counts.front());
}

void add(std::vector<double>& sums, const std::vector<double>& more) {
  for (size_t i = 0; i < sums.size(); ++i) sums[i] += more[i];
}

// The names that go into one warning.
class Names {
 public:
  void add(const std::string& name) {
    if (++count_ <= 8) list_ += (list_.empty() ? "" : ", ") + printable(name);
  }
  bool any() const { return count_ > 0; }
  std::string str() const {
    return count_ > 8 ? list_ + base::strf(" and %d more", count_ - 8) : list_;
  }

 private:
  std::string list_;
  int count_ = 0;
};

struct Losses {
  Names means, expert_counts;
};

void add_entry(const std::string& name, ImportanceEntry& sum, ImportanceEntry entry,
               const Importance& into, const Importance& part, Losses& losses) {
  if (sum.in_sum2.size() != entry.in_sum2.size() ||
      (sum.mats != entry.mats && sum.mats != 1 && entry.mats != 1)) {
    throw fail(ErrorKind::bad_input,
               "%s: entry '%s' is %lld x %lld, in %s it is %lld x %lld; statistics of one model "
               "are needed",
               shown(part).c_str(), printable(name).c_str(), static_cast<long long>(entry.mats),
               static_cast<long long>(entry.cols), shown(into).c_str(),
               static_cast<long long>(sum.mats), static_cast<long long>(sum.cols));
  }
  if (lost_expert_counts(name, sum) || lost_expert_counts(name, entry)) {
    losses.expert_counts.add(name);
  }
  const auto matrices = static_cast<int64_t>(std::max(sum.counts.size(), entry.counts.size()));
  for (ImportanceEntry* one : {&sum, &entry}) {
    if (static_cast<int64_t>(one->counts.size()) < matrices) split_matrices(*one, matrices);
  }
  add(sum.in_sum2, entry.in_sum2);
  if (sum.in_sum.empty() || entry.in_sum.empty()) {
    if (sum.in_sum.size() != entry.in_sum.size()) losses.means.add(name);
    sum.in_sum.clear();
  } else {
    add(sum.in_sum, entry.in_sum);
  }
  for (size_t m = 0; m < sum.counts.size(); ++m) sum.counts[m] += entry.counts[m];
}

void warn_of_missing(const Importance& has, const Importance& lacks) {
  Names names;
  for (const auto& [name, entry] : has.entries) {
    if (!lacks.entries.contains(name)) names.add(name);
  }
  if (names.any()) {
    base::warn("%s has no entry for %s; taken from the others alone", shown(lacks).c_str(),
               names.str().c_str());
  }
}

void warn_of(const Losses& losses) {
  if (losses.means.any()) {
    base::warn("not all files have means of %s; left out", losses.means.str().c_str());
  }
  if (losses.expert_counts.any()) {
    base::warn(
        "a .dat file does not say how many rows each expert saw: every expert of %s is taken to "
        "have seen as many as the busiest, so the merged averages are approximate",
        losses.expert_counts.str().c_str());
  }
}

void add_chunks(Importance& into, const Importance& part) {
  const auto limit = [](uint64_t count) {
    return static_cast<uint32_t>(std::min<uint64_t>(count, std::numeric_limits<uint32_t>::max()));
  };
  if (into.chunk_size == 0) into.chunk_size = part.chunk_size;
  uint64_t chunks = part.chunk_count;
  if (part.chunk_size != into.chunk_size && part.chunk_size != 0) {
    base::warn("%s has chunks of %u tokens, %s of %u; counted as chunks of %u", shown(part).c_str(),
               part.chunk_size, shown(into).c_str(), into.chunk_size, into.chunk_size);
    chunks = (chunks * part.chunk_size + into.chunk_size - 1) / into.chunk_size;
  }
  into.chunk_count = limit(into.chunk_count + chunks);
}

}  // namespace

Importance merge_importance(std::vector<Importance> parts) {
  CHECK(!parts.empty());
  Importance sum = std::move(parts.front());
  if (parts.size() == 1) return sum;
  Losses losses;
  for (auto& [name, entry] : sum.entries) entry.stats.clear();
  for (size_t i = 1; i < parts.size(); ++i) {
    Importance& part = parts[i];
    warn_of_missing(sum, part);
    warn_of_missing(part, sum);
    add_chunks(sum, part);
    sum.nextn_layers = std::max(sum.nextn_layers, part.nextn_layers);
    sum.datasets.insert(sum.datasets.end(), part.datasets.begin(), part.datasets.end());
    for (auto& [name, entry] : part.entries) {
      entry.stats.clear();
      const auto at = sum.entries.find(name);
      if (at == sum.entries.end()) {
        sum.entries.emplace(name, std::move(entry));
      } else {
        add_entry(name, at->second, std::move(entry), sum, part, losses);
      }
    }
  }
  warn_of(losses);
  return sum;
}

}  // namespace karat::calib
