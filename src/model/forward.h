// One forward pass: ragged batches [tokens, H] through the blocks. Prefill, decode, verification
// and calibration are the same code. Results do not depend on threads, on which sequences share a
// batch, on the instruction set, or on where the weights came from.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"
#include "kernels/table.h"
#include "model/config.h"
#include "model/state.h"
#include "model/tap.h"
#include "model/weights.h"

namespace karat::model {

// Arithmetic of the linear layers' inputs.
//   f32:   kept as they are (the default; what evaluation uses)
//   bf16:  rounded to bf16 before every product with a weight that is not F32, and queries, keys
//   and
//          values before attention
//   stock: rounded as stock llama.cpp's CPU backend does for the weight's type: bf16 for BF16, f16
//   for
//          F16, Q8_0 blocks for types of 32-element blocks, Q8_K blocks for types of 256-element
//          blocks, nothing for F32; attention in F32, as with an F32 cache there
//   q8:    the engine's own: int8 blocks of 32 and exact integer products (kernels/packed.h) for
//          types with an integer form, else as f32. Needs weights bound with Layout::panels, which
//          no other arithmetic takes
//   q8_rows: rounded to q8's blocks before float products with weights of any type but F32: what
//          the integer kernels make of the rows, and nothing of the weights
enum class Activations { f32, bf16, stock, q8, q8_rows };

enum class DeltaRule { recurrent, chunked };

struct ForwardOptions {
  Activations activations = Activations::f32;
  DeltaRule delta_rule = DeltaRule::recurrent;
};

// `rows` consecutive rows of the batch that belong to one sequence; positions continue the state's.
struct Segment {
  int64_t sequence;  // the caller's id, passed on to taps
  int64_t rows;
  SequenceState* state;  // not null; each state at most once per batch
};

// Everything a pass needs besides weights and rows.
struct ForwardContext {
  const Config& config;
  base::ThreadPool& pool;
  const kernels::KernelTable& kernels;
  ForwardOptions options = {};
  Tap* tap = nullptr;
};

// Experts are computed together until they have this many rows in all: 10 MiB of intermediates at
// full width, with rows enough for every thread.
constexpr int64_t kExpertGroupEntries = 512;

// x: [sum of segment rows, H], rows in segment order; read and written in place.
void forward_block(const ForwardContext& context, const BlockWeights& weights,
                   std::span<const Segment> segments, float* x);

// Rows of the embedding table as float32: out [ids.size(), H]. Error{bad_input} for an id outside
// it.
void embed(const ForwardContext& context, const HeadWeights& head, std::span<const int32_t> ids,
           float* out);
// out = RMS(x; output_norm), [rows, H]; out may be x.
void final_norm(const ForwardContext& context, const HeadWeights& head, const float* x,
                int64_t rows, float* out);
// out [rows, vocab] = h [rows, H] x output^T. `origins` for taps: [rows], or empty without a tap.
void logits(const ForwardContext& context, const HeadWeights& head, const float* h, int64_t rows,
            std::span<const RowOrigin> origins, float* out);

// The MTP block (MODEL.md section 4): tokens [rows] and hidden [rows, H], the trunk's post-norm
// rows paired with them (or the block's own output rows when drafting further); out [rows, H] =
// rows after mtp.norm, ready for logits(). Its K/V live in the state's MTP block; positions are the
// number of rows that block has seen.
void forward_mtp(const ForwardContext& context, const MtpWeights& weights, const HeadWeights& head,
                 std::span<const Segment> segments, std::span<const int32_t> tokens,
                 const float* hidden, float* out);

// y [rows, w.rows] (stride ldy) = x [rows, w.cols] (stride ldx) times matrix `expert` of w, with
// the context's activation rounding; parallel over the pool.
void apply_linear(const ForwardContext& context, const Linear& w, int64_t expert, const float* x,
                  int64_t ldx, int64_t rows, float* y, int64_t ldy);

}  // namespace karat::model
