// Files that a reader must refuse, each with words its message must have. Unit tests feed them to
// the parsers, end-to-end tests to the program.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/files.h"

namespace karat::test {

struct HostileFile {
  std::string name;   // of the case, usable as a file name
  std::string bytes;  // the whole file
  std::string words;  // that the error message contains
};

namespace detail {

// small_gguf() with a change made by `change`.
template <class Change>
HostileFile changed_gguf(std::string name, std::string words, Change change) {
  GgufParts parts = small_gguf();
  change(parts);
  return {std::move(name), parts.str(), std::move(words)};
}

inline HostileFile with_key(std::string name, std::string key, std::string words) {
  return changed_gguf(std::move(name), std::move(words),
                      [&](GgufParts& parts) { parts.keys.push_back(std::move(key)); });
}

inline HostileFile with_first_tensor(std::string name, std::string entry, std::string words) {
  return changed_gguf(std::move(name), std::move(words),
                      [&](GgufParts& parts) { parts.tensors[0] = std::move(entry); });
}

}  // namespace detail

// Files of other kinds, none of which is GGUF or safetensors.
inline std::vector<HostileFile> other_files() {
  return {
      {"empty", "", "0 bytes"},
      {"one-byte", "G", "1 byte"},
      {"zip", "PK\x03\x04" + std::string(60, '\x07'), "zip archive"},
      {"pickle", "\x80\x02" + std::string(60, '\x07'), "pickle"},
      {"html", "<!DOCTYPE html><html><body>404 Not Found</body></html>", "web page"},
      {"lfs-pointer",
       "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4567890123\n",
       "git lfs pull"},
      {"zeros", std::string(4096, '\0'), "zeros"},
      {"text", "Call me Ishmael. Some years ago, never mind how long precisely\n", "plain text"},
      {"gzip", "\x1f\x8b\x08" + std::string(60, '\x01'), "gzip"},
      {"elf",
       "\x7f"
       "ELF" +
           std::string(60, '\x02'),
       "a program"},
      {"ggml-2023", "tjgg" + std::string(60, '\x02'), "GGML"},
  };
}

inline std::vector<HostileFile> hostile_gguf_heads() {
  using detail::changed_gguf;
  std::vector<HostileFile> files;
  for (const uint32_t version : {0u, 1u, 4u, 99u}) {
    files.push_back(changed_gguf("version-" + std::to_string(version),
                                 "version " + std::to_string(version),
                                 [&](GgufParts& parts) { parts.version = version; }));
  }
  files.push_back(changed_gguf("big-endian", "big-endian",
                               [](GgufParts& parts) { parts.version = 0x03000000; }));
  files.push_back(changed_gguf("magic-lower-case", "not a GGUF file",
                               [](GgufParts& parts) { parts.magic = "gguf"; }));
  for (const int64_t count : {int64_t{1} << 60, int64_t{-2}, int64_t{1000}}) {
    files.push_back(changed_gguf("keys-" + std::to_string(count), "keys",
                                 [&](GgufParts& parts) { parts.key_count = count; }));
    files.push_back(changed_gguf("tensors-" + std::to_string(count), "tensors",
                                 [&](GgufParts& parts) { parts.tensor_count = count; }));
  }
  files.push_back(
      changed_gguf("one-key-too-many", "", [](GgufParts& parts) { parts.key_count = 4; }));
  files.push_back(
      changed_gguf("one-key-too-few", "", [](GgufParts& parts) { parts.key_count = 2; }));
  files.push_back(
      changed_gguf("one-tensor-too-many", "", [](GgufParts& parts) { parts.tensor_count = 3; }));
  files.push_back(
      changed_gguf("data-missing", "tensor 'a'", [](GgufParts& parts) { parts.data.clear(); }));
  files.push_back(changed_gguf("last-byte-missing", "tensor 'b'",
                               [](GgufParts& parts) { parts.data.pop_back(); }));
  files.push_back(changed_gguf("tensor-twice", "tensor 'a' occurs twice", [](GgufParts& parts) {
    parts.tensors[1] = tensor_entry("a", {8}, 30, 32);
  }));
  files.push_back(
      changed_gguf("tensors-overlap", "tensor 'b' is at offset 0",
                   [](GgufParts& parts) { parts.tensors[1] = tensor_entry("b", {8}, 30, 0); }));
  files.push_back(
      changed_gguf("tensors-with-hole", "tensor 'b' is at offset 64", [](GgufParts& parts) {
        parts.tensors[1] = tensor_entry("b", {8}, 30, 64);
        parts.data.resize(128, '\0');
      }));
  files.push_back(
      changed_gguf("tensor-misaligned", "tensor 'b' is at offset 33",
                   [](GgufParts& parts) { parts.tensors[1] = tensor_entry("b", {8}, 30, 33); }));
  files.push_back(changed_gguf(
      "tensor-past-end", "tensor 'b' is at offset 4611686018427387904",
      [](GgufParts& parts) { parts.tensors[1] = tensor_entry("b", {8}, 30, uint64_t{1} << 62); }));
  return files;
}

inline std::vector<HostileFile> hostile_gguf_keys() {
  using detail::changed_gguf;
  using detail::with_key;
  const std::string huge = raw(uint64_t{1} << 60);
  std::vector<HostileFile> files = {
      with_key("key-twice", kv_u32("qwen35moe.block_count", 2),
               "'qwen35moe.block_count' occurs twice"),
      with_key("key-empty", kv_u32("", 2), "is empty"),
      with_key("key-bad-utf8", kv_u32("a\xff", 2), "not UTF-8"),
      with_key("key-overlong-utf8", kv_u32("a\xc0\xaf", 2), "not UTF-8"),
      with_key("key-escape", kv_u32("\x1b[31mred", 2), "'\\x1b[31mred' has control characters"),
      with_key("key-nul", kv_u32(std::string_view("a\0b", 3), 2), "control characters"),
      with_key("key-too-long", kv_u32(std::string(65536, 'k'), 2), "65536 bytes"),
      with_key("key-length-huge", huge + "key", "of 1152921504606846976 bytes"),
      with_key("key-length-negative", raw(int64_t{-1}) + "key", "of 18446744073709551615 bytes"),
      with_key("string-past-end", kv("s", 8, raw(uint64_t{100'000}) + "short"), "100000 bytes"),
      with_key("string-length-huge", kv("s", 8, huge), "1152921504606846976 bytes"),
      with_key("value-type-13", kv("v", 13, raw(uint64_t{1})), "'v' has the unknown value type 13"),
      with_key("value-type-negative", kv("v", 0xffffffff, raw(uint64_t{1})), "unknown value type"),
      with_key("bool-2", kv("v", 7, "\x02"), "neither 0 nor 1"),
      with_key("array-type-unknown", kv("v", 9, raw_array(99, 1, raw(1))), "'v' has the unknown"),
      with_key("array-of-arrays", kv("v", 9, raw_array(9, 1, raw_array(4, 1, raw(1)))),
               "array of arrays"),
      with_key("array-count-huge", kv("v", 9, raw(uint32_t{4}) + huge), "'v' is an array of"),
      with_key("array-count-wraps", kv("v", 9, raw(uint32_t{10}) + raw((uint64_t{1} << 61) + 1)),
               "'v' is an array of"),
      with_key("array-past-end", kv("v", 9, raw_array(4, 100'000, raw(1))), "v takes 400000 bytes"),
      with_key("array-of-strings-past-end", kv("v", 9, raw_array(8, 100'000, raw_string("x"))),
               "v takes 800000 bytes"),
      with_key("array-of-strings-inner-huge", kv("v", 9, raw_array(8, 1, huge)), "string of"),
      with_key("array-bool-3", kv("v", 9, raw_array(7, 2, "\x01\x03")), "neither 0 nor 1"),
      with_key("split-count-huge", kv("split.count", 4, raw(uint32_t{1'000'000})), "split.count"),
      with_key("split-count-negative", kv("split.count", 5, raw(int32_t{-3})), "split.count"),
      with_key("split-count-string", kv_string("split.count", "3"), "split.count"),
      with_key("split-count-without-no", kv("split.count", 2, raw(uint16_t{3})), "split.no"),
  };
  for (const uint32_t alignment : {0u, 3u, 33u, 1u << 31}) {
    files.push_back(with_key("alignment-" + std::to_string(alignment),
                             kv_u32("general.alignment", alignment), "general.alignment"));
  }
  files.push_back(
      with_key("alignment-i32", kv("general.alignment", 5, raw(int32_t{32})), "general.alignment"));
  files.push_back(with_key("alignment-u64", kv("general.alignment", 10, raw(uint64_t{32})),
                           "general.alignment"));
  files.push_back(
      with_key("alignment-string", kv_string("general.alignment", "32"), "general.alignment"));
  files.push_back(with_key("alignment-64-laid-out-with-32", kv_u32("general.alignment", 64),
                           "tensor 'b' is at offset 32, 64 is expected"));
  return files;
}

inline std::vector<HostileFile> hostile_gguf_tensors() {
  using detail::with_first_tensor;
  const int64_t big = std::numeric_limits<int64_t>::max();
  return {
      with_first_tensor("name-empty", tensor_entry("", {4, 2}, 0, 0), "is empty"),
      with_first_tensor("name-64-bytes", tensor_entry(std::string(64, 'n'), {4, 2}, 0, 0),
                        "64 bytes"),
      with_first_tensor("name-bad-utf8", tensor_entry("a\xed\xa0\x80", {4, 2}, 0, 0), "not UTF-8"),
      with_first_tensor("name-newline", tensor_entry("a\nb", {4, 2}, 0, 0), "'a\\nb' has control"),
      with_first_tensor("no-dims", tensor_entry("a", {}, 0, 0), "0 dimensions"),
      with_first_tensor("five-dims", tensor_entry("a", {4, 2, 1, 1, 1}, 0, 0), "5 dimensions"),
      with_first_tensor("dims-count-huge",
                        raw_string("a") + raw(uint32_t{0xffffffff}) + std::string(64, '\1'),
                        "4294967295 dimensions"),
      with_first_tensor("dim-zero", tensor_entry("a", {4, 0}, 0, 0), "dimension of 0"),
      with_first_tensor("dim-negative", tensor_entry("a", {4, -2}, 0, 0), "dimension of -2"),
      with_first_tensor("dims-wrap-to-8",
                        tensor_entry("a", {int64_t{1} << 32, int64_t{1} << 32, 8}, 0, 0),
                        "2^63 elements"),
      with_first_tensor("dims-max", tensor_entry("a", {big, big, big, big}, 0, 0), "2^63 elements"),
      with_first_tensor("bytes-wrap", tensor_entry("a", {int64_t{1} << 62}, 28, 0), "larger than"),
      with_first_tensor("bytes-past-end", tensor_entry("a", {1'000'000}, 0, 0), "larger than"),
      with_first_tensor("type-unknown", tensor_entry("a", {4, 2}, 43, 0), "unknown type 43"),
      with_first_tensor("type-removed", tensor_entry("a", {4, 2}, 4, 0), "llama.cpp has removed"),
      with_first_tensor("type-ik", tensor_entry("a", {4, 2}, 139, 0), "ik_llama.cpp"),
      with_first_tensor("type-negative", tensor_entry("a", {4, 2}, 0xffffffff, 0), "unknown type"),
      with_first_tensor("half-a-block", tensor_entry("a", {16, 2}, 8, 0), "blocks of 32"),
      with_first_tensor("first-offset-32", tensor_entry("a", {4, 2}, 0, 32), "is at offset 32"),
      with_first_tensor("larger-type", tensor_entry("a", {4, 2}, 28, 0), "tensor 'b' is at offset"),
  };
}

// Everything above in one list.
inline std::vector<HostileFile> hostile_gguf() {
  std::vector<HostileFile> files = other_files();
  for (auto* more : {hostile_gguf_heads, hostile_gguf_keys, hostile_gguf_tensors}) {
    for (HostileFile& file : more()) files.push_back(std::move(file));
  }
  files.push_back({"safetensors", small_safetensors(), "a safetensors file"});
  return files;
}

// A head with the one tensor "a".
inline std::string one_tensor(std::string_view dtype, std::string_view shape,
                              std::string_view range) {
  return R"({"a":{"dtype":")" + std::string(dtype) + R"(","shape":)" + std::string(shape) +
         R"(,"data_offsets":)" + std::string(range) + "}}";
}

inline std::string file_of(std::string_view head, size_t data) {
  return safetensors_file(head, std::string(data, '\1'));
}

inline std::vector<HostileFile> hostile_safetensors_heads() {
  const auto file = file_of;
  const std::string good = one_tensor("F32", "[2]", "[0,8]");
  return {
      {"length-zero", safetensors_file(good, "12345678", 0), "0 bytes"},
      {"length-past-file", safetensors_file(good, "12345678", 1000), "1000 bytes"},
      {"length-over-limit", safetensors_file(good, "12345678", 100'000'001), "100000001 bytes"},
      {"length-negative", safetensors_file(good, "12345678", -2), "not a safetensors file"},
      {"length-cuts-json", safetensors_file(good, "12345678", 20), "not valid JSON"},
      {"length-includes-data", safetensors_file(good, "12345678", 58), "JSON"},
      {"blank-first", file(" " + good, 8), "0x20"},
      {"array-head", file("[" + good + "]", 8), "0x5b"},
      {"bad-utf8",
       file(R"({"a)"
            "\xff" +
                good.substr(3),
            8),
       "not UTF-8"},
      {"bad-utf8-in-metadata",
       file(R"({"__metadata__":{"x":")"
            "\xc3"
            R"("}})",
            0),
       "not UTF-8"},
      {"deep-json", file(R"({"a":)" + std::string(100'000, '['), 8), "nested deeper"},
      {"many-values",
       file(R"({"a":[0)" +
                [] {
                  std::string zeros;
                  for (int i = 0; i < (1 << 21) + 10; ++i) zeros += ",0";
                  return zeros;
                }() +
                "]}",
            8),
       "more than 2097152 values"},
      {"junk-after-json", file(good + "x", 8), "JSON"},
      {"key-twice", file(good.substr(0, good.size() - 1) + "," + good.substr(1), 8),
       "duplicate key"},
      {"inner-key-twice",
       file(R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8),
       "duplicate key"},
      {"metadata-number", file(R"({"__metadata__":{"x":1}})", 0), "__metadata__"},
      {"metadata-array", file(R"({"__metadata__":[]})", 0), "__metadata__"},
      {"no-tensors-but-data", file("{}", 8), "8 bytes at byte 10"},
      {"entry-null", file(R"({"a":null})", 0), "tensor 'a'"},
      {"no-dtype", file(R"({"a":{"shape":[2],"data_offsets":[0,8]}})", 8), "no dtype"},
      {"no-shape", file(R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", 8), "no shape"},
      {"no-offsets", file(R"({"a":{"dtype":"F32","shape":[2]}})", 8), "no data_offsets"},
      {"dtype-number", file(R"({"a":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})", 8), "dtype"},
  };
}

inline std::vector<HostileFile> hostile_safetensors_tensors() {
  const auto file = file_of;
  const auto tensor = one_tensor;
  const std::string good = one_tensor("F32", "[2]", "[0,8]");
  const std::string two = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                          R"("b":{"dtype":"F32","shape":[2],"data_offsets":)";
  return {
      {"dtype-unknown", file(tensor("F31", "[2]", "[0,8]"), 8), "unknown dtype 'F31'"},
      {"dtype-escape", file(tensor("\\u001b[31m", "[2]", "[0,8]"), 8), "'\\x1b[31m'"},
      {"dtype-too-small", file(tensor("F16", "[2]", "[0,8]"), 8), "does not take"},
      {"dtype-too-large", file(tensor("F64", "[2]", "[0,8]"), 8), "does not take"},
      {"f4-half-byte", file(tensor("F4", "[3]", "[0,1]"), 1), "does not take"},
      {"shape-too-small", file(tensor("F32", "[1]", "[0,8]"), 8), "does not take"},
      {"shape-too-large", file(tensor("F32", "[3]", "[0,8]"), 8), "does not take"},
      {"shape-zero", file(tensor("F32", "[2,0]", "[0,8]"), 8), "does not take"},
      {"shape-negative", file(tensor("F32", "[-2]", "[0,8]"), 8), "non-negative"},
      {"shape-fraction", file(tensor("F32", "[2.0]", "[0,8]"), 8), "non-negative"},
      {"shape-string", file(tensor("F32", "[\"2\"]", "[0,8]"), 8), "non-negative"},
      {"shape-object", file(tensor("F32", "{}", "[0,8]"), 8), "not an array"},
      {"shape-wraps", file(tensor("F32", "[4294967296,4294967296,2]", "[0,8]"), 8), "2^63"},
      {"shape-wraps-with-zero", file(tensor("F32", "[0,4294967296,4294967296]", "[0,0]"), 0),
       "2^63"},
      {"shape-bits-wrap", file(tensor("F32", "[4611686018427387904]", "[0,0]"), 0),
       "does not take"},
      {"shape-over-64-bits", file(tensor("F32", "[99999999999999999999]", "[0,8]"), 8),
       "dimension"},
      {"shape-nine-dims", file(tensor("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8), "9 dimensions"},
      {"offsets-one", file(tensor("F32", "[2]", "[8]"), 8), "two numbers"},
      {"offsets-three", file(tensor("F32", "[2]", "[0,8,8]"), 8), "two numbers"},
      {"offsets-swapped", file(tensor("F32", "[2]", "[8,0]"), 8), "ends before"},
      {"offsets-negative", file(tensor("F32", "[2]", "[-8,0]"), 8), "non-negative"},
      {"offsets-past-end", file(tensor("F32", "[4]", "[0,16]"), 8), "ends at byte 16 of 8"},
      {"offsets-wrap", file(tensor("F32", "[2]", "[18446744073709551608,18446744073709551615]"), 8),
       "cut off"},
      {"starts-late", file(tensor("F32", "[2]", "[8,16]"), 16), "after a hole"},
      {"trailing-data", file(good, 9), "1 bytes at byte"},
      {"overlap", file(two + "[4,12]}}", 12), "inside the tensor"},
      {"same-range", file(two + "[0,8]}}", 8), "inside the tensor"},
      {"hole", file(two + "[12,20]}}", 20), "after a hole"},
      {"empty-inside",
       file(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
            R"("z":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}})",
            8),
       "tensor 'z'"},
      {"empty-place-twice",
       file(R"({"y":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},)"
            R"("z":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
            0),
       "tensor 'z'"},
      {"name-escape", file(R"({"\u001b[2J":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", 8),
       "'\\x1b[2J'"},
  };
}

inline std::vector<HostileFile> hostile_safetensors() {
  std::vector<HostileFile> files = other_files();
  files.push_back({"gguf", small_gguf().str(), "a GGUF file"});
  for (auto* more : {hostile_safetensors_heads, hostile_safetensors_tensors}) {
    for (HostileFile& file : more()) files.push_back(std::move(file));
  }
  return files;
}

// An imatrix of the old .dat layout from its parts; a valid one has the counts that are true.
inline std::string dat_entry(std::string_view name, int32_t calls, const std::vector<float>& values,
                             int64_t size = -1) {
  std::string out =
      raw(static_cast<int32_t>(name.size())) + std::string(name) + raw(calls) +
      raw(static_cast<int32_t>(size == -1 ? static_cast<int64_t>(values.size()) : size));
  for (const float value : values) out += raw(value);
  return out;
}

inline std::string small_dat() {
  return raw(int32_t{2}) + dat_entry("blk.0.a.weight", 3, {3, 6}) +
         dat_entry("blk.0.b.weight", 2, {2, 4, 8, 1}) + raw(int32_t{3}) + raw(int32_t{8}) +
         "data.txt";
}

inline std::vector<HostileFile> hostile_imatrix_dats() {
  const std::string good = dat_entry("blk.0.a.weight", 3, {3, 6});
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  return {
      {"entries-too-many", raw(int32_t{9}) + good, "the length of the name of an entry takes 4"},
      {"entry-twice", raw(int32_t{2}) + good + good, "'blk.0.a.weight' occurs twice"},
      {"name-past-end", raw(int32_t{2}) + good + raw(int32_t{255}) + good,
       "the name of an entry takes"},
      {"name-escape", raw(int32_t{1}) + dat_entry("blk.0.\x1b[31m", 3, {3, 6}), "is no name"},
      {"second-name-negative", raw(int32_t{2}) + good + raw(int32_t{-1}) + good, "is -1"},
      {"second-name-empty", raw(int32_t{2}) + good + dat_entry("", 3, {3, 6}), "'' is no name"},
      {"calls-negative", raw(int32_t{1}) + dat_entry("blk.0.a.weight", -3, {3, 6}), "is -3"},
      {"size-huge", raw(int32_t{1}) + dat_entry("blk.0.a.weight", 3, {3}, INT32_MAX),
       "takes 8589934588 bytes"},
      {"size-negative", raw(int32_t{1}) + dat_entry("blk.0.a.weight", 3, {3}, -2), "is -2"},
      {"size-zero", raw(int32_t{1}) + dat_entry("blk.0.a.weight", 3, {}), "is empty"},
      {"value-negative", raw(int32_t{1}) + dat_entry("blk.0.a.weight", 3, {-1}), "negative"},
      {"value-infinite", raw(int32_t{1}) + dat_entry("blk.0.a.weight", 3, {infinity}),
       "not finite"},
      {"value-nan", raw(int32_t{1}) + dat_entry("blk.0.a.weight", 3, {nan}), "not finite"},
      {"chunks-negative", raw(int32_t{1}) + good + raw(int32_t{-1}), "the number of chunks is -1"},
      {"chunks-cut", raw(int32_t{1}) + good + "abc", "the number of chunks takes 4"},
      {"dataset-past-end", raw(int32_t{1}) + good + raw(int32_t{3}) + raw(int32_t{9}) + "x",
       "the name of the data set takes 9"},
      {"dataset-bad-utf8", raw(int32_t{1}) + good + raw(int32_t{3}) + raw(int32_t{1}) + "\xff",
       "not UTF-8"},
      {"bytes-at-the-end", small_dat() + "?", "1 bytes follow"},
  };
}

}  // namespace karat::test
