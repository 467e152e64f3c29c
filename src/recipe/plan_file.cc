#include "recipe/plan_file.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "model/names.h"
#include "receipt/receipt.h"
#include "recipe/mixture_rules.h"

namespace karat::recipe {

using base::ErrorKind;
using base::fail;
using base::Json;
using tensor::TensorInfo;

namespace {

constexpr const char* kFormat = "karat.plan.1";
constexpr uint64_t kFileBytesMax = uint64_t{1} << 26;

Json tensor_json(const PlannedTensor& tensor) {
  Json json = Json::object();
  json.set("name", tensor.name);
  json.set("type", std::string(tensor::info(tensor.type).name));
  json.set("decided_by", tensor.decided_by);
  json.set("bytes", tensor.bytes);
  json.set("bytes_per_token", tensor.bytes_per_token);
  if (tensor.gain > 0) {
    json.set("error", tensor.error);
    json.set("gain", tensor.gain);
    json.set("rate_up", tensor.rate_up);
    json.set("rate_down", tensor.rate_down);
  }
  return json;
}

PlannedTensor tensor_of(const Json& json) {
  PlannedTensor tensor;
  tensor.name = json.at("name").as_string();
  const std::string& type = json.at("type").as_string();
  const auto known = tensor::dtype_from_name(type);
  if (!known) {
    throw fail(ErrorKind::bad_input, "'%s' is no type", base::printable(type).c_str());
  }
  tensor.type = *known;
  tensor.decided_by = json.at("decided_by").as_string();
  tensor.bytes = json.at("bytes").as_uint();
  tensor.bytes_per_token = json.at("bytes_per_token").as_uint();
  if (const Json* error = json.find("error")) tensor.error = error->as_double();
  if (const Json* gain = json.find("gain")) tensor.gain = gain->as_double();
  if (const Json* rate = json.find("rate_up")) tensor.rate_up = rate->as_double();
  if (const Json* rate = json.find("rate_down")) tensor.rate_down = rate->as_double();
  return tensor;
}

// The first preset with the base type that most of the data is in.
const Preset* preset_of(const Plan& plan) {
  std::map<tensor::DType, uint64_t> bytes;
  for (const PlannedTensor& tensor : plan.tensors) bytes[tensor.type] += tensor.bytes;
  const Preset* found = nullptr;
  uint64_t most = 0;
  for (const Preset& preset : presets()) {
    if (preset.copies || bytes[preset.base] <= most) continue;
    most = bytes[preset.base];
    found = &preset;
  }
  CHECK(found != nullptr);
  return found;
}

}  // namespace

int64_t Plan::elements(const tensor::TensorSource& source) const {
  int64_t elements = 0;
  for (const PlannedTensor& tensor : tensors) {
    elements += source.at(tensor.name).shape.elements();
  }
  return elements;
}

double Plan::cost() const {
  double cost = 0;
  for (const PlannedTensor& tensor : tensors) cost += tensor.cost();
  return cost;
}

double Plan::divergence() const { return std::pow(cost(), exponent); }

std::string model_identity(const tensor::TensorSource& source) {
  std::vector<const TensorInfo*> tensors;
  for (const TensorInfo& info : source.tensors()) tensors.push_back(&info);
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorInfo* a, const TensorInfo* b) { return a->name < b->name; });
  base::Sha256 hash;
  std::vector<std::byte> row;
  for (const TensorInfo* info : tensors) {
    const std::string line = info->name + " " + std::string(tensor::info(info->dtype).name) + " " +
                             info->shape.str() + "\n";
    hash.update(std::as_bytes(std::span(line)));
    const int64_t rows = info->shape.rows();
    if (rows == 0) continue;
    row.resize(static_cast<size_t>(info->row_bytes()));
    for (const int64_t at : {int64_t{0}, rows / 2, rows - 1}) {
      source.read_rows(*info, at, 1, row);
      hash.update(row);
    }
  }
  return hash.hex();
}

