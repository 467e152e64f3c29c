// The squared error of a linear layer's output as a quadratic form of its weights' errors, and the
// factors that error feedback needs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"

namespace karat::rounding {

// For rows x that enter a layer and an error e of one row of its weights, the sum over x of (e x)^2
// is e H e^T with H = sum of x^T x. H is kept as floats, divided by the mean of its diagonal, with
// `damping` added to the diagonal: directions that the calibration rows hardly showed keep a price.
//
// H = A^T D A with A unit lower triangular and D diagonal, so that
//
//     e H e^T = sum over i of D_i (e_i + sum over k < i of A_ik e_k)^2:
//
// once columns 0 .. i - 1 are rounded, column i is best rounded at w_i + sum A_ik e_k, e = w - q,
// and what its own error then costs, later columns being free to make up for it, is D_i. This is
// the feedback of LDLQ (Chee et al., QuIP, 2023, theorem 1) and, as shown there, that of GPTQ.
struct Quadratic {
  int64_t columns = 0;
  std::vector<float> hessian;      // [n, n]
  std::vector<float> feedback;     // [n, n]: A, zeros above the diagonal
  std::vector<float> conditional;  // [n]: D
};

// `hessian`: [n, n], symmetric, positive semidefinite. All zeros give the identity. Cholesky's
// factors of H in reversed order, by blocks in float32, diagonal blocks in double; the bits depend
// on neither threads nor instruction set.
Quadratic make_quadratic(std::span<const double> hessian, int64_t columns, double damping,
                         base::ThreadPool& pool);

// Quadratic::hessian alone.
std::vector<float> normalised(std::span<const double> hessian, int64_t columns, double damping,
                              base::ThreadPool& pool);

// e H e^T of `count` rows of errors [count, n], one after the other, into out[count]; hessian is
// [n, n].
void output_errors(std::span<const float> hessian, int64_t columns, const float* errors,
                   int64_t count, double* out);

}  // namespace karat::rounding
