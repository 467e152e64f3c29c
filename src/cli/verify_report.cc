#include "cli/verify_report.h"

#include "base/error.h"
#include "base/text.h"

namespace karat::cli {

using base::Json;
using base::printable;
using base::strf;

namespace {

std::string place(const exporting::BadBlock& bad) {
  return strf("tensor '%s', row %lld, block %lld", printable(bad.tensor).c_str(),
              static_cast<long long>(bad.row), static_cast<long long>(bad.block));
}

Json strings(const std::vector<std::string>& list) {
  return Json(Json::Array(list.begin(), list.end()));
}

std::string receipt_text(const Verification& v) {
  if (v.receipt.empty()) return "receipt    none\n";
  std::string out =
      strf("receipt    %s: %s\n", printable(v.receipt).c_str(),
           v.receipt_faults.empty() ? "names, sizes and SHA-256 are right" : "does not fit");
  for (const std::string& fault : v.receipt_faults) out += "  " + fault + "\n";
  return out;
}

std::string inputs_text(const Verification& v) {
  if (!v.inputs_asked) return "";
  std::string out = strf("inputs     %lld as in the receipt, %zu others, %zu not in the folder\n",
                         static_cast<long long>(v.inputs.matching), v.inputs.faults.size(),
                         v.inputs.absent.size());
  for (const std::string& fault : v.inputs.faults) out += "  " + fault + "\n";
  for (const std::string& name : v.inputs.absent) out += "  absent: " + printable(name) + "\n";
  return out;
}

}  // namespace

std::string verification_text(const Verification& v) {
  std::string out = strf("%s: %s, %lld tensors, %lld parameters, %s\n", printable(v.path).c_str(),
                         v.format.c_str(), static_cast<long long>(v.tensors),
                         static_cast<long long>(v.params), base::both_units(v.file_bytes).c_str());
  out += "structure  sound\n";
  if (v.values.bad.empty()) {
    out += "values     no NaN, infinity or impossible scale\n";
  } else {
    out +=
        strf("values     %zu tensors are damaged; the first block of each:\n", v.values.bad.size());
  }
  for (const exporting::BadBlock& bad : v.values.bad) out += "  " + place(bad) + "\n";
  for (const std::string& type : v.values.unknown_types) {
    out += "  not checked: tensors of type " + type + "\n";
  }
  return out + receipt_text(v) + inputs_text(v);
}

Json verification_json(const Verification& v) {
  Json out = Json::object();
  out.set("path", v.path);
  out.set("format", v.format);
  out.set("tensors", v.tensors);
  out.set("params", v.params);
  out.set("file_bytes", v.file_bytes);
  Json damaged = Json::array(), unchecked = Json::array();
  for (const exporting::BadBlock& bad : v.values.bad) {
    Json row = Json::object();
    row.set("tensor", bad.tensor);
    row.set("row", bad.row);
    row.set("block", bad.block);
    damaged.push(std::move(row));
  }
  for (const std::string& type : v.values.unknown_types) unchecked.push(type);
  out.set("damaged", std::move(damaged));
  out.set("unchecked_types", std::move(unchecked));
  out.set("receipt", v.receipt.empty() ? Json() : Json(v.receipt));
  out.set("receipt_faults", strings(v.receipt_faults));
  Json inputs = Json::object();
  inputs.set("matching", v.inputs.matching);
  inputs.set("absent", strings(v.inputs.absent));
  inputs.set("faults", strings(v.inputs.faults));
  out.set("inputs", v.inputs_asked ? std::move(inputs) : Json());
  out.set("sound", v.values.bad.empty() && v.receipt_faults.empty() && v.inputs.faults.empty());
  return out;
}

void refuse_faults(const Verification& v) {
  const std::string path = printable(v.path);
  if (!v.values.bad.empty()) {
    throw base::fail(base::ErrorKind::bad_input,
                     "%s: %s has a NaN, an infinity or an impossible scale; the file is damaged, "
                     "fetch or make it again",
                     path.c_str(), place(v.values.bad.front()).c_str());
  }
  const std::vector<std::string>& faults =
      v.receipt_faults.empty() ? v.inputs.faults : v.receipt_faults;
  if (faults.empty()) return;
  throw base::fail(base::ErrorKind::gate, "%s: does not fit its receipt: %s", path.c_str(),
                   faults.front().c_str());
}

}  // namespace karat::cli
