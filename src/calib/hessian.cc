#include "calib/hessian.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "kernels/dispatch.h"

namespace karat::calib {

namespace {

const std::string kRouter = "ffn_gate_inp.weight";  // its input is the experts' input

// Rows per float32 sum of a down matrix: so many wait for each expert.
constexpr int64_t kExpertBlock = 256;

void note(std::vector<std::string>& weights, std::string_view name) {
  if (std::find(weights.begin(), weights.end(), name) == weights.end()) weights.emplace_back(name);
}

// The layers that share an input with the one before them in the forward pass.
bool shares_input(std::string_view name) {
  for (const std::string_view rest :
       {"attn_gate.weight", "ssm_alpha.weight", "ssm_beta.weight", "attn_k.weight", "attn_v.weight",
        "ffn_gate_inp_shexp.weight", "ffn_gate_shexp.weight", "ffn_up_shexp.weight"}) {
    if (base::ends_with(name, rest)) return true;
  }
  return false;
}

// Of the first such layer of a block, by its name behind "blk.N.".
std::string_view first_of(std::string_view name) {
  for (const std::string_view rest :
       {"ffn_gate_inp_shexp.weight", "ffn_gate_shexp.weight", "ffn_up_shexp.weight"}) {
    if (base::ends_with(name, rest)) return kRouter;
  }
  return base::ends_with(name, "attn_k.weight") || base::ends_with(name, "attn_v.weight")
             ? "attn_q.weight"
             : "attn_qkv.weight";
}

std::string behind_block(std::string_view name) {
  return std::string(name.substr(name.find('.', 4) + 1));  // "blk.12.rest"
}

}  // namespace

HessianTap::HessianTap(const model::Config& config, std::span<const int64_t> ends,
                       base::ThreadPool& pool)
    : config_(config), ends_(ends), pool_(pool) {
  inputs_.resize(static_cast<size_t>(ends.back() * config.hidden));
  gate_up_.resize(static_cast<size_t>(config.experts));
  for (int64_t e = 0; e < config.experts; ++e) down_.emplace_back(config.expert_ffn, kExpertBlock);
}

// Memory stays for the next block: fresh pages cost more than the sums.
void HessianTap::forget() {
  for (auto& [name, dense] : dense_) dense.weights.clear(), dense.gram.clear();
  gate_up_weights_.clear(), down_weights_.clear();
  for (auto& tokens : gate_up_) tokens.clear();
  for (Gram& gram : down_) gram.clear();
}

uint64_t HessianTap::bytes_needed(const model::Config& config, int64_t tokens) {
  const auto gram = [](int64_t n, int64_t block) {
    return static_cast<uint64_t>(n * n) * sizeof(double) + static_cast<uint64_t>(n * block) * 2;
  };
  const int64_t mixer = std::max(config.query_width(), config.value_width());
  const auto inputs = static_cast<uint64_t>(tokens * (2 * config.hidden + 4 * config.experts_used));
  // The sums of both kinds of blocks' dense layers, and one expert's.
  const uint64_t dense = 4 * gram(config.hidden, 1024) + 2 * gram(mixer, 1024) +
                         gram(config.shared_ffn, 1024) + gram(2 * config.hidden, 1024);
  return inputs + dense +
         static_cast<uint64_t>(config.experts) * gram(config.expert_ffn, kExpertBlock);
}

int64_t HessianTap::token_of(const model::RowOrigin& origin) const {
  const auto sequence = static_cast<size_t>(origin.sequence);
  return (sequence == 0 ? 0 : ends_[sequence - 1]) + origin.position;
}

void HessianTap::linear_input(const model::LinearInput& input) {
  if (input.layer < 0) return;
  layer_ = input.layer;
  if (input.expert >= 0) {
    see_expert(input);
  } else {
    see_dense(input);
  }
}

void HessianTap::see_dense(const model::LinearInput& input) {
  const std::string name = behind_block(input.weight);
  if (shares_input(name)) {
    note(dense_.at(std::string(first_of(name))).weights, input.weight);
    return;
  }
  auto at = dense_.find(name);
  if (at == dense_.end()) at = dense_.emplace(name, Dense{{}, Gram(input.cols)}).first;
  Dense& dense = at->second;
  note(dense.weights, input.weight);
  dense.gram.add(input.rows, input.ld, input.count, pool_);
  if (name != kRouter) return;
  for (int64_t r = 0; r < input.count; ++r) {
    const int64_t token = token_of(input.origins[static_cast<size_t>(r)]);
    kernels::table().to_bf16(input.rows + r * input.ld, config_.hidden,
                             inputs_.data() + token * config_.hidden);
  }
}

void HessianTap::see_expert(const model::LinearInput& input) {
  const auto expert = static_cast<size_t>(input.expert);
  if (base::ends_with(input.weight, "ffn_down_exps.weight")) {
    note(down_weights_, input.weight);
    down_[expert].add(input.rows, input.ld, input.count, pool_);
    return;
  }
  note(gate_up_weights_, input.weight);
  if (gate_up_weights_.front() != input.weight) return;  // up has the rows of gate
  for (const model::RowOrigin& origin : input.origins) {
    gate_up_[expert].push_back(static_cast<int32_t>(token_of(origin)));
  }
}

void HessianTap::hand_over(Gram& own, const std::vector<double>& all, int64_t all_rows,
                           std::span<const std::string> weights, int64_t expert,
                           const HessianConsumer& consumer) {
  const int64_t n = own.columns(), rows = own.rows();
  const double l = shrinkage(n, rows);
  const double scale = l * static_cast<double>(std::max<int64_t>(rows, 1)) /
                       static_cast<double>(std::max<int64_t>(all_rows, 1));
  std::vector<double>& values = own.finish(pool_);
  pool_.for_each(n, [&](int64_t r, int) {
    for (int64_t i = r * n; i < (r + 1) * n; ++i) {
      const auto at = static_cast<size_t>(i);
      values[at] = (1 - l) * values[at] + scale * all[at];
    }
  });
  consumer({weights, layer_, expert, n, values, rows, l});
}

void HessianTap::consume(const HessianConsumer& consumer) {
  for (auto& [name, dense] : dense_) {
    if (dense.weights.empty()) continue;  // of another kind of block
    const int64_t n = dense.gram.columns(), rows = dense.gram.rows();
    consumer({dense.weights, layer_, -1, n, dense.gram.finish(pool_), rows, 0});
  }
  if (!gate_up_weights_.empty()) consume_gate_up(consumer);
  if (!down_weights_.empty()) consume_down(consumer);
  forget();
}

// One expert after the other: its rows are gathered anew, so that one Hessian is held at a time.
void HessianTap::consume_gate_up(const HessianConsumer& consumer) {
  Gram& layer = dense_.at(kRouter).gram;
  const std::vector<double>& all = layer.finish(pool_);
  Gram own(config_.hidden);
  for (int64_t e = 0; e < config_.experts; ++e) {
    own.clear();
    std::vector<const uint16_t*> rows;
    for (const int32_t token : gate_up_[static_cast<size_t>(e)]) {
      rows.push_back(inputs_.data() + token * config_.hidden);
    }
    own.add(rows, pool_);
    hand_over(own, all, layer.rows(), gate_up_weights_, e, consumer);
  }
}

void HessianTap::consume_down(const HessianConsumer& consumer) {
  const int64_t n = config_.expert_ffn;
  std::vector<double> all(static_cast<size_t>(n * n));
  int64_t all_rows = 0;
  for (Gram& gram : down_) {
    const std::vector<double>& values = gram.finish(pool_);
    for (size_t i = 0; i < all.size(); ++i) all[i] += values[i];
    all_rows += gram.rows();
  }
  for (int64_t e = 0; e < config_.experts; ++e) {
    hand_over(down_[static_cast<size_t>(e)], all, all_rows, down_weights_, e, consumer);
  }
}

}  // namespace karat::calib
