#include "rounding/encode.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "base/error.h"
#include "rounding/coded.h"
#include "rounding/descent.h"
#include "rounding/feedback.h"

namespace karat::rounding {

namespace {

constexpr int64_t kRows = 64;  // of one task
constexpr int kPasses = 2;     // of descent; what each of them brings: docs/ROUNDING.md

// body(task, first row, rows) over all rows.
int64_t for_tasks(int64_t count, base::ThreadPool& pool,
                  const std::function<void(int64_t task, int64_t first, int64_t rows)>& body) {
  const int64_t tasks = (count + kRows - 1) / kRows;
  pool.for_each(tasks, [&](int64_t task, int) {
    body(task, task * kRows, std::min(kRows, count - task * kRows));
  });
  return tasks;
}

}  // namespace

void encode_rows(const codec::Codec& codec, const Quadratic& quadratic, std::span<const float> rows,
                 std::span<std::byte> out, base::ThreadPool& pool) {
  const int64_t n = quadratic.columns, count = static_cast<int64_t>(rows.size()) / n;
  CHECK(count * n == static_cast<int64_t>(rows.size()));
  const auto row_bytes = static_cast<size_t>(tensor::row_bytes(codec.type(), n));
  CHECK(out.size() == static_cast<size_t>(count) * row_bytes);
  for_tasks(count, pool, [&](int64_t, int64_t first, int64_t some) {
    CodedRows coded(codec, rows.data() + first * n, some, n);
    round_with_feedback(quadratic, coded);
    descend(quadratic, kPasses, coded);
    for (int64_t r = 0; r < some; ++r) {
      coded.pack_row(r, out.subspan(static_cast<size_t>(first + r) * row_bytes, row_bytes));
    }
  });
}

double output_error(const codec::Codec& codec, std::span<const float> hessian, int64_t columns,
                    std::span<const float> rows, std::span<const std::byte> bytes,
                    base::ThreadPool& pool) {
  const int64_t n = columns, count = static_cast<int64_t>(rows.size()) / n;
  const auto row_bytes = static_cast<size_t>(tensor::row_bytes(codec.type(), n));
  CHECK(bytes.size() == static_cast<size_t>(count) * row_bytes);
  std::vector<double> errors(static_cast<size_t>(count));
  for_tasks(count, pool, [&](int64_t, int64_t first, int64_t some) {
    std::vector<float> e(static_cast<size_t>(some * n));
    codec.decode(bytes.subspan(static_cast<size_t>(first) * row_bytes,
                               static_cast<size_t>(some) * row_bytes),
                 e);
    for (size_t i = 0; i < e.size(); ++i) e[i] = rows[static_cast<size_t>(first * n) + i] - e[i];
    output_errors(hessian, n, e.data(), some, &errors[static_cast<size_t>(first)]);
  });
  double sum = 0;
  for (const double error : errors) sum += error;
  return sum;
}

}  // namespace karat::rounding
