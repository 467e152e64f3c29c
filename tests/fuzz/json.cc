// Input: a JSON text. What is accepted comes back the same after it was written.
#include "base/json.h"

#include "fuzz/fuzz.h"

using karat::base::Json;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = karat::fuzz::text_of(data, size);
  Json value;
  const bool accepted =
      karat::fuzz::accepted([&] { value = karat::base::parse_json(text, {.name = "input"}); });
  CHECK(karat::base::try_parse_json(text).has_value() == accepted);
  if (!accepted) return 0;
  const std::string written = value.dump();
  CHECK(karat::base::parse_json(written).dump() == written);
  CHECK(karat::base::parse_json(value.dump(2)).dump() == written);
  return 0;
}
