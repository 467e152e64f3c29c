#include "rounding/encode.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "rounding/coded.h"
#include "rounding/feedback.h"

namespace karat::rounding {

namespace {

constexpr int64_t kRows = 64;  // of one task

std::vector<double> errors_of(const Quadratic& quadratic, const CodedRows& coded) {
  std::vector<double> out(static_cast<size_t>(coded.rows));
  output_errors(quadratic, coded.errors.data(), coded.rows, out.data());
  return out;
}

OutputError encode_some(const codec::Codec& codec, const Quadratic& quadratic, const float* rows,
                        int64_t count, std::span<const float> importance,
                        std::span<std::byte> out) {
  const int64_t n = quadratic.columns;
  const size_t row_bytes = out.size() / static_cast<size_t>(count);
  CodedRows plain(codec, rows, count, n);
  for (int64_t r = 0; r < count; ++r) {
    const auto bytes = out.subspan(static_cast<size_t>(r) * row_bytes, row_bytes);
    codec.encode_row({rows + r * n, static_cast<size_t>(n)}, importance, bytes);
    plain.unpack_row(r, bytes);
  }
  CodedRows coded(codec, rows, count, n);
  round_with_feedback(quadratic, coded);
  const std::vector<double> before = errors_of(quadratic, plain),
                            after = errors_of(quadratic, coded);
  OutputError total;
  for (int64_t r = 0; r < count; ++r) {
    const auto at = static_cast<size_t>(r);
    total.plain += before[at];
    total.full += std::min(before[at], after[at]);
    if (!(after[at] < before[at])) continue;
    coded.pack_row(r, out.subspan(at * row_bytes, row_bytes));
  }
  return total;
}

}  // namespace

OutputError encode_rows(const codec::Codec& codec, const Quadratic& quadratic,
                        std::span<const float> rows, std::span<const float> importance,
                        std::span<std::byte> out, base::ThreadPool& pool) {
  const int64_t n = quadratic.columns;
  const int64_t count = static_cast<int64_t>(rows.size()) / n;
  CHECK(count * n == static_cast<int64_t>(rows.size()));
  const int64_t tasks = (count + kRows - 1) / kRows;
  const size_t row_bytes = out.size() / static_cast<size_t>(count);
  std::vector<OutputError> parts(static_cast<size_t>(tasks));
  pool.for_each(tasks, [&](int64_t task, int) {
    const int64_t first = task * kRows, some = std::min(kRows, count - first);
    parts[static_cast<size_t>(task)] = encode_some(
        codec, quadratic, rows.data() + first * n, some, importance,
        out.subspan(static_cast<size_t>(first) * row_bytes, static_cast<size_t>(some) * row_bytes));
  });
  OutputError total;
  for (const OutputError& part : parts) total.plain += part.plain, total.full += part.full;
  return total;
}

}  // namespace karat::rounding
