// The format objects, one per file, gathered by codec.cc.
#pragma once

#include "codec/codec.h"

namespace karat::codec {

const Codec& f32_codec();
const Codec& f16_codec();
const Codec& bf16_codec();

}  // namespace karat::codec
