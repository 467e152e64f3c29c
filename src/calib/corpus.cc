#include "calib/corpus.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

namespace karat::calib {

using base::ErrorKind;
using base::fail;

namespace {

std::string read_text(const std::string& path) {
  std::string text = base::read_file(path);
  const size_t nul = text.find('\0');
  if (nul != std::string::npos) {
    throw fail(ErrorKind::bad_input, "%s: byte %zu is NUL; a text file is expected",
               base::printable(path).c_str(), nul);
  }
  return text;
}

}  // namespace

Corpus read_corpus(const std::vector<std::string>& files, const text::Tokenizer& tokenizer,
                   const CorpusOptions& options) {
  CHECK(options.chunk_size >= 2);
  Corpus corpus;
  corpus.chunk_size = options.chunk_size;
  std::string names;
  for (const std::string& file : files) {
    const std::vector<uint32_t> ids =
        tokenizer.encode(read_text(file), {.parse_special = options.parse_special});
    corpus.tokens.insert(corpus.tokens.end(), ids.begin(), ids.end());
    names += (names.empty() ? "" : ", ") + base::printable(file);
  }
  const auto total = static_cast<int64_t>(corpus.tokens.size());
  if (total < 2 * options.chunk_size) {
    throw fail(ErrorKind::bad_input,
               "%s: %lld tokens are fewer than two chunks of %lld; give more text or a smaller -c",
               names.c_str(), static_cast<long long>(total),
               static_cast<long long>(options.chunk_size));
  }
  corpus.chunks = total / options.chunk_size;
  if (options.chunks_max >= 0) corpus.chunks = std::min(corpus.chunks, options.chunks_max);
  if (options.tokens_max >= 0) {
    corpus.chunks = std::min(corpus.chunks, options.tokens_max / options.chunk_size);
  }
  if (corpus.chunks < 1) throw fail(ErrorKind::usage, "the limits leave no whole chunk to work on");
  return corpus;
}

}  // namespace karat::calib
