// The key-value part of a GGUF file: thirteen kinds of values under ordered, unique keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace karat::format {

// GGUF value type ids (GGUF specification, gguf_metadata_value_type).
enum class ValueType : uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};
inline constexpr uint32_t kValueTypes = 13;

// "u32", "string", ...
const char* name_of(ValueType type);

// A typed array. The alternatives stand at the index of their element type's id; arrays of arrays
// do not exist.
struct Array {
  struct Nested {
    friend bool operator==(Nested, Nested) { return true; }
  };
  using Data = std::variant<std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>,
                            std::vector<int16_t>, std::vector<uint32_t>, std::vector<int32_t>,
                            std::vector<float>, std::vector<bool>, std::vector<std::string>, Nested,
                            std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>>;
  Data data;

  ValueType element_type() const { return static_cast<ValueType>(data.index()); }
  size_t size() const;
  friend bool operator==(const Array&, const Array&) = default;
};

// One value. The C++ type decides the GGUF type, so give it exactly: uint32_t{5}, not 5 (which is
// an i32); 1.0f is an f32 and 1.0 an f64.
class Value {
 public:
  using Data = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool,
                            std::string, Array, uint64_t, int64_t, double>;

  Value() : data_(false) {}
  template <class T>
  requires std::is_arithmetic_v<T> Value(T value) : data_(std::in_place_type<T>, value) {}
  Value(const char* value) : data_(std::string(value)) {}
  Value(std::string_view value) : data_(std::string(value)) {}
  Value(std::string value) : data_(std::move(value)) {}
  Value(Array value) : data_(std::move(value)) {}
  template <class T>
  Value(std::vector<T> values) : data_(Array{std::move(values)}) {}

  ValueType type() const { return static_cast<ValueType>(data_.index()); }
  const Data& data() const { return data_; }
  // "u32", "array of string".
  std::string type_name() const;
  // The value as a line for listings: strings quoted and made printable, arrays cut after
  // `elements_max` elements with their size ("[1, 2, ...] (248320)").
  std::string str(size_t elements_max = 6) const;

  friend bool operator==(const Value&, const Value&) = default;

 private:
  Data data_;
};

// Keys in file order, unique. The typed getters throw Error{bad_input} "ORIGIN: key 'x' is missing"
// /
// "... has type T, an integer is expected".
class Metadata {
 public:
  struct Entry {
    std::string key;
    Value value;
    friend bool operator==(const Entry&, const Entry&) = default;
  };

  Metadata() = default;
  // `origin` names the file in messages.
  explicit Metadata(std::string origin) : origin_(std::move(origin)) {}
  const std::string& origin() const { return origin_; }

  const std::vector<Entry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }

  // Removes the key if it is there and appends it at the end (as ggml's setters do, so that files
  // come out in the same order).
  void set(std::string key, Value value);
  // Appends; false, and nothing done, if the key is there already. Constant time.
  bool append(std::string key, Value value);
  bool remove(std::string_view key);

  bool has(std::string_view key) const { return find(key) != nullptr; }
  // Null if absent.
  const Value* find(std::string_view key) const;
  const Value& at(std::string_view key) const;

  // Any of the eight integer types.
  int64_t get_int(std::string_view key) const;
  // Any integer type, not negative.
  uint64_t get_uint(std::string_view key) const;
  // f32 or f64.
  double get_real(std::string_view key) const;
  bool get_bool(std::string_view key) const;
  const std::string& get_string(std::string_view key) const;
  // The same, or `fallback` if the key is absent (a wrong type stays an error).
  int64_t get_int(std::string_view key, int64_t fallback) const;
  double get_real(std::string_view key, double fallback) const;
  bool get_bool(std::string_view key, bool fallback) const;
  std::string get_string(std::string_view key, std::string_view fallback) const;

  // An array whose elements are exactly T (std::string, int32_t, float, ...).
  template <class T>
  const std::vector<T>& get_array(std::string_view key) const {
    const Value& value = at(key);
    if (const Array* array = std::get_if<Array>(&value.data())) {
      if (const auto* elements = std::get_if<std::vector<T>>(&array->data)) return *elements;
    }
    wrong_type(key, value, ("an " + Value(std::vector<T>{}).type_name()).c_str());
  }
  // An array of any integer type.
  std::vector<int64_t> get_ints(std::string_view key) const;

  friend bool operator==(const Metadata& a, const Metadata& b) { return a.entries_ == b.entries_; }

 private:
  [[noreturn]] void wrong_type(std::string_view key, const Value& value,
                               const char* expected) const;
  std::optional<int64_t> as_int(const Value& value) const;

  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  std::string origin_ = "metadata";
  std::vector<Entry> entries_;
  std::unordered_map<std::string, size_t, Hash, std::equal_to<>> index_;
};

}  // namespace karat::format
