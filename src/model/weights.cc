#include "model/weights.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text.h"
#include "codec/codec.h"
#include "model/names.h"

namespace karat::model {
namespace {

using base::ErrorKind;
using tensor::TensorInfo;

// Rows that are read and packed together: whole groups, about a megabyte.
int64_t piece_rows(const Linear& w) {
  constexpr int64_t kPieceBytes = 1 << 20;
  const int64_t group = kernels::kGroupRows;
  return std::max<int64_t>(kPieceBytes / w.row_bytes() / group, 1) * group;
}

// Packs the piece of an expert's rows that begins with row `first`; `out` is where the expert goes.
void read_packed(const tensor::TensorSource& source, const TensorInfo& info, const Linear& w,
                 int64_t expert, int64_t first, std::byte* out) {
  const int64_t rows = std::min(piece_rows(w), w.rows - first);
  std::vector<std::byte> stored(static_cast<size_t>(rows * w.row_bytes()));
  source.read_rows(info, expert * w.rows + first, rows, stored);
  kernels::pack_rows(w.dtype, stored.data(), rows, w.cols,
                     out + kernels::packed_bytes(w.dtype, first, w.cols));
}

// Reads tensors of one block (or of none, for layer -1) by their names without the prefix.
class Binder {
 public:
  Binder(const tensor::TensorSource& source, int64_t layer, WeightBytes& bytes)
      : source_(source), layer_(layer), bytes_(bytes) {}

  bool has(std::string_view rest) const { return source_.find(name(rest)) != nullptr; }

  // A matrix [rows, cols], or a stack of `experts` of them: its view, still without bytes.
  Linear described(Layout layout, std::string_view rest, int64_t rows, int64_t cols,
                   int64_t experts) {
    const TensorInfo& info = source_.at(name(rest));
    const bool vector = rows == 1 && info.shape.rank() == 1;  // [cols] may stand for [1, cols]
    if (!vector && info.shape.rank() != (experts == 1 ? 2 : 3)) refuse(info, rows, cols, experts);
    if (info.shape.cols() != cols || info.shape.rows() != rows * experts ||
        info.shape.experts() != experts) {
      refuse(info, rows, cols, experts);
    }
    require_codec(info);
    Linear out{info.name, info.dtype, nullptr, rows, cols, experts};
    out.layout = layout;
    return out;
  }

  Linear linear_in(Layout layout, std::string_view rest, int64_t rows, int64_t cols,
                   int64_t experts = 1) {
    Linear out = described(layout, rest, rows, cols, experts);
    if (experts > 1 && bytes_.leaves_experts()) return out;
    const TensorInfo& info = source_.at(out.name);
    out.data = layout == Layout::rows ? load(info) : load_packed(info, out);
    return out;
  }

  // As the owner of the bytes wants matrices of this type.
  Linear linear(std::string_view rest, int64_t rows, int64_t cols, int64_t experts = 1) {
    const TensorInfo& info = source_.at(name(rest));
    return linear_in(bytes_.layout_for(info.dtype), rest, rows, cols, experts);
  }

  // A vector of `elements` floats, or with `cols` a table of rows of that many.
  Vector vector(std::string_view rest, int64_t elements, int64_t cols = 0) {
    const TensorInfo& info = source_.at(name(rest));
    const bool fits =
        cols == 0 ? info.shape.rank() == 1 : info.shape.rank() == 2 && info.shape.cols() == cols;
    if (!fits || info.shape.elements() != elements) {
      refuse(info, cols == 0 ? 1 : elements / cols, cols == 0 ? elements : cols, 1);
    }
    const codec::Codec& codec = require_codec(info);
    std::vector<std::byte> stored(static_cast<size_t>(info.bytes()));
    source_.read(info, stored);
    Vector out(static_cast<size_t>(elements));
    codec.decode(stored, out);
    return out;
  }

 private:
  std::string name(std::string_view rest) const {
    return layer_ < 0 ? std::string(rest) : block_name(layer_, rest);
  }

  const std::byte* load(const TensorInfo& info) {
    const auto size = static_cast<size_t>(info.bytes());
    std::byte* out = bytes_.allocate(size);
    source_.read(info, {out, size});
    return out;
  }

