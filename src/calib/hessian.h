// Hessians of the layers' outputs' squared error: H = sum over inputs x of x x^T, per linear layer
// and expert (what GPTQ and its like need; Frantar et al., GPTQ, 2022). A block's Hessians of all
// experts do not fit into memory, nor a model's on disk: they are made one by one after the block
// has run, and handed over at once.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/threads.h"
#include "calib/gram.h"
#include "model/config.h"
#include "model/tap.h"

namespace karat::calib {

// One of them, on loan for the call.
struct Hessian {
  std::span<const std::string> weights;  // canonical names of the matrices with this input
  int64_t layer = 0;
  int64_t expert = -1;             // -1: a dense layer's
  int64_t columns = 0;             // n
  std::span<const double> values;  // [n, n], symmetric
  int64_t rows = 0;                // inputs that were seen; 0 for an expert without a token
  double shrinkage = 0;            // l, below
};

// Called from one thread, dense layers first, then experts in increasing number, gate and up before
// down. A run that is stopped and goes on hands over the Hessians of the interrupted block again.
using HessianConsumer = std::function<void(const Hessian& hessian)>;

// Experts that saw few rows have singular Hessians. Theirs are drawn to what all rows of the block
// have in common: with n rows of the expert, H_e, and N rows of all, H (for gate and up the rows
// that enter the experts, for down the inputs of all of them),
//
//     (1 - l) H_e + l (max(n, 1) / N) H,   l = p / (p + n)
//
// as if the expert had seen p more rows of the average kind. p = n_columns / 4: an expert of 2048
// columns with 8192 rows keeps 94 % of its own, one with 512 a half, and one with none gets H / N.
constexpr double shrinkage(int64_t columns, int64_t rows) {
  const double prior = static_cast<double>(columns) / 4;
  return prior / (prior + static_cast<double>(rows));
}

// Collects one block at a time. Memory: the rows that enter the experts as bf16 [tokens, H], sums
// for the dense layers and the down matrices, [ffn, ffn] for each expert, and one [H, H].
class HessianTap : public model::Tap {
 public:
  // `ends`: where each sequence ends among all tokens (exec/batches.h); must outlive this object.
  HessianTap(const model::Config& config, std::span<const int64_t> ends, base::ThreadPool& pool);
  void linear_input(const model::LinearInput& input) override;

  // After a block has run over all sequences: hands its Hessians over and forgets it.
  void consume(const HessianConsumer& consumer);
  static uint64_t bytes_needed(const model::Config& config, int64_t tokens);

 private:
  struct Dense {
    std::vector<std::string> weights;
    Gram gram;
  };
  void see_dense(const model::LinearInput& input);
  void see_expert(const model::LinearInput& input);
  int64_t token_of(const model::RowOrigin& origin) const;
  // H of expert `expert`, shrunk towards that of `all_rows` rows.
  void hand_over(Gram& own, const std::vector<double>& all, int64_t all_rows,
                 std::span<const std::string> weights, int64_t expert,
                 const HessianConsumer& consumer);
  void consume_gate_up(const HessianConsumer& consumer);
  void consume_down(const HessianConsumer& consumer);
  void forget();

  const model::Config& config_;
  std::span<const int64_t> ends_;
  base::ThreadPool& pool_;
  int64_t layer_ = -1;
  std::map<std::string, Dense> dense_;  // by the name behind "blk.N." of the first with the input
  std::vector<uint16_t> inputs_;        // bf16 [tokens, H]: what enters the experts
  std::vector<std::string> gate_up_weights_, down_weights_;
  std::vector<std::vector<int32_t>> gate_up_;  // [experts]: the expert's rows of inputs_
  std::vector<Gram> down_;                     // [experts]
};

}  // namespace karat::calib
