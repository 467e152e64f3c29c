#include "tensor/dtype.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/error.h"

namespace karat::tensor {

namespace {

constexpr std::array kTypes = {
    DTypeInfo{DType::f32, "f32", 1, 4, "F32"},
    DTypeInfo{DType::f16, "f16", 1, 2, "F16"},
    DTypeInfo{DType::q4_0, "q4_0", 32, 18, ""},
    DTypeInfo{DType::q4_1, "q4_1", 32, 20, ""},
    DTypeInfo{DType::q5_0, "q5_0", 32, 22, ""},
    DTypeInfo{DType::q5_1, "q5_1", 32, 24, ""},
    DTypeInfo{DType::q8_0, "q8_0", 32, 34, ""},
    DTypeInfo{DType::q8_1, "q8_1", 32, 36, ""},
    DTypeInfo{DType::q2_k, "q2_K", 256, 84, ""},
    DTypeInfo{DType::q3_k, "q3_K", 256, 110, ""},
    DTypeInfo{DType::q4_k, "q4_K", 256, 144, ""},
    DTypeInfo{DType::q5_k, "q5_K", 256, 176, ""},
    DTypeInfo{DType::q6_k, "q6_K", 256, 210, ""},
    DTypeInfo{DType::q8_k, "q8_K", 256, 292, ""},
    DTypeInfo{DType::iq2_xxs, "iq2_xxs", 256, 66, ""},
    DTypeInfo{DType::iq2_xs, "iq2_xs", 256, 74, ""},
    DTypeInfo{DType::iq3_xxs, "iq3_xxs", 256, 98, ""},
    DTypeInfo{DType::iq1_s, "iq1_s", 256, 50, ""},
    DTypeInfo{DType::iq4_nl, "iq4_nl", 32, 18, ""},
    DTypeInfo{DType::iq3_s, "iq3_s", 256, 110, ""},
    DTypeInfo{DType::iq2_s, "iq2_s", 256, 82, ""},
    DTypeInfo{DType::iq4_xs, "iq4_xs", 256, 136, ""},
    DTypeInfo{DType::i8, "i8", 1, 1, "I8"},
    DTypeInfo{DType::i16, "i16", 1, 2, "I16"},
    DTypeInfo{DType::i32, "i32", 1, 4, "I32"},
    DTypeInfo{DType::i64, "i64", 1, 8, "I64"},
    DTypeInfo{DType::f64, "f64", 1, 8, "F64"},
    DTypeInfo{DType::iq1_m, "iq1_m", 256, 56, ""},
    DTypeInfo{DType::bf16, "bf16", 1, 2, "BF16"},
    DTypeInfo{DType::tq1_0, "tq1_0", 256, 54, ""},
    DTypeInfo{DType::tq2_0, "tq2_0", 256, 66, ""},
    DTypeInfo{DType::mxfp4, "mxfp4", 32, 17, ""},
    DTypeInfo{DType::nvfp4, "nvfp4", 64, 36, ""},
    DTypeInfo{DType::q1_0, "q1_0", 128, 18, ""},
    DTypeInfo{DType::q2_0, "q2_0", 64, 18, ""},
};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

template <class Predicate>
std::optional<DType> find(Predicate predicate) {
  const auto it = std::find_if(kTypes.begin(), kTypes.end(), predicate);
  if (it == kTypes.end()) return std::nullopt;
  return it->type;
}

}  // namespace

std::span<const DTypeInfo> dtypes() { return kTypes; }

const DTypeInfo& info(DType type) {
  const auto it = std::find_if(kTypes.begin(), kTypes.end(),
                               [&](const DTypeInfo& row) { return row.type == type; });
  CHECK(it != kTypes.end());
  return *it;
}

std::optional<DType> dtype_from_id(uint32_t id) {
  return find([&](const DTypeInfo& row) { return static_cast<uint32_t>(row.type) == id; });
}

std::optional<DType> dtype_from_name(std::string_view name) {
  return find([&](const DTypeInfo& row) { return equal_ignoring_case(row.name, name); });
}

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  return find([&](const DTypeInfo& row) { return !name.empty() && row.safetensors == name; });
}

int64_t row_bytes(DType type, int64_t cols) {
  const DTypeInfo& row = info(type);
  if (cols % row.block_elems != 0) {
    throw base::fail(base::ErrorKind::bad_input,
                     "rows of %lld elements do not fill %s blocks of %d",
                     static_cast<long long>(cols), std::string(row.name).c_str(), row.block_elems);
  }
  int64_t bytes = 0;
  if (__builtin_mul_overflow(cols / row.block_elems, int64_t{row.block_bytes}, &bytes)) {
    throw base::fail(base::ErrorKind::bad_input, "rows of %lld elements are too long",
                     static_cast<long long>(cols));
  }
  return bytes;
}

}  // namespace karat::tensor
