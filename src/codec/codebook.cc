#include "codec/codebook.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/half.h"
#include "codec/scalar_code.h"
#include "codec/table.h"

namespace karat::codec {
namespace {

template <size_t kLevels>
Codebook make_book(const std::array<float, kLevels>& levels, float first, float width) {
  Codebook book;
  book.first = first;
  book.inverse_width = 1 / width;
  for (size_t k = 0; k < 16; ++k) {
    const float middle = first + width * static_cast<float>(k);
    const float from = k == 0 ? levels[0] : middle - width / 2;
    const float to = k == 15 ? levels[kLevels - 1] : middle + width / 2;
    book.border[k] = 0;
    book.low[k] = book.high[k] = levels[0];
    for (size_t i = 0; i + 1 < kLevels; ++i) {
      const float border = (levels[i] + levels[i + 1]) / 2;
      if (border < from) book.low[k] = book.high[k] = levels[i + 1];
      if (border < from || border >= to) continue;
      book.border[k] = border;
      book.low[k] = levels[i];
      book.high[k] = levels[i + 1];
      break;
    }
  }
  return book;
}

}  // namespace

const Codebook& iq4_book() {
  static const Codebook book = [] {
    std::array<float, 16> levels;
    std::copy(kIq4Levels.begin(), kIq4Levels.end(), levels.begin());
    return make_book(levels, -100.2F, 12.4F);
  }();
  return book;
}

const Codebook& fp4_book() {
  static const Codebook book = [] {
    std::array<float, 8> levels;
    std::copy_n(kFp4Levels.begin(), 8, levels.begin());
    return make_book(levels, 0, 1);
  }();
  return book;
}

float nearest_level(const Codebook& book, float t) {
  const float cell = t * book.inverse_width - book.first * book.inverse_width;
  const size_t k = static_cast<size_t>(round_even(std::clamp(cell, 0.0F, 15.0F)));
  return t < book.border[k] ? book.low[k] : book.high[k];
}

Grid search_codebook_single(const Codebook& book, const BlockProblem& problem) {
  return to_grid(table().search_codebook_single(book, problem));
}

Grid search_codebook(const Codebook& book, const BlockProblem& problem, int integer_bound) {
  return to_grid(table().search_codebook(book, problem, integer_bound), problem.subs);
}

size_t best_step(const Codebook& book, const float* x, const float* w, int n,
                 std::span<const float> steps) {
  alignas(64) std::array<float, 16> all;
  for (size_t i = 0; i < all.size(); ++i) all[i] = steps[std::min(i, steps.size() - 1)];
  return static_cast<size_t>(table().least_step(book, x, w, n, all.data()));
}

}  // namespace karat::codec
