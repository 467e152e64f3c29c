#include "base/toml.h"

#include <toml++/toml.h>

#include "base/text.h"

namespace karat::base {

// Built without exceptions (CMakeLists.txt): the parser returns what is wrong.
struct TomlTable::Document {
  std::string name;
  toml::table root;
};

namespace {

const toml::table& as_table(const void* table) { return *static_cast<const toml::table*>(table); }
const toml::node& as_node(const void* node) { return *static_cast<const toml::node*>(node); }

}  // namespace

TomlTable::TomlTable(std::shared_ptr<const Document> document, const void* table)
    : document_(std::move(document)), table_(table) {}

TomlTable TomlTable::parse(std::string_view text, const std::string& name) {
  if (!is_utf8(text)) {
    throw fail(ErrorKind::bad_input, "%s: not a TOML text (not UTF-8)", printable(name).c_str());
  }
  toml::parse_result result = toml::parse(text);
  if (!result) {
    const std::string what(result.error().description());
    throw fail(ErrorKind::bad_input, "%s:%u: %s", printable(name).c_str(),
               static_cast<unsigned>(result.error().source().begin.line), printable(what).c_str());
  }
  auto document = std::make_shared<Document>(Document{name, std::move(result).table()});
  const void* root = &document->root;
  return TomlTable(std::move(document), root);
}

const void* TomlTable::find(const std::string& key) {
  asked_.insert(key);
  return as_table(table_).get(key);
}

Error TomlTable::error(const std::string& key, const std::string& problem) const {
  const toml::node* node = key.empty() ? nullptr : as_table(table_).get(key);
  const unsigned line =
      static_cast<unsigned>((node != nullptr ? *node : as_node(table_)).source().begin.line);
  const std::string place = printable(document_->name) + ":" + std::to_string(line);
  return key.empty() ? fail(ErrorKind::bad_input, "%s: %s", place.c_str(), problem.c_str())
                     : fail(ErrorKind::bad_input, "%s: key '%s': %s", place.c_str(),
                            printable(key).c_str(), problem.c_str());
}

Error TomlTable::missing(const std::string& key) const {
  return error("", "'" + key + "' is missing here");
}

std::optional<std::string> TomlTable::text(const std::string& key) {
  const void* node = find(key);
  if (node == nullptr) return {};
  if (!as_node(node).is_string()) throw error(key, "a string is expected");
  return as_node(node).as_string()->get();
}

std::optional<int64_t> TomlTable::integer(const std::string& key) {
  const void* node = find(key);
  if (node == nullptr) return {};
  if (!as_node(node).is_integer()) throw error(key, "an integer is expected");
  return as_node(node).as_integer()->get();
}

std::optional<double> TomlTable::number(const std::string& key) {
  const void* node = find(key);
  if (node == nullptr) return {};
  if (as_node(node).is_integer()) return static_cast<double>(as_node(node).as_integer()->get());
  if (!as_node(node).is_floating_point()) throw error(key, "a number is expected");
  return as_node(node).as_floating_point()->get();
}

std::optional<bool> TomlTable::flag(const std::string& key) {
  const void* node = find(key);
  if (node == nullptr) return {};
  if (!as_node(node).is_boolean()) throw error(key, "true or false is expected");
  return as_node(node).as_boolean()->get();
}

std::vector<std::string> TomlTable::texts(const std::string& key) {
  const void* node = find(key);
  if (node == nullptr) return {};
  const toml::array* list = as_node(node).as_array();
  if (list == nullptr) throw error(key, "an array of strings is expected");
  std::vector<std::string> out;
  for (const toml::node& item : *list) {
    if (!item.is_string()) throw error(key, "an array of strings is expected");
    out.push_back(item.as_string()->get());
  }
  return out;
}

std::vector<TomlTable> TomlTable::tables(const std::string& key) {
  const void* node = find(key);
  if (node == nullptr) return {};
  const std::string expected = "tables are expected, [[" + key + "]]";
  const toml::array* list = as_node(node).as_array();
  if (list == nullptr) throw error(key, expected);
  std::vector<TomlTable> out;
  for (const toml::node& item : *list) {
    if (!item.is_table()) throw error(key, expected);
    out.push_back(TomlTable(document_, item.as_table()));
  }
  return out;
}

std::string TomlTable::text_at(const std::string& key) {
  const auto value = text(key);
  if (!value) throw missing(key);
  return *value;
}

int64_t TomlTable::integer_at(const std::string& key) {
  const auto value = integer(key);
  if (!value) throw missing(key);
  return *value;
}

double TomlTable::number_at(const std::string& key) {
  const auto value = number(key);
  if (!value) throw missing(key);
  return *value;
}

void TomlTable::require_all_read() const {
  for (const auto& [key, node] : as_table(table_)) {
    const std::string name(key.str());
    if (asked_.count(name) > 0) continue;
    const auto hint = did_you_mean(name, {asked_.begin(), asked_.end()});
    throw error(name, hint ? "unknown; did you mean '" + *hint + "'?" : "unknown");
  }
}

}  // namespace karat::base
