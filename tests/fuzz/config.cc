// Input: the config.json of a checkpoint.
#include "model/config.h"

#include "base/json.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  karat::fuzz::accepted([&] {
    const auto json = karat::base::parse_json(karat::fuzz::text_of(data, size), {.name = "input"});
    const karat::model::Config config = karat::model::config_from_hf(json, "input");
    // The products that sizes are made of stay below 2^62.
    CHECK(config.layers() > 0 && config.hidden > 0 && config.experts_used <= config.experts);
    CHECK(config.conv_channels() > 0 && config.query_width() > 0 && config.kv_width() > 0);
  });
  return 0;
}
