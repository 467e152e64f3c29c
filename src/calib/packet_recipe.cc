#include "calib/packet_recipe.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include "base/text.h"
#include "base/toml.h"

namespace karat::calib {

using base::TomlTable;

namespace {

constexpr int64_t kSchema = 1;
constexpr int64_t kContextMax = int64_t{1} << 20;

DocumentForm form_of(TomlTable& table) {
  const std::string word = table.text_at("form");
  const DocumentForm* form = document_form(word);
  if (form == nullptr) {
    throw table.error(
        "form", "'" + base::printable(word) + "' is none of file, paragraphs, lines, json, chat");
  }
  return *form;
}

std::vector<std::string> fields_of(TomlTable& table, DocumentForm form) {
  const std::vector<std::string> fields = table.texts("fields");
  if (!fields.empty() && form != DocumentForm::json) {
    throw table.error("fields", "only json records have fields");
  }
  return fields;
}

int64_t limited(TomlTable& table, const std::string& key, int64_t low, int64_t high) {
  const int64_t value = table.integer_at(key);
  if (value >= low && value <= high) return value;
  throw table.error(key, base::strf("%lld is not from %lld to %lld", static_cast<long long>(value),
                                    static_cast<long long>(low), static_cast<long long>(high)));
}

PacketSource source_of(TomlTable& table) {
  PacketSource source;
  source.path = table.text_at("path");
  source.form = form_of(table);
  source.fields = fields_of(table, source.form);
  if (source.form == DocumentForm::json && source.fields.empty()) source.fields = {"text"};
  const bool is_chat = source.form == DocumentForm::chat;
  const auto cut = table.flag("cut"), special = table.flag("special");
  source.thinking = table.flag("thinking");
  if (cut && is_chat) throw table.error("cut", "conversations are kept whole");
  if (special && is_chat) {
    throw table.error("special", "a conversation's markup is the template's alone");
  }
  if (source.thinking && !is_chat) throw table.error("thinking", "only chats have a template");
  source.cut = cut.value_or(false);
  source.special = special.value_or(false);
  table.require_all_read();
  return source;
}

PacketDomain domain_of(TomlTable& table) {
  PacketDomain domain;
  domain.name = table.text_at("name");
  domain.share = table.number_at("share");
  if (!(domain.share > 0) || !std::isfinite(domain.share)) {
    throw table.error("share", "more than 0 is expected");
  }
  for (TomlTable& source : table.tables("source")) domain.sources.push_back(source_of(source));
  if (domain.sources.empty()) throw table.error("", "the domain has no [[domain.source]]");
  table.require_all_read();
  return domain;
}

EvaluationSet evaluation_of(TomlTable& table) {
  EvaluationSet set;
  set.name = table.text_at("name");
  set.path = table.text_at("path");
  set.form = form_of(table);
  set.fields = fields_of(table, set.form);
  table.require_all_read();
  return set;
}

template <class Named>
void require_distinct(const TomlTable& root, const std::string& key,
                      const std::vector<Named>& list) {
  std::set<std::string> names;
  for (const Named& item : list) {
    if (!names.insert(item.name).second) {
      throw root.error(key, "two are named '" + base::printable(item.name) + "'");
    }
  }
}

}  // namespace

std::string PacketRecipe::path_of(const std::string& path) const {
  return (std::filesystem::path(folder) / path).string();
}

std::vector<int64_t> PacketRecipe::budgets() const {
  double sum = 0;
  for (const PacketDomain& domain : domains) sum += domain.share;
  std::vector<int64_t> out;
  std::vector<double> remainders;
  for (const PacketDomain& domain : domains) {
    const double exact = static_cast<double>(tokens) * (domain.share / sum);
    out.push_back(static_cast<int64_t>(exact));
    remainders.push_back(exact - std::floor(exact));
  }
  std::vector<size_t> order(domains.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return remainders[a] > remainders[b]; });
  const int64_t left = tokens - std::accumulate(out.begin(), out.end(), int64_t{0});
  for (int64_t i = 0; i < left; ++i) ++out[order[static_cast<size_t>(i) % order.size()]];
  return out;
}

PacketRecipe parse_packet_recipe(const std::string& text, const std::string& file) {
  TomlTable root = TomlTable::parse(text, file);
  PacketRecipe recipe;
  recipe.file = file;
  recipe.folder = std::filesystem::path(file).parent_path().string();
  limited(root, "schema", kSchema, kSchema);
  recipe.tokens = limited(root, "tokens", 1, kPacketTokensMax);
  recipe.context = limited(root, "context", 2, kContextMax);
  if (root.integer("seed"))
    recipe.seed = static_cast<uint64_t>(limited(root, "seed", 0, INT64_MAX));
  const std::string overlap = root.text("overlap").value_or("remove");
  if (overlap != "remove" && overlap != "refuse") {
    throw root.error("overlap", "remove or refuse is expected");
  }
  recipe.refuse_overlap = overlap == "refuse";
  for (TomlTable& table : root.tables("domain")) recipe.domains.push_back(domain_of(table));
  for (TomlTable& table : root.tables("evaluation")) {
    recipe.evaluations.push_back(evaluation_of(table));
  }
  root.require_all_read();
  if (recipe.domains.empty()) throw root.error("", "the recipe has no [[domain]]");
  require_distinct(root, "domain", recipe.domains);
  require_distinct(root, "evaluation", recipe.evaluations);
  return recipe;
}

}  // namespace karat::calib
