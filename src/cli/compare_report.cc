#include "cli/compare_report.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/text.h"

namespace karat::cli {

using base::Json;
using base::printable;
using base::strf;
using eval::TensorPair;

namespace {

constexpr size_t kNamesMax = 8;

std::string type_name(const tensor::TensorInfo& tensor) {
  return std::string(tensor::info(tensor.dtype).name);
}

std::string file_line(const char* label, const ComparedFile& file) {
  return strf("%-8s %s: %lld tensors, %lld parameters, %llu bytes of them, %llu of files (%s)\n",
              label, printable(file.path).c_str(), static_cast<long long>(file.tensors),
              static_cast<long long>(file.params), static_cast<unsigned long long>(file.data_bytes),
              static_cast<unsigned long long>(file.file_bytes),
              base::both_units(file.file_bytes).c_str());
}

// The two that a reader holds against each other.
const ComparedFile& rival(const Comparison& c) { return c.against.path.empty() ? c.a : c.against; }

std::string size_line(const Comparison& c) {
  const ComparedFile& other = rival(c);
  const double percent =
      other.data_bytes == 0
          ? 0
          : 100 * (static_cast<double>(c.b.data_bytes) / static_cast<double>(other.data_bytes) - 1);
  return strf("sizes    B's tensors take %+.3f %% against %s's%s\n", percent,
              c.against.path.empty() ? "A" : "the other",
              like_for_like(c.b.data_bytes, other.data_bytes)
                  ? ""
                  : "; more than 0.1 % apart: not like for like");
}

std::string names_line(const char* label, const std::vector<std::string>& names) {
  if (names.empty()) return "";
  std::string out = strf("%s %zu: ", label, names.size());
  for (size_t i = 0; i < std::min(names.size(), kNamesMax); ++i) {
    out += (i == 0 ? "" : ", ") + printable(names[i]);
  }
  return out + (names.size() > kNamesMax ? ", ...\n" : "\n");
}

// "bf16 -> q4_K" with the number of tensors.
std::map<std::pair<std::string, std::string>, int64_t> type_changes(
    const eval::TensorTable& table) {
  std::map<std::pair<std::string, std::string>, int64_t> changes;
  for (const TensorPair& pair : table.pairs) ++changes[{type_name(*pair.a), type_name(*pair.b)}];
  return changes;
}

std::string table_text(const Comparison& c) {
  const bool third = !c.against.path.empty();
  std::string out = strf("\n%-40s %-8s %-8s %11s %11s %10s%s\n", "tensor", "A", "B", "rel. RMS",
                         "max |B-A|", "cosine", third ? "   against       ratio" : "");
  for (const TensorPair& pair : c.table.pairs) {
    out += strf("%-40s %-8s %-8s", printable(pair.a->name).c_str(), type_name(*pair.a).c_str(),
                type_name(*pair.b).c_str());
    if (!pair.error) {
      out += "  cannot be decoded\n";
      continue;
    }
    out += strf(" %11.4e %11.4e %10.7f", pair.error->relative_rms(), pair.error->max_abs,
                pair.error->cosine());
    if (pair.against_error) out += strf(" %11.4e", pair.against_error->relative_rms());
    if (const auto ratio = pair.ratio()) out += strf(" %9.5f", *ratio);
    out += "\n";
  }
  return out;
}

std::string ratio_lines(const eval::TensorTable& table) {
  int64_t better = 0, equal = 0, worse = 0;
  for (const TensorPair& pair : table.pairs) {
    const auto ratio = pair.ratio();
    if (!ratio) continue;
    ++(*ratio < 1 ? better : *ratio == 1 ? equal : worse);  // worse: NaN, too
  }
  return strf(
      "ratio    of B's error to the other's: at most %.6f; %lld below 1, %lld equal, %lld "
      "above\n",
      max_ratio(table), static_cast<long long>(better), static_cast<long long>(equal),
      static_cast<long long>(worse));
}

// Over all tensors, each counted by its share of the base's squares.
double overall(const eval::TensorTable& table) {
  double error = 0, norm = 0;
  for (const TensorPair& pair : table.pairs) {
    if (!pair.error) continue;
    error += pair.error->error_sq;
    norm += pair.error->norm_sq;
  }
  return error == 0 ? 0 : std::sqrt(error / norm);
}

Json file_json(const ComparedFile& file) {
  Json out = Json::object();
  out.set("path", file.path);
  out.set("tensors", file.tensors);
  out.set("params", file.params);
  out.set("data_bytes", file.data_bytes);
  out.set("file_bytes", file.file_bytes);
  return out;
}

Json pair_json(const TensorPair& pair, bool measured) {
  Json out = Json::object();
  out.set("name", pair.a->name);
  out.set("type_a", type_name(*pair.a));
  out.set("type_b", type_name(*pair.b));
  out.set("shape", pair.a->shape.str());
  if (!measured) return out;
  out.set("weighted", pair.weighted);
  out.set("relative_rms", pair.error ? Json(pair.error->relative_rms()) : Json());
  out.set("max_abs", pair.error ? Json(pair.error->max_abs) : Json());
  out.set("cosine", pair.error ? Json(pair.error->cosine()) : Json());
  if (pair.against != nullptr) {
    out.set("type_against", type_name(*pair.against));
    out.set("against_relative_rms",
            pair.against_error ? Json(pair.against_error->relative_rms()) : Json());
    const auto ratio = pair.ratio();
    out.set("ratio", ratio ? Json(*ratio) : Json());
  }
  return out;
}

Json strings(const std::vector<std::string>& names) {
  return Json(Json::Array(names.begin(), names.end()));
}

}  // namespace

bool like_for_like(uint64_t bytes, uint64_t other_bytes) {
  const uint64_t difference = std::max(bytes, other_bytes) - std::min(bytes, other_bytes);
  return static_cast<double>(difference) <= 0.001 * static_cast<double>(other_bytes);
}

double max_ratio(const eval::TensorTable& table) {
  double most = 0;
  for (const TensorPair& pair : table.pairs) {
    const double ratio = pair.ratio().value_or(0);
    if (std::isnan(ratio)) return ratio;
    most = std::max(most, ratio);
  }
  return most;
}

std::string ratio_fault(const eval::TensorTable& table, double limit) {
  if (!table.only_a.empty()) return "it lacks tensor '" + printable(table.only_a.front()) + "'";
  if (!table.other_shapes.empty()) {
    return "tensor '" + printable(table.other_shapes.front().a->name) + "' has another shape";
  }
  for (const TensorPair& pair : table.pairs) {
    const std::string name = printable(pair.a->name);
    if (!pair.error || !pair.against_error) return "tensor '" + name + "' cannot be judged";
    const double ratio = pair.ratio().value_or(0);
    if (ratio <= limit) continue;
    if (std::isnan(ratio)) return "tensor '" + name + "' holds NaN";
    return strf("the error of tensor '%s' is %.6f times the other's, %g is allowed", name.c_str(),
                ratio, limit);
  }
  return "";
}

std::string comparison_text(const Comparison& c) {
  std::string out = file_line("A", c.a) + file_line("B", c.b);
  if (!c.against.path.empty()) out += file_line("against", c.against);
  out += size_line(c);
  out += strf("tensors  %zu in both\n", c.table.pairs.size());
  out += names_line("  only in A", c.table.only_a) + names_line("  only in B", c.table.only_b);
  for (const TensorPair& pair : c.table.other_shapes) {
    out += strf("  %s: %s in A, %s in B\n", printable(pair.a->name).c_str(),
                pair.a->shape.str().c_str(), pair.b->shape.str().c_str());
  }
  for (const auto& [types, count] : type_changes(c.table)) {
    out += strf("  %-8s -> %-8s %5lld tensors\n", types.first.c_str(), types.second.c_str(),
                static_cast<long long>(count));
  }
  out += strf("metadata %zu keys differ\n", c.metadata.size());
  for (const eval::MetadataDifference& key : c.metadata) {
    out += strf("  %s: %s -> %s\n", printable(key.key).c_str(),
                key.a.empty() ? "absent" : printable(key.a, 120).c_str(),
                key.b.empty() ? "absent" : printable(key.b, 120).c_str());
  }
  if (!c.measured) return out;
  out += table_text(c);
  out += strf("\nerror    relative RMS %.4e over all tensors\n", overall(c.table));
  if (!c.against.path.empty()) out += ratio_lines(c.table);
  return out;
}

Json comparison_json(const Comparison& c) {
  Json out = Json::object();
  out.set("a", file_json(c.a));
  out.set("b", file_json(c.b));
  if (!c.against.path.empty()) out.set("against", file_json(c.against));
  out.set("like_for_like", like_for_like(c.b.data_bytes, rival(c).data_bytes));
  out.set("only_in_a", strings(c.table.only_a));
  out.set("only_in_b", strings(c.table.only_b));
  Json shapes = Json::array(), metadata = Json::array(), tensors = Json::array();
  for (const TensorPair& pair : c.table.other_shapes) {
    Json row = Json::object();
    row.set("name", pair.a->name);
    row.set("a", pair.a->shape.str());
    row.set("b", pair.b->shape.str());
    shapes.push(std::move(row));
  }
  for (const eval::MetadataDifference& key : c.metadata) {
    Json row = Json::object();
    row.set("key", key.key);
    row.set("a", key.a.empty() ? Json() : Json(key.a));
    row.set("b", key.b.empty() ? Json() : Json(key.b));
    metadata.push(std::move(row));
  }
  for (const TensorPair& pair : c.table.pairs) tensors.push(pair_json(pair, c.measured));
  out.set("other_shapes", std::move(shapes));
  out.set("metadata", std::move(metadata));
  out.set("tensors", std::move(tensors));
  if (!c.measured) return out;
  out.set("relative_rms", overall(c.table));
  const double most = max_ratio(c.table);
  if (!c.against.path.empty()) out.set("max_ratio", std::isnan(most) ? Json() : Json(most));
  return out;
}

}  // namespace karat::cli
