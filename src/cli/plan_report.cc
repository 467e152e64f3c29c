#include "cli/plan_report.h"

#include <algorithm>
#include <map>
#include <vector>

#include "base/text.h"

namespace karat::cli {

using base::strf;

namespace {

struct TypeShare {
  int64_t tensors = 0;
  uint64_t bytes = 0;
};

std::string name_of(tensor::DType type) { return std::string(tensor::info(type).name); }

double bits_per_weight(const recipe::Plan& plan, const tensor::TensorSource& source) {
  return 8 * static_cast<double>(plan.data_bytes) / static_cast<double>(plan.elements(source));
}

uint64_t token_bytes(const recipe::Plan& plan) {
  uint64_t bytes = 0;
  for (const recipe::PlannedTensor& tensor : plan.tensors) bytes += tensor.bytes_per_token;
  return bytes;
}

// Ranks by cost, 1 the costliest; 0 for tensors without one.
std::vector<size_t> ranks_of(const recipe::Plan& plan) {
  std::vector<size_t> order, ranks(plan.tensors.size());
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    if (plan.tensors[i].gain > 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return plan.tensors[a].cost() > plan.tensors[b].cost();
  });
  for (size_t i = 0; i < order.size(); ++i) ranks[order[i]] = i + 1;
  return ranks;
}

std::string table(const recipe::Plan& plan) {
  std::string text =
      strf("%-40s %-8s %-7s %14s %12s %10s %10s %8s %5s %7s %7s\n", "tensor", "type", "by", "bytes",
           "bytes/token", "error", "gain", "damage", "rank", "up", "down");
  const double total = plan.cost();
  const std::vector<size_t> ranks = ranks_of(plan);
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const recipe::PlannedTensor& tensor = plan.tensors[i];
    if (tensor.decided_by == "kept") continue;
    text += strf("%-40s %-8s %-7s %14llu %12llu %10.3g %10.3g %7.3f%% %5zu %7.3g %7.3g\n",
                 base::printable(tensor.name).c_str(), name_of(tensor.type).c_str(),
                 tensor.decided_by.c_str(), static_cast<unsigned long long>(tensor.bytes),
                 static_cast<unsigned long long>(tensor.bytes_per_token), tensor.error, tensor.gain,
                 total > 0 ? 100 * tensor.cost() / total : 0, ranks[i], tensor.rate_up,
                 tensor.rate_down);
  }
  return text +
         "error: of the type, relative to the tensor's outputs; gain: what a unit of it costs; "
         "damage: the share\nof all costs; up, down: per cent of all costs that the next larger "
         "type would save, and the next\nsmaller one add, for one per cent of all bytes: a plan "
         "ends where they meet.\n\n";
}

}  // namespace

std::string plan_report(const recipe::Plan& plan, const tensor::TensorSource& source,
                        bool explain) {
  std::string text = explain ? table(plan) : "";
  std::map<std::string, TypeShare> shares;
  for (const recipe::PlannedTensor& tensor : plan.tensors) {
    TypeShare& share = shares[name_of(tensor.type)];
    ++share.tensors;
    share.bytes += tensor.bytes;
  }
  for (const auto& [name, share] : shares) {
    text += strf("%8lld tensors  %-8s %s\n", static_cast<long long>(share.tensors), name.c_str(),
                 base::both_units(share.bytes).c_str());
  }
  return text + strf(
                    "file %s (%llu bytes), %.4f bits per weight, %s read per token; foretold KLD "
                    "%.3g\n",
                    base::both_units(plan.file_bytes).c_str(),
                    static_cast<unsigned long long>(plan.file_bytes), bits_per_weight(plan, source),
                    base::both_units(token_bytes(plan)).c_str(), plan.divergence());
}

base::Json plan_report_json(const recipe::Plan& plan, const tensor::TensorSource& source) {
  base::Json json = recipe::plan_json(plan);
  json.set("bits_per_weight", bits_per_weight(plan, source));
  json.set("bytes_per_token", token_bytes(plan));
  return json;
}

}  // namespace karat::cli
