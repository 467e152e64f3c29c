#include "text/detokenizer.h"

#include "text/tokenizer.h"

namespace karat::text {

std::string IncrementalDecoder::push(uint32_t id) {
  const std::string_view bytes = tokenizer_->token_bytes(id);
  std::string out;
  if (!options_.skip_special || !tokenizer_->is_special(id)) repair_.push(bytes, out);
  return out;
}

std::string IncrementalDecoder::flush() {
  std::string out;
  repair_.flush(out);
  return out;
}

}  // namespace karat::text
