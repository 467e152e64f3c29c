// TOML tables read strictly: every key has to be asked for, and what nobody asked for is an error.
// The parser is toml++, wrapped here and nowhere else.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace karat::base {

// A table of a TOML text. Errors are Error{bad_input} "NAME:LINE: key 'x': ...". A value's type is
// never converted, but an integer may stand for a number.
class TomlTable {
 public:
  // Parses a whole text; `name` (of the file) stands in front of messages. Nesting is bounded, a
  // key given twice is an error.
  static TomlTable parse(std::string_view text, const std::string& name);

  // The value of a key, or nothing if it is absent.
  std::optional<std::string> text(const std::string& key);
  std::optional<int64_t> integer(const std::string& key);
  std::optional<double> number(const std::string& key);
  std::optional<bool> flag(const std::string& key);
  std::vector<std::string> texts(const std::string& key);  // an array of strings; absent: empty
  std::vector<TomlTable> tables(const std::string& key);   // [[key]]; absent: empty

  // The value of a key that must be there.
  std::string text_at(const std::string& key);
  int64_t integer_at(const std::string& key);
  double number_at(const std::string& key);

  // Error unless every key was asked for.
  void require_all_read() const;
  // An error about a key, with its line, or about the table (no key), with the line it begins in.
  Error error(const std::string& key, const std::string& problem) const;

 private:
  struct Document;
  TomlTable(std::shared_ptr<const Document> document, const void* table);
  const void* find(const std::string& key);
  Error missing(const std::string& key) const;

  std::shared_ptr<const Document> document_;
  const void* table_;  // a toml::table of the document
  std::set<std::string> asked_;
};

}  // namespace karat::base