  const std::byte* load_packed(const TensorInfo& info, const Linear& w) {
    const int64_t pieces = (w.rows + piece_rows(w) - 1) / piece_rows(w);
    std::byte* out = bytes_.allocate(static_cast<size_t>(w.experts * w.expert_bytes()));
    const auto pack = [&](int64_t index, int) {
      const int64_t expert = index / pieces;
      read_packed(source_, info, w, expert, index % pieces * piece_rows(w),
                  out + expert * w.expert_bytes());
    };
    if (bytes_.pool() != nullptr) {
      bytes_.pool()->for_each(w.experts * pieces, pack);
    } else {
      for (int64_t i = 0; i < w.experts * pieces; ++i) pack(i, 0);
    }
    return out;
  }

  static const codec::Codec& require_codec(const TensorInfo& info) {
    const codec::Codec* codec = codec::find_codec(info.dtype);
    if (codec != nullptr) return *codec;
    throw base::fail(ErrorKind::unsupported, "tensor '%s' has type %s, which is not supported",
                     base::printable(info.name).c_str(),
                     std::string(tensor::info(info.dtype).name).c_str());
  }

  [[noreturn]] static void refuse(const TensorInfo& info, int64_t rows, int64_t cols,
                                  int64_t experts) {
    std::vector<int64_t> expected{rows, cols};
    if (experts > 1) expected.insert(expected.begin(), experts);
    if (rows == 1) expected = {cols};
    throw base::fail(ErrorKind::bad_input,
                     "tensor '%s' has shape %s, but the configuration asks for %s",
                     base::printable(info.name).c_str(), info.shape.str().c_str(),
                     tensor::Shape(expected).str().c_str());
  }

