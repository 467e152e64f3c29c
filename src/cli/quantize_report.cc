#include "cli/quantize_report.h"

#include <cmath>
#include <map>

#include "base/text.h"

namespace karat::cli {

using base::Json;
using base::strf;

namespace {

std::string type_name(tensor::DType type) { return std::string(tensor::info(type).name); }

struct Share {
  int64_t tensors = 0;
  uint64_t bytes = 0;
};

std::map<std::string, Share> shares_of(const recipe::QuantizePlan& plan) {
  std::map<std::string, Share> shares;
  for (const recipe::TensorPlan& tensor : plan.tensors) {
    Share& share = shares[type_name(tensor.out.dtype)];
    ++share.tensors;
    share.bytes += static_cast<uint64_t>(tensor.out.bytes());
  }
  return shares;
}

Json tensor_json(const recipe::TensorPlan& tensor) {
  Json json = Json::object();
  json.set("name", tensor.out.name);
  Json shape = Json::array();
  for (const int64_t dim : tensor.out.shape.dims()) shape.push(dim);
  json.set("shape", std::move(shape));
  json.set("from", type_name(tensor.from));
  json.set("type", type_name(tensor.out.dtype));
  json.set("bytes", tensor.out.bytes());
  json.set("decided_by", tensor.decided_by);
  json.set("weighted", tensor.weighted);
  return json;
}

Json totals_json(const recipe::QuantizePlan& plan, uint64_t file_bytes) {
  Json json = Json::object();
  json.set("type", std::string(plan.preset.name));
  json.set("file_bytes", file_bytes);
  json.set("data_bytes", plan.data_bytes);
  json.set("parameters", plan.elements);
  json.set("bits_per_weight", plan.bits_per_weight());
  Json types = Json::object();
  for (const auto& [name, share] : shares_of(plan)) {
    Json item = Json::object();
    item.set("tensors", share.tensors);
    item.set("bytes", share.bytes);
    types.set(name, std::move(item));
  }
  json.set("types", std::move(types));
  return json;
}

std::string totals_text(const recipe::QuantizePlan& plan, uint64_t file_bytes) {
  std::string text;
  for (const auto& [name, share] : shares_of(plan)) {
    text += strf("%8lld tensors  %-8s %s\n", static_cast<long long>(share.tensors), name.c_str(),
                 base::both_units(share.bytes).c_str());
  }
  return text + strf("%s  %s, %.4f bits per weight over %lld parameters\n",
                     std::string(plan.preset.name).c_str(), base::both_units(file_bytes).c_str(),
                     plan.bits_per_weight(), static_cast<long long>(plan.elements));
}

}  // namespace

void print_plan(const Common& common, const recipe::QuantizePlan& plan, uint64_t file_bytes,
                const Expectation& expectation) {
  if (common.json) {
    Json json = totals_json(plan, file_bytes);
    Json tensors = Json::array();
    for (const recipe::TensorPlan& tensor : plan.tensors) tensors.push(tensor_json(tensor));
    json.set("tensors", std::move(tensors));
    Json expected = Json::object();
    expected.set("seconds", expectation.time.seconds);
    expected.set("basis", expectation.time.basis);
    expected.set("memory_bytes", expectation.memory_bytes);
    json.set("expected", std::move(expected));
    print_json(std::move(json));
    return;
  }
  std::string text = strf("%-40s %-22s %-6s %-8s %14s  %s\n", "tensor", "shape", "from", "type",
                          "bytes", "decided by");
  for (const recipe::TensorPlan& tensor : plan.tensors) {
    text += strf("%-40s %-22s %-6s %-8s %14lld  %s%s\n", base::printable(tensor.out.name).c_str(),
                 tensor.out.shape.str().c_str(), type_name(tensor.from).c_str(),
                 type_name(tensor.out.dtype).c_str(), static_cast<long long>(tensor.out.bytes()),
                 tensor.decided_by, tensor.weighted ? ", weighted" : "");
  }
  print(text + totals_text(plan, file_bytes) +
        strf("expected: %.0f s (%s), %s of memory\n", std::ceil(expectation.time.seconds),
             expectation.time.basis.c_str(), base::both_units(expectation.memory_bytes).c_str()));
}

void print_result(const Common& common, const recipe::QuantizePlan& plan,
                  const std::vector<std::string>& files, uint64_t file_bytes, double seconds) {
  std::string lines;
  for (const std::string& file : files) lines += base::printable(file) + "\n";
  if (common.json) {
    Json json = Json::object();
    json.set("output", files[0]);
    if (files.size() > 1) json.set("outputs", Json(Json::Array(files.begin(), files.end())));
    const Json totals = totals_json(plan, file_bytes);
    for (const auto& [key, value] : totals.as_object()) json.set(key, value);
    json.set("seconds", seconds);
    print_json(std::move(json));
  } else if (common.quiet) {
    print(lines);
  } else {
    print(totals_text(plan, file_bytes) + lines + strf("written in %.1f s\n", seconds));
  }
}

}  // namespace karat::cli
