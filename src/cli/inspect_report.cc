#include "cli/inspect_report.h"

#include <algorithm>
#include <map>

#include "base/text.h"
#include "cli/calibrate_report.h"

namespace karat::cli {

using base::Json;
using base::printable;
using base::strf;
using tensor::TensorInfo;

namespace {

std::string type_name(const TensorInfo& tensor) {
  return std::string(tensor::info(tensor.dtype).name);
}

struct Share {
  int64_t tensors = 0, params = 0;
  uint64_t bytes = 0;
};

std::map<std::string, Share> shares_of(const format::GgufSource& source) {
  std::map<std::string, Share> shares;
  for (const TensorInfo& tensor : source.tensors()) {
    Share& share = shares[type_name(tensor)];
    ++share.tensors;
    share.params += tensor.shape.elements();
    share.bytes += static_cast<uint64_t>(tensor.bytes());
  }
  return shares;
}

struct Counts {
  int64_t least = 0, most = 0;
};

Counts counts_of(const tensor::ImportanceEntry& entry) {
  const auto [least, most] = std::minmax_element(entry.counts.begin(), entry.counts.end());
  return {*least, *most};
}

}  // namespace

std::string imatrix_text(const tensor::Importance& importance, bool with_entries) {
  std::string out = coverage_text(printable(importance.file), importance);
  for (const std::string& dataset : importance.datasets) {
    out += "  data set      " + printable(dataset) + "\n";
  }
  const auto has_means = [](const auto& named) { return !named.second.in_sum.empty(); };
  const bool means = std::any_of(importance.entries.begin(), importance.entries.end(), has_means);
  out += strf("  means         %s\n  MTP blocks    %u\n", means ? "yes" : "no",
              importance.nextn_layers);
  if (!with_entries) return out;
  out += "\n";
  for (const auto& [name, entry] : importance.entries) {
    const Counts counts = counts_of(entry);
    out += strf("%-40s %4lld x %-6lld %lld to %lld rows\n", printable(name).c_str(),
                static_cast<long long>(entry.mats), static_cast<long long>(entry.cols),
                static_cast<long long>(counts.least), static_cast<long long>(counts.most));
  }
  return out;
}

Json imatrix_json(const tensor::Importance& importance, bool with_entries) {
  Json out = coverage_json("", importance);
  out.set("output", Json());
  out.set("path", importance.file);
  out.set("format", "imatrix");
  out.set("datasets", Json(Json::Array(importance.datasets.begin(), importance.datasets.end())));
  out.set("nextn_layers", int64_t{importance.nextn_layers});
  if (!with_entries) return out;
  Json entries = Json::array();
  for (const auto& [name, entry] : importance.entries) {
    const Counts counts = counts_of(entry);
    Json row = Json::object();
    row.set("name", name);
    row.set("matrices", entry.mats);
    row.set("columns", entry.cols);
    row.set("rows_least", counts.least);
    row.set("rows_most", counts.most);
    row.set("means", !entry.in_sum.empty());
    entries.push(std::move(row));
  }
  out.set("list", std::move(entries));
  return out;
}

std::string gguf_text(const format::GgufSource& source, bool with_tensors) {
  std::string out = printable(source.origin()) + "\n";
  out += strf("  GGUF, %zu file%s, %s, %zu tensors\n", source.files().size(),
              source.files().size() == 1 ? "" : "s", base::both_units(source.files_bytes()).c_str(),
              source.tensors().size());
  for (const auto& [type, share] : shares_of(source)) {
    out += strf("  %-8s %5lld tensors, %lld parameters, %s\n", type.c_str(),
                static_cast<long long>(share.tensors), static_cast<long long>(share.params),
                base::both_units(share.bytes).c_str());
  }
  for (const format::Metadata::Entry& entry : source.metadata().entries()) {
    out += "  " + printable(entry.key) + " = " + printable(entry.value.str(), 160) + "\n";
  }
  if (!with_tensors) return out;
  out += "\n";
  for (const TensorInfo& tensor : source.tensors()) {
    out +=
        strf("%-40s %-8s %-24s %lld\n", printable(tensor.name).c_str(), type_name(tensor).c_str(),
             tensor.shape.str().c_str(), static_cast<long long>(tensor.bytes()));
  }
  return out;
}

Json gguf_json(const format::GgufSource& source, bool with_tensors) {
  Json out = Json::object(), metadata = Json::object(), types = Json::array();
  out.set("path", source.origin());
  out.set("format", "gguf");
  out.set("file_bytes", source.files_bytes());
  out.set("tensors_count", static_cast<int64_t>(source.tensors().size()));
  for (const auto& [type, share] : shares_of(source)) {
    Json row = Json::object();
    row.set("type", type);
    row.set("tensors", share.tensors);
    row.set("params", share.params);
    row.set("bytes", share.bytes);
    types.push(std::move(row));
  }
  for (const format::Metadata::Entry& entry : source.metadata().entries()) {
    metadata.set(entry.key, entry.value.str());
  }
  out.set("types", std::move(types));
  out.set("metadata", std::move(metadata));
  if (!with_tensors) return out;
  Json tensors = Json::array();
  for (const TensorInfo& tensor : source.tensors()) {
    Json row = Json::object(), shape = Json::array();
    for (const int64_t dim : tensor.shape.dims()) shape.push(dim);
    row.set("name", tensor.name);
    row.set("type", type_name(tensor));
    row.set("shape", std::move(shape));
    row.set("bytes", tensor.bytes());
    tensors.push(std::move(row));
  }
  out.set("tensors", std::move(tensors));
  return out;
}

}  // namespace karat::cli
