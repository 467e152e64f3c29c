// Input: a GGUF file given as a model: configuration, shapes, tokenizer and chat template of it,
// and what `inspect` prints.
#include "fuzz/fuzz.h"
#include "model/open.h"
#include "model/summary.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static karat::fuzz::MemoryFile file;
  file.set(data, size);
  karat::fuzz::accepted([] {
    const karat::model::OpenedModel model = karat::model::open_model(file.path());
    karat::model::summary_text(model, true);
    karat::model::summary_json(model, true).dump();
    if (!model.tokenizer) return;
    const karat::text::Tokenizer tokenizer(*model.tokenizer);
    tokenizer.decode(tokenizer.encode("The  <|im_end|>\n\xf0\x9f\x98\x80 1234 caf\xc3\xa9"));
  });
  return 0;
}
