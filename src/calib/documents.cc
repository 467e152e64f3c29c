#include "calib/documents.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

namespace karat::calib {

using base::ErrorKind;
using base::fail;
using base::Json;
using base::printable;

namespace {

constexpr std::array<std::pair<std::string_view, DocumentForm>, 5> kForms = {
    {{"file", DocumentForm::file},
     {"paragraphs", DocumentForm::paragraphs},
     {"lines", DocumentForm::lines},
     {"json", DocumentForm::json},
     {"chat", DocumentForm::chat}}};

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

// Calls body(line without its end, number from 1, where it begins).
template <class Body>
void for_lines(std::string_view text, const Body& body) {
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    if (base::ends_with(line, "\r")) line.remove_suffix(1);
    body(line, ++number, begin);
    begin = end + 1;
  }
}

void add_text(const std::string& file, int64_t number, std::string_view text,
              std::vector<Document>& out) {
  if (is_blank(text)) return;
  out.push_back({file, number, {std::string(text)}, {}, {}});
}

std::vector<Document> paragraphs_of(const std::string& file, std::string_view text) {
  std::vector<Document> out;
  size_t first = 0, last = 0;
  int64_t first_line = 0;
  for_lines(text, [&](std::string_view line, int64_t number, size_t begin) {
    if (is_blank(line)) {
      if (first_line > 0) add_text(file, first_line, text.substr(first, last - first), out);
      first_line = 0;
      return;
    }
    if (first_line == 0) first = begin, first_line = number;
    last = begin + line.size();
  });
  if (first_line > 0) add_text(file, first_line, text.substr(first, last - first), out);
  return out;
}

void collect_strings(const Json& value, std::vector<std::string>& out) {
  if (value.is_string()) {
    out.push_back(value.as_string());
  } else if (value.is_array()) {
    for (const Json& item : value.as_array()) collect_strings(item, out);
  } else if (value.is_object()) {
    for (const auto& [key, member] : value.as_object()) {
      out.push_back(key);
      collect_strings(member, out);
    }
  }
}

Document document_of(const Json& record, DocumentForm form, const std::vector<std::string>& fields,
                     const std::string& file, int64_t number) {
  Document out;
  out.file = file;
  out.number = number;
  const auto refusal = [&](const std::string& problem) {
    return fail(ErrorKind::bad_input, "%s:%lld: %s", printable(file).c_str(),
                static_cast<long long>(number), problem.c_str());
  };
  if (!record.is_object()) throw refusal("an object is expected");
  const auto member = [&](const std::string& key) -> const Json& {
    const Json* found = record.find(key);
    if (found != nullptr) return *found;
    throw refusal("the record has no '" + printable(key) + "'");
  };
  if (form == DocumentForm::json) {
    if (fields.empty()) collect_strings(record, out.texts);
    for (const std::string& field : fields) collect_strings(member(field), out.texts);
    return out;
  }
  out.messages = member("messages");
  const bool well_formed =
      out.messages.is_array() && !out.messages.as_array().empty() &&
      std::all_of(out.messages.as_array().begin(), out.messages.as_array().end(),
                  [](const Json& message) {
                    return message.is_object() && message.find("role") != nullptr;
                  });
  if (!well_formed) {
    throw refusal("'messages' is no list of objects with a 'role'");
  }
  if (const Json* tools = record.find("tools"); tools != nullptr) out.tools = *tools;
  if (!out.tools.is_null() && !out.tools.is_array()) {
    throw refusal("'tools' is no list");
  }
  collect_strings(out.messages, out.texts);
  collect_strings(out.tools, out.texts);
  return out;
}

std::vector<Document> records_of(const std::string& file, const std::string& text,
                                 DocumentForm form, const std::vector<std::string>& fields) {
  std::vector<Document> out;
  const auto add = [&](const Json& record, int64_t number) {
    Document document = document_of(record, form, fields, file, number);
    const auto& texts = document.texts;
    if (std::all_of(texts.begin(), texts.end(), [](const auto& part) { return is_blank(part); })) {
      return;
    }
    out.push_back(std::move(document));
  };
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '[') {
    int64_t number = 0;
    const Json records = base::parse_json(text, {.name = printable(file)});
    for (const Json& record : records.as_array()) add(record, ++number);
    return out;
  }
  for_lines(text, [&](std::string_view line, int64_t number, size_t) {
    if (is_blank(line)) return;
    add(base::parse_json(line, {.name = printable(file) + ":" + std::to_string(number)}), number);
  });
  return out;
}

}  // namespace

const DocumentForm* document_form(std::string_view word) {
  for (const auto& [name, form] : kForms) {
    if (name == word) return &form;
  }
  return nullptr;
}

std::string_view form_name(DocumentForm form) {
  for (const auto& [name, value] : kForms) {
    if (value == form) return name;
  }
  return {};
}

std::vector<std::string> list_files(const std::string& path) {
  if (!base::is_directory(path)) return {base::File(path).path()};
  std::vector<std::string> files;
  std::error_code error;
  for (auto it = std::filesystem::recursive_directory_iterator(path, error);
       !error && it != std::filesystem::recursive_directory_iterator(); it.increment(error)) {
    if (it->is_regular_file(error)) files.push_back(it->path().string());
  }
  if (error) {
    throw fail(ErrorKind::bad_input, "%s: %s", printable(path).c_str(), error.message().c_str());
  }
  if (files.empty()) {
    throw fail(ErrorKind::bad_input, "%s: the folder has no files", printable(path).c_str());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<Document> read_documents(const std::string& file, DocumentForm form,
                                     const std::vector<std::string>& fields) {
  const std::string text = base::read_file(file);
  if (text.find('\0') != std::string::npos || !base::is_utf8(text)) {
    throw fail(ErrorKind::bad_input, "%s: not a UTF-8 text", printable(file).c_str());
  }
  std::vector<Document> out;
  switch (form) {
    case DocumentForm::file:
      add_text(file, 1, text, out);
      return out;
    case DocumentForm::paragraphs:
      return paragraphs_of(file, text);
    case DocumentForm::lines:
      for_lines(text, [&](std::string_view line, int64_t number, size_t) {
        add_text(file, number, line, out);
      });
      return out;
    case DocumentForm::json:
    case DocumentForm::chat:
      break;
  }
  return records_of(file, text, form, fields);
}

}  // namespace karat::calib