  const tensor::TensorSource& source_;
  int64_t layer_;
  WeightBytes& bytes_;
};

AttentionWeights bind_attention(Binder& binder, const Config& c) {
  AttentionWeights w;
  w.q = binder.linear("attn_q.weight", 2 * c.query_width(), c.hidden);
  w.k = binder.linear("attn_k.weight", c.kv_width(), c.hidden);
  w.v = binder.linear("attn_v.weight", c.kv_width(), c.hidden);
  w.output = binder.linear("attn_output.weight", c.hidden, c.query_width());
  w.q_norm = binder.vector("attn_q_norm.weight", c.head_dim);
  w.k_norm = binder.vector("attn_k_norm.weight", c.head_dim);
  return w;
}

DeltaWeights bind_delta(Binder& binder, const Config& c) {
  DeltaWeights w;
  w.qkv = binder.linear("attn_qkv.weight", c.conv_channels(), c.hidden);
  w.gate = binder.linear("attn_gate.weight", c.value_width(), c.hidden);
  w.alpha = binder.linear("ssm_alpha.weight", c.value_heads, c.hidden);
  w.beta = binder.linear("ssm_beta.weight", c.value_heads, c.hidden);
  w.out = binder.linear("ssm_out.weight", c.hidden, c.value_width());
  w.conv = binder.vector("ssm_conv1d.weight", c.conv_channels() * c.conv_taps, c.conv_taps);
  w.a = binder.vector("ssm_a", c.value_heads);
  w.dt = binder.vector("ssm_dt.bias", c.value_heads);
  w.norm = binder.vector("ssm_norm.weight", c.value_dim);
  return w;
}

MoeWeights bind_moe(Binder& binder, const Config& c) {
  MoeWeights w;
  w.router = binder.linear("ffn_gate_inp.weight", c.experts, c.hidden);
  if (binder.has("ffn_gate_up_exps.weight")) {
    w.gate_up = binder.linear("ffn_gate_up_exps.weight", 2 * c.expert_ffn, c.hidden, c.experts);
  } else {
    w.gate = binder.linear("ffn_gate_exps.weight", c.expert_ffn, c.hidden, c.experts);
    w.up = binder.linear("ffn_up_exps.weight", c.expert_ffn, c.hidden, c.experts);
  }
  w.down = binder.linear("ffn_down_exps.weight", c.hidden, c.expert_ffn, c.experts);
  w.shared_gate = binder.linear("ffn_gate_shexp.weight", c.shared_ffn, c.hidden);
  w.shared_up = binder.linear("ffn_up_shexp.weight", c.shared_ffn, c.hidden);
  w.shared_down = binder.linear("ffn_down_shexp.weight", c.hidden, c.shared_ffn);
  w.shared_router = binder.linear("ffn_gate_inp_shexp.weight", 1, c.hidden);
  return w;
}

}  // namespace

Layout WeightBytes::layout_for(tensor::DType type) const {
  return kernels::has_integer_form(type) ? layout_ : Layout::rows;
}

BlockWeights bind_block(const tensor::TensorSource& source, const Config& config, int64_t layer,
                        WeightBytes& bytes) {
  Binder binder(source, layer, bytes);
  BlockWeights w;
  w.layer = layer;
  if (layer < config.layers()) w.mixer = config.mixers[static_cast<size_t>(layer)];
  w.attn_norm = binder.vector("attn_norm.weight", config.hidden);
  w.post_attention_norm = binder.vector("post_attention_norm.weight", config.hidden);
  if (w.mixer == Mixer::delta_net) {
    w.delta = bind_delta(binder, config);
  } else {
    w.attention = bind_attention(binder, config);
  }
  w.moe = bind_moe(binder, config);
  return w;
}

HeadWeights bind_head(const tensor::TensorSource& source, const Config& config,
                      WeightBytes& bytes) {
  Binder binder(source, -1, bytes);
  HeadWeights w;
  w.token_embd = binder.linear_in(Layout::rows, kTokenEmbd, config.vocab, config.hidden);
  w.output_norm = bind_output_norm(source, config);
  const bool shared = !binder.has(kOutput) && bytes.layout_for(w.token_embd.dtype) == Layout::rows;
  w.output = shared ? w.token_embd : bind_output(source, config, bytes);
  return w;
}

void require_output(const tensor::TensorSource& source, const Config& config) {
  WeightBytes none;
  Binder binder(source, -1, none);
  binder.described(Layout::rows, binder.has(kOutput) ? kOutput : kTokenEmbd, config.vocab,
                   config.hidden, 1);
}

Linear bind_output(const tensor::TensorSource& source, const Config& config, WeightBytes& bytes) {
  Binder binder(source, -1, bytes);
  return binder.linear(binder.has(kOutput) ? kOutput : kTokenEmbd, config.vocab, config.hidden);
}

Vector bind_output_norm(const tensor::TensorSource& source, const Config& config) {
  WeightBytes none;
  return Binder(source, -1, none).vector(kOutputNorm, config.hidden);
}

MtpWeights bind_mtp(const tensor::TensorSource& source, const Config& config, WeightBytes& bytes) {
  CHECK(config.mtp_layers == 1);
  Binder binder(source, config.layers(), bytes);
  for (const std::string_view own :
       {"nextn.embed_tokens.weight", "nextn.shared_head_head.weight"}) {
    if (!binder.has(own)) continue;
    throw base::fail(ErrorKind::unsupported,
                     "tensor '%s': MTP blocks with their own embedding or head are not supported",
                     block_name(config.layers(), own).c_str());
  }
  MtpWeights w;
  w.eh_proj = binder.linear("nextn.eh_proj.weight", config.hidden, 2 * config.hidden);
  w.enorm = binder.vector("nextn.enorm.weight", config.hidden);
  w.hnorm = binder.vector("nextn.hnorm.weight", config.hidden);
  constexpr std::string_view kHeadNorm = "nextn.shared_head_norm.weight";
  w.head_norm = binder.has(kHeadNorm)
                    ? binder.vector(kHeadNorm, config.hidden)
                    : Binder(source, -1, bytes).vector(kOutputNorm, config.hidden);
  w.block = bind_block(source, config, config.layers(), bytes);
  return w;
}

void read_matrix(const tensor::TensorSource& source, const Linear& w, int64_t expert,
                 std::byte* out) {
  const TensorInfo& info = source.at(w.name);
  if (w.layout == Layout::rows) {
    source.read_expert(info, expert, {out, static_cast<size_t>(w.expert_bytes())});
    return;
  }
  for (int64_t first = 0; first < w.rows; first += piece_rows(w)) {
    read_packed(source, info, w, expert, first, out);
  }
}

}  // namespace karat::model