uint64_t bytes_per_token(const TensorInfo& tensor, const model::Config& config) {
  const auto bytes = static_cast<uint64_t>(tensor.bytes());
  if (tensor.name == model::kTokenEmbd) return static_cast<uint64_t>(tensor.row_bytes());
  if (model::layer_of(tensor.name) >= config.layers()) return 0;  // MTP
  if (tensor.shape.experts() <= 1 || tensor.shape.experts() != config.experts) return bytes;
  return bytes / static_cast<uint64_t>(config.experts) * static_cast<uint64_t>(config.experts_used);
}

Json plan_json(const Plan& plan) {
  Json json = Json::object();
  json.set("format", kFormat);
  json.set("version", receipt::kVersion);
  json.set("model", plan.model);
  json.set("statistics", plan.statistics);
  json.set("target", plan.target);
  json.set("effort", plan.effort);
  json.set("seed", plan.seed);
  json.set("data_bytes", plan.data_bytes);
  json.set("file_bytes", plan.file_bytes);
  json.set("exponent", plan.exponent);
  json.set("divergence", plan.divergence());
  Json tensors = Json::array();
  for (const PlannedTensor& tensor : plan.tensors) tensors.push(tensor_json(tensor));
  json.set("tensors", std::move(tensors));
  return json;
}

Plan read_plan(const std::string& path) {
  const std::string name = base::printable(path);
  const auto json = base::try_parse_json(base::read_file(path, kFileBytesMax));
  const Json* format = json && json->is_object() ? json->find("format") : nullptr;
  if (format == nullptr || !format->is_string() || format->as_string() != kFormat) {
    throw fail(ErrorKind::bad_input, "%s: is no plan; karat plan makes one", name.c_str());
  }
  Plan plan;
  plan.model = json->at("model").as_string();
  plan.statistics = json->at("statistics").as_string();
  plan.target = json->at("target").as_string();
  plan.effort = json->at("effort").as_string();
  plan.seed = json->at("seed").as_uint();
  plan.data_bytes = json->at("data_bytes").as_uint();
  plan.file_bytes = json->at("file_bytes").as_uint();
  plan.exponent = json->at("exponent").as_double();
  for (const Json& tensor : json->at("tensors").as_array())
    plan.tensors.push_back(tensor_of(tensor));
  return plan;
}

PlanDecisions decisions_of(const Plan& plan, const std::string& path,
                           const tensor::TensorSource& source, const std::string& statistics) {
  const std::string name = base::printable(path);
  if (plan.model != model_identity(source)) {
    throw fail(ErrorKind::usage, "%s: was made for another model than %s; plan again", name.c_str(),
               base::printable(source.origin()).c_str());
  }
  if (plan.statistics != statistics) {
    throw fail(
        ErrorKind::usage,
        "%s: was made with other statistics; give the folder it was made with, or plan again",
        name.c_str());
  }
  PlanDecisions out{preset_of(plan), {}};
  std::vector<bool> seen(source.tensors().size());
  for (const PlannedTensor& tensor : plan.tensors) {
    const TensorInfo* info = source.find(tensor.name);
    const auto index =
        info == nullptr ? seen.size() : static_cast<size_t>(info - source.tensors().data());
    if (index == seen.size() || seen[index]) {
      throw fail(ErrorKind::bad_input, "%s: its tensor '%s' is %s", name.c_str(),
                 base::printable(tensor.name).c_str(),
                 info == nullptr ? "not the model's" : "there twice");
    }
    seen[index] = true;
    out.decisions.push_back(
        {index, tensor.type, tensor.decided_by == "kept" ? "kept" : "plan",
         requires_imatrix(category_of(tensor.name), tensor.type, out.preset->ftype)});
  }
  if (out.decisions.size() != seen.size()) {
    throw fail(ErrorKind::bad_input, "%s: says nothing of some of the model's tensors",
               name.c_str());
  }
  return out;
}

std::string tensor_type_file(const Plan& plan) {
  std::string text;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.decided_by == "kept") continue;
    std::string pattern;
    for (const char c : tensor.name) pattern += c == '.' ? std::string("\\.") : std::string(1, c);
    text += "^" + pattern + "$=" + std::string(tensor::info(tensor.type).name) + "\n";
  }
  return text;
}

}  // namespace karat::recipe
