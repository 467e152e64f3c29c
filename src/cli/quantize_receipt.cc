#include "cli/quantize_receipt.h"

#include <algorithm>

#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "cli/build_id.h"
#include "export/gguf_metadata.h"
#include "format/gguf.h"
#include "recipe/overrides.h"

namespace karat::cli {

namespace {

constexpr size_t kStringMax = 127;  // llama-quantize's limit for what it writes itself

base::Json strings(const std::vector<std::string>& values) {
  return base::Json(base::Json::Array(values.begin(), values.end()));
}

}  // namespace

receipt::Receipt quantize_receipt(const QuantizeRequest& request, const recipe::QuantizePlan& plan,
                                  const std::vector<recipe::TypeRule>& rules) {
  receipt::Receipt receipt;
  receipt.verb = "quantize";
  base::Json& options = receipt.options;
  options.set("type", std::string(plan.preset.name));
  if (!rules.empty()) {
    base::Json list = base::Json::array();
    for (const recipe::TypeRule& rule : rules) {
      list.push(rule.pattern.pattern() + "=" + std::string(tensor::info(rule.type).name));
    }
    options.set("tensor_type", std::move(list));
  }
  const auto set_text = [&](const char* key, const std::string& value) {
    if (!value.empty()) options.set(key, value);
  };
  const auto set_list = [&](const char* key, const std::vector<std::string>& values) {
    if (!values.empty()) options.set(key, strings(values));
  };
  const auto set_flag = [&](const char* key, bool value) {
    if (value) options.set(key, true);
  };
  set_text("plan", request.plan_hash);
  set_text("output_tensor_type", request.output_type);
  set_text("token_embedding_type", request.embedding_type);
  set_list("override_kv", request.overrides);
  set_list("include_weights", request.included);
  set_list("exclude_weights", request.excluded);
  set_flag("pure", request.pure);
  set_flag("leave_output_tensor", request.leave_output);
  set_flag("keep_split", request.keep_split);
  set_flag("allow_requantize", request.allow_requantize);
  for (const recipe::TensorPlan& tensor : plan.tensors) {
    if (tensor.cold_experts == 0) continue;
    receipt.notes.emplace_back(
        tensor.out.name,
        base::strf("%lld experts without statistics", static_cast<long long>(tensor.cold_experts)));
  }
  return receipt;
}

format::Metadata quantize_metadata(const QuantizeRequest& request, const model::OpenedModel& opened,
                                   const recipe::QuantizePlan& plan,
                                   const tensor::Importance* importance,
                                   const receipt::Receipt& receipt) {
  format::Metadata input = opened.metadata
                               ? *opened.metadata
                               : exporting::text_metadata(opened, opened.source->tensors(),
                                                          exporting::FileType::mostly_bf16);
  format::drop_split_keys(input);
  format::Metadata extra;
  for (const std::string& text : request.overrides) {
    format::Metadata::Entry entry = recipe::parse_override(text);
    extra.set(std::move(entry.key), std::move(entry.value));
  }
  if (importance != nullptr) {
    extra.set("quantize.imatrix.file", base::file_name(request.imatrix).substr(0, kStringMax));
    if (!importance->datasets.empty()) {
      extra.set("quantize.imatrix.dataset", importance->datasets[0].substr(0, kStringMax));
    }
    extra.set("quantize.imatrix.entries_count", static_cast<uint32_t>(importance->entries.size()));
    if (importance->chunk_count > 0) {
      extra.set("quantize.imatrix.chunks_count", importance->chunk_count);
    }
  }
  if (request.with_receipt) {
    for (const auto& [key, value] : receipt::metadata_entries(receipt)) extra.set(key, value);
  }
  return recipe::quantized_metadata(std::move(input), plan.preset, extra);
}

exporting::Fingerprint quantize_fingerprint(const QuantizeRequest& request,
                                            const receipt::Receipt& receipt,
                                            const std::vector<std::string>& inputs,
                                            const std::vector<uint64_t>& file_bytes) {
  exporting::Fingerprint fingerprint = {{"version", receipt::kVersion},
                                        {"build", kBuildId},
                                        {"verb", receipt.verb},
                                        {"receipt", request.with_receipt ? "yes" : "no"}};
  for (const auto& [key, value] : receipt.options.as_object()) {
    fingerprint.emplace_back(key, value.dump());
  }
  for (const uint64_t bytes : file_bytes) {
    fingerprint.emplace_back(base::strf("file %zu", fingerprint.size()), std::to_string(bytes));
  }
  for (const std::string& path : inputs) {  // two may have one name
    fingerprint.emplace_back(
        base::strf("input %zu %s", fingerprint.size(), base::file_name(path).c_str()),
        path == request.imatrix ? base::sha256_of_file(path) : base::file_state(path));
  }
  return fingerprint;
}

std::vector<receipt::Input> unhashed(const std::vector<std::string>& paths) {
  std::vector<receipt::Input> inputs;
  for (const std::string& path : paths) {
    inputs.push_back({base::file_name(path), base::File(path).size(), std::string(64, '0')});
  }
  return inputs;
}

}  // namespace karat::cli
