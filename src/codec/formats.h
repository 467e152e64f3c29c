// The format objects, one per file, gathered by codec.cc.
#pragma once

#include "codec/codec.h"

namespace karat::codec {

const Codec& f32_codec();
const Codec& f16_codec();
const Codec& bf16_codec();
const Codec& q4_0_codec();
const Codec& q4_1_codec();
const Codec& q5_0_codec();
const Codec& q5_1_codec();
const Codec& q8_0_codec();
const Codec& iq4_nl_codec();
const Codec& iq4_xs_codec();
const Codec& mxfp4_codec();
const Codec& nvfp4_codec();
const Codec& tq1_0_codec();
const Codec& tq2_0_codec();
const Codec& q1_0_codec();
const Codec& q2_0_codec();
const Codec& q2_k_codec();
const Codec& q3_k_codec();
const Codec& q4_k_codec();
const Codec& q5_k_codec();
const Codec& q6_k_codec();
const Codec& iq2_xxs_codec();
const Codec& iq2_xs_codec();
const Codec& iq2_s_codec();
const Codec& iq3_xxs_codec();
const Codec& iq3_s_codec();
const Codec& iq1_s_codec();
const Codec& iq1_m_codec();

}  // namespace karat::codec
