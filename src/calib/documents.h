// Documents of local files: what calibration packets are made of, and items of evaluation sets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace karat::calib {

// How a file is cut into documents.
enum class DocumentForm {
  file,        // the whole file is one
  paragraphs,  // what stands between lines that are blank
  lines,       // every line that is not blank
  json,        // every record: the strings of its fields
  chat,        // every record: its "messages", and "tools" if it has them
};
// "file", "paragraphs", ...; nothing for another word.
const DocumentForm* document_form(std::string_view word);
std::string_view form_name(DocumentForm form);

struct Document {
  std::string file;                // as list_files() gave it
  int64_t number = 0;              // in its file, from 1: the line it begins in, or the record
  std::vector<std::string> texts;  // all its strings, keys of objects among them; of text: one
  base::Json messages, tools;      // of a chat; else null
  bool is_chat() const { return !messages.is_null(); }
};

// The files that `path` stands for, in byte order: itself, or all regular files below a folder.
// Error{bad_input} if there is none.
std::vector<std::string> list_files(const std::string& path);

// Reads the documents of a file. Records are JSON, one a line or all in one array. `fields`: which
// members of a json record count (each must be in it); all if empty. Empty documents are left out.
// Error{bad_input} naming file and line: not UTF-8 text, not JSON, a field or the messages missing.
std::vector<Document> read_documents(const std::string& file, DocumentForm form,
                                     const std::vector<std::string>& fields);

}  // namespace karat::calib
