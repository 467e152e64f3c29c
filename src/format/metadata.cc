#include "format/metadata.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/text.h"

namespace karat::format {

namespace {

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

std::string text_of(const std::string& value) { return "\"" + base::printable(value, 80) + "\""; }
std::string text_of(bool value) { return value ? "true" : "false"; }
template <class T>
std::string text_of(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    return base::strf("%.*g", std::numeric_limits<T>::max_digits10, static_cast<double>(value));
  } else {
    return std::to_string(value);
  }
}

std::string text_of(const Array& array, size_t elements_max) {
  return std::visit(
      Overloaded{
          [](Array::Nested) { return std::string("[]"); },
          [&](const auto& elements) {
            std::string text = "[";
            const size_t shown = std::min(elements.size(), elements_max);
            for (size_t i = 0; i < shown; ++i) {
              if (i > 0) text += ", ";
              text += text_of(
                  static_cast<typename std::decay_t<decltype(elements)>::value_type>(elements[i]));
            }
            if (shown == elements.size()) return text + "]";
            return text + base::strf("%s...] (%zu)", shown ? ", " : "", elements.size());
          },
      },
      array.data);
}

}  // namespace

const char* name_of(ValueType type) {
  constexpr const char* kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                    "bool", "string", "array", "u64", "i64", "f64"};
  CHECK(static_cast<uint32_t>(type) < kValueTypes);
  return kNames[static_cast<uint32_t>(type)];
}

size_t Array::size() const {
  return std::visit(Overloaded{[](Nested) -> size_t { return 0; },
                               [](const auto& elements) { return elements.size(); }},
                    data);
}

std::string Value::type_name() const {
  const Array* array = std::get_if<Array>(&data_);
  return array ? std::string("array of ") + name_of(array->element_type()) : name_of(type());
}

std::string Value::str(size_t elements_max) const {
  return std::visit(Overloaded{[&](const Array& array) { return text_of(array, elements_max); },
                               [](const std::string& value) { return text_of(value); },
                               [](auto value) { return text_of(value); }},
                    data_);
}

void Metadata::set(std::string key, Value value) {
  remove(key);
  append(std::move(key), std::move(value));
}

bool Metadata::append(std::string key, Value value) {
  if (!index_.emplace(key, entries_.size()).second) return false;
  entries_.push_back({std::move(key), std::move(value)});
  return true;
}

bool Metadata::remove(std::string_view key) {
  const auto it = index_.find(key);
  if (it == index_.end()) return false;
  const size_t position = it->second;
  index_.erase(it);
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(position));
  for (size_t i = position; i < entries_.size(); ++i) index_.find(entries_[i].key)->second = i;
  return true;
}

const Value* Metadata::find(std::string_view key) const {
  const auto it = index_.find(key);
  return it == index_.end() ? nullptr : &entries_[it->second].value;
}

const Value& Metadata::at(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) {
    throw base::fail(base::ErrorKind::bad_input,
                     "%s: key '%s' is missing; the file is not complete, convert the model again",
                     base::printable(origin_).c_str(), base::printable(key).c_str());
  }
  return *value;
}

void Metadata::wrong_type(std::string_view key, const Value& value, const char* expected) const {
  throw base::fail(base::ErrorKind::bad_input,
                   "%s: key '%s' is %s (%s), %s is expected; convert the model again",
                   base::printable(origin_).c_str(), base::printable(key).c_str(),
                   value.str(2).c_str(), value.type_name().c_str(), expected);
}

std::optional<int64_t> Metadata::as_int(const Value& value) const {
  return std::visit(Overloaded{
                        [](uint64_t number) -> std::optional<int64_t> {
                          if (number > uint64_t{INT64_MAX}) return std::nullopt;
                          return static_cast<int64_t>(number);
                        },
                        [](const auto& other) -> std::optional<int64_t> {
                          using T = std::decay_t<decltype(other)>;
                          if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
                            return static_cast<int64_t>(other);
                          }
                          return std::nullopt;
                        },
                    },
                    value.data());
}

int64_t Metadata::get_int(std::string_view key) const {
  const Value& value = at(key);
  if (const std::optional<int64_t> number = as_int(value)) return *number;
  wrong_type(key, value, "an integer");
}

uint64_t Metadata::get_uint(std::string_view key) const {
  const Value& value = at(key);
  if (const uint64_t* number = std::get_if<uint64_t>(&value.data())) return *number;
  const std::optional<int64_t> number = as_int(value);
  if (number && *number >= 0) return static_cast<uint64_t>(*number);
  wrong_type(key, value, "a non-negative integer");
}

double Metadata::get_real(std::string_view key) const {
  const Value& value = at(key);
  if (const float* number = std::get_if<float>(&value.data())) return *number;
  if (const double* number = std::get_if<double>(&value.data())) return *number;
  wrong_type(key, value, "an f32 or f64");
}

bool Metadata::get_bool(std::string_view key) const {
  const Value& value = at(key);
  if (const bool* flag = std::get_if<bool>(&value.data())) return *flag;
  wrong_type(key, value, "a bool");
}

const std::string& Metadata::get_string(std::string_view key) const {
  const Value& value = at(key);
  if (const std::string* text = std::get_if<std::string>(&value.data())) return *text;
  wrong_type(key, value, "a string");
}

int64_t Metadata::get_int(std::string_view key, int64_t fallback) const {
  return has(key) ? get_int(key) : fallback;
}

double Metadata::get_real(std::string_view key, double fallback) const {
  return has(key) ? get_real(key) : fallback;
}

bool Metadata::get_bool(std::string_view key, bool fallback) const {
  return has(key) ? get_bool(key) : fallback;
}

std::string Metadata::get_string(std::string_view key, std::string_view fallback) const {
  return has(key) ? get_string(key) : std::string(fallback);
}

std::vector<int64_t> Metadata::get_ints(std::string_view key) const {
  const Value& value = at(key);
  const Array* array = std::get_if<Array>(&value.data());
  std::vector<int64_t> numbers;
  bool fits = array != nullptr;
  if (array != nullptr) {
    std::visit(Overloaded{[&](Array::Nested) { fits = false; },
                          [&](const auto& elements) {
                            using T = typename std::decay_t<decltype(elements)>::value_type;
                            if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
                              for (const T element : elements) {
                                fits = fits && std::in_range<int64_t>(element);
                                numbers.push_back(static_cast<int64_t>(element));
                              }
                            } else {
                              fits = false;
                            }
                          }},
               array->data);
  }
  if (!fits) wrong_type(key, value, "an array of integers");
  return numbers;
}

}  // namespace karat::format
