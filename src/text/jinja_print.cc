#include "text/jinja_print.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "text/jinja_operators.h"
#include "text/python_text.h"

namespace karat::text {

std::string decimal(Integer value) {
  const bool negative = value < 0;
  std::string digits;
  do {
    const auto digit = static_cast<int>(value % 10);
    digits += static_cast<char>('0' + std::abs(digit));
    value /= 10;
  } while (value != 0);
  if (negative) digits += '-';
  std::reverse(digits.begin(), digits.end());
  return digits;
}

namespace {

// Deepest container printed; namespaces can contain themselves.
constexpr int kPrintDepthMax = 200;

std::string scalar(const Value& value) {
  if (value.is_none()) return "None";
  if (const bool* flag = value.get<bool>()) return *flag ? "True" : "False";
  if (const Integer* number = value.get<Integer>()) return decimal(*number);
  if (const double* number = value.get<double>()) return python_repr(*number);
  if (const CallableObject* object = value.callable()) {
    return base::strf("<%s '%s'>", object->macro != nullptr ? "Macro" : "function",
                      object->name.c_str());
  }
  const LoopObject* loop = value.loop();
  return loop == nullptr ? "" : base::strf("<LoopContext %zu/%zu>", loop->index + 1, loop->count);
}

class Printer {
 public:
  Printer(Runtime& runtime, TextBuilder& out) : runtime_(runtime), out_(out) {}

  void repr(const Value& value, int depth) {
    runtime_.step();
    if (depth > kPrintDepthMax) runtime_.fail("the value to print is nested too deeply");
    if (value.is_undefined()) {
      out_.append("Undefined");
    } else if (const MarkedText* text = value.string()) {
      runtime_.check_bytes(4 * text->text.size());  // a control character becomes four bytes
      out_.append(MarkedText(python_repr(text->text), text->has_input()));
    } else if (const ListObject* list = value.list()) {
      repr_list(*list, depth);
    } else if (const DictObject* dict = value.dict()) {
      repr_entries(dict->entries, depth);
    } else if (const NamespaceObject* object = value.namespace_object()) {
      repr_namespace(*object, depth);
    } else {
      out_.append(scalar(value));
    }
  }

 private:
  void repr_list(const ListObject& list, int depth) {
    out_.append(list.is_tuple ? "(" : "[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_.append(", ");
      repr(list.items[i], depth + 1);
    }
    if (list.is_tuple && list.items.size() == 1) out_.append(",");
    out_.append(list.is_tuple ? ")" : "]");
  }

  void repr_entries(const DictEntries& entries, int depth) {
    out_.append("{");
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_.append(", ");
      repr(entries[i].first, depth + 1);
      out_.append(": ");
      repr(entries[i].second, depth + 1);
    }
    out_.append("}");
  }

  void repr_namespace(const NamespaceObject& object, int depth) {
    out_.append("<Namespace {");
    bool first = true;
    for (const auto& [name, value] : object.attributes) {
      if (!first) out_.append(", ");
      first = false;
      out_.append(python_repr(name) + ": ");
      repr(value, depth + 1);
    }
    out_.append("}>");
  }

  Runtime& runtime_;
  TextBuilder& out_;
};

}  // namespace

void print(const Value& value, Runtime& runtime, TextBuilder& out) {
  if (const MarkedText* text = value.string()) {
    out.append(*text);
  } else if (!value.is_undefined()) {
    Printer(runtime, out).repr(value, 0);
  }
}

Value to_string(Runtime& runtime, const Value& value) {
  if (value.is_string()) return value;
  TextBuilder out(runtime);
  print(value, runtime, out);
  return runtime.string(out.take());
}

