#include "model/kv_cache.h"

#include <cstring>
#include <span>

#include "base/error.h"
#include "codec/codec.h"

namespace karat::model {

CacheRows::CacheRows(tensor::DType type, int64_t width, int64_t head_dim)
    : type_(type), width_(width) {
  const tensor::DTypeInfo& info = tensor::info(type);
  if (head_dim % info.block_elems != 0) {
    throw base::fail(base::ErrorKind::usage,
                     "cache type %s: its blocks have %d values and a head of this model %lld; "
                     "choose f16 or f32",
                     std::string(info.name).c_str(), info.block_elems,
                     static_cast<long long>(head_dim));
  }
  row_bytes_ = row_bytes(type, width);
}

int64_t CacheRows::row_bytes(tensor::DType type, int64_t width) {
  return tensor::row_bytes(type, width);
}

void CacheRows::resize(int64_t rows) {
  CHECK(rows >= 0);
  rows_ = rows;
  bytes_.resize(static_cast<size_t>(rows * row_bytes_));
}

void CacheRows::set(int64_t row, const float* values) {
  CHECK(row >= 0 && row < rows_);
  std::byte* out = bytes_.data() + row * row_bytes_;
  const auto count = static_cast<size_t>(width_);
  if (type_ == tensor::DType::f32) {
    std::memcpy(out, values, count * sizeof(float));
    return;
  }
  const std::span x(values, count);
  const codec::Codec& codec = codec::codec_for(type_);
  if (codec.find_out_of_range(x)) {
    std::memset(out, 0xff, static_cast<size_t>(row_bytes_));  // NaN, in the values or the scales
    return;
  }
  codec.encode_row(x, {}, std::span(out, static_cast<size_t>(row_bytes_)));
}

void CacheRows::read(const kernels::KernelTable& kernels, int64_t first, int64_t count, int64_t col,
                     int64_t cols, float* out) const {
  CHECK(first >= 0 && count >= 0 && first + count <= rows_ && col + cols <= width_);
  const std::byte* rows = bytes_.data() + first * row_bytes_ + row_bytes(type_, col);
  for (int64_t r = 0; r < count; ++r) {
    kernels.decode(type_, rows + r * row_bytes_, cols, out + r * cols);
  }
}

std::vector<float> CacheRows::values() const {
  std::vector<float> out(static_cast<size_t>(rows_ * width_));
  if (!out.empty()) codec::codec_for(type_).decode(bytes_, out);
  return out;
}

}  // namespace karat::model
