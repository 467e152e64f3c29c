// Searches of formats whose levels are a list (codebook.h), on the trial roundings of
// search_symmetric.inl.h. A lane is a step, so no sum runs across lanes. Per element and sixteen
// steps about 20 operations: bound by arithmetic.

// As EvenLevels.
struct BookLevels {
  F16x border, low, high;
  float inverse_width, first_cell;

  explicit BookLevels(const Codebook& book)
      : border(load(book.border.data())),
        low(load(book.low.data())),
        high(load(book.high.data())),
        inverse_width(book.inverse_width),
        first_cell(book.first * book.inverse_width) {}

  ISA_INLINE F16x nearest(F16x scaled) const {
    const F16x cell = sub(mul(scaled, splat(inverse_width)), splat(first_cell));
    const I16x index = to_int(clamp(cell, splat(0), splat(15)));
    return select(less(scaled, lookup16(border, index)), lookup16(low, index),
                  lookup16(high, index));
  }
};

// IQ4's: where the largest magnitude shall lie among the levels, with either sign.
constexpr Reach kBookReach = {88, 4, 120};
constexpr SingleEffort kBookEffort = {1, 2, false};

BlockChoice search_codebook(const Codebook& book, const BlockProblem& problem,
                            int integer_bound) noexcept {
  return search_levels(problem, BookLevels(book), kBookReach, integer_bound);
}

BlockChoice search_codebook_single(const Codebook& book, const BlockProblem& problem) noexcept {
  return search_single_levels(problem, BookLevels(book), kBookReach, kBookEffort);
}

int least_step(const Codebook& book, const float* x, const float* w, int n,
               const float* steps) noexcept {
  const F16x step = step_of(splat(1), load(steps));
  return least_lane(nearest_errors(x, w, n, step, splat(0), BookLevels(book)));
}