namespace {

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style, TextBuilder& out)
      : runtime_(runtime), style_(style), out_(out) {}

  void write(const Value& value, size_t level) {
    runtime_.step();
    if (const MarkedText* text = value.string()) {
      write_string(text->text, text->has_input());
    } else if (const ListObject* list = value.list()) {
      write_list(*list, level);
    } else if (const DictObject* dict = value.dict()) {
      write_dict(*dict, level);
    } else if (value.is_number() || value.is_none()) {
      out_.append(json_scalar(value));
    } else {
      runtime_.fail("Object of type %s is not JSON serializable", value.type_name());
    }
  }

 private:
  static std::string json_scalar(const Value& value) {
    if (value.is_none()) return "null";
    if (const bool* flag = value.get<bool>()) return *flag ? "true" : "false";
    if (const Integer* number = value.get<Integer>()) return decimal(*number);
    const double number = *value.get<double>();
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
    return python_repr(number);
  }

  void write_string(const std::string& text, bool from_input) {
    runtime_.check_bytes(6 * text.size());  // a control character becomes six bytes
    std::string quoted = "\"";
    for (size_t at = 0; at < text.size();) {
      const CodePoint point = code_point_at(text, at);
      append_escaped(point.value, std::string_view(text).substr(at, point.bytes), quoted);
      at += point.bytes;
    }
    out_.append(MarkedText(quoted + "\"", from_input));
  }

  void append_escaped(int32_t c, std::string_view bytes, std::string& out) const {
    static constexpr std::string_view kShort = "\"\"\\\\\nn\rr\tt\ff\bb";
    for (size_t i = 0; i < kShort.size(); i += 2) {
      if (c == kShort[i]) {
        out += '\\';
        out += kShort[i + 1];
        return;
      }
    }
    const auto value = static_cast<unsigned>(c);
    if (c < 0x20 || (style_.ensure_ascii && c >= 0x7F && c < 0x10000)) {
      out += base::strf("\\u%04x", value);
    } else if (style_.ensure_ascii && c >= 0x10000) {
      const unsigned rest = value - 0x10000;
      out += base::strf("\\u%04x\\u%04x", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
    } else {
      out += bytes;
    }
  }

  void write_key(const Value& key) {
    if (const MarkedText* text = key.string()) {
      write_string(text->text, text->has_input());
    } else if (key.is_number() || key.is_none()) {
      write_string(json_scalar(key), false);
    } else {
      runtime_.fail("a %s cannot be a key in JSON", key.type_name());
    }
  }

  void separate(bool first, size_t level) {
    if (!first) out_.append(style_.item_separator);
    if (style_.indent) line_break(level + 1);
  }

  void line_break(size_t level) {
    out_.append("\n");
    for (size_t i = 0; i < level; ++i) out_.append(*style_.indent);
  }

  void write_list(const ListObject& list, size_t level) {
    out_.append("[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      separate(i == 0, level);
      write(list.items[i], level + 1);
    }
    if (style_.indent && !list.items.empty()) line_break(level);
    out_.append("]");
  }

  void write_dict(const DictObject& dict, size_t level) {
    DictEntries entries = dict.entries;
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(), [&](const auto& a, const auto& b) {
        return order(runtime_, a.first, b.first) < 0;
      });
    }
    out_.append("{");
    for (size_t i = 0; i < entries.size(); ++i) {
      separate(i == 0, level);
      write_key(entries[i].first);
      out_.append(style_.key_separator);
      write(entries[i].second, level + 1);
    }
    if (style_.indent && !entries.empty()) line_break(level);
    out_.append("}");
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  TextBuilder& out_;
};

}  // namespace

Value to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  TextBuilder out(runtime);
  JsonWriter(runtime, style, out).write(value, 0);
  return runtime.string(out.take());
}

Value from_json(Runtime& runtime, const base::Json& json, bool from_input) {
  if (json.is_null()) return Value::none();
  if (json.is_bool()) return Value::boolean(json.as_bool());
  if (json.is_string()) return runtime.string(MarkedText(json.as_string(), from_input));
  if (json.is_array()) {
    ValueList items;
    for (const base::Json& item : json.as_array()) {
      items.push_back(from_json(runtime, item, from_input));
    }
    return runtime.list(std::move(items));
  }
  if (json.is_object()) {
    DictEntries entries;
    for (const auto& [key, value] : json.as_object()) {
      entries.emplace_back(runtime.string(MarkedText(key, from_input)),
                           from_json(runtime, value, from_input));
    }
    return runtime.dict(std::move(entries));
  }
  if (!json.is_integer()) return Value::real(json.as_double());
  return Value::integer(json.as_double() < 0 ? Integer{json.as_int()} : Integer{json.as_uint()});
}

size_t json_bytes(const base::Json& json) {
  constexpr size_t kShare = 16;
  size_t bytes = kShare;
  if (json.is_string()) bytes += json.as_string().size();
  if (json.is_array()) {
    for (const base::Json& item : json.as_array()) bytes += json_bytes(item);
  }
  if (json.is_object()) {
    for (const auto& [key, value] : json.as_object()) {
      bytes += kShare + key.size() + json_bytes(value);
    }
  }
  return bytes;
}

}  // namespace karat::text
