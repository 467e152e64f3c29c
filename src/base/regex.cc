#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/regex.h"

#include <pcre2.h>

#include <array>

#include "base/error.h"
#include "base/text.h"

namespace karat::base {

namespace {

constexpr uint32_t kMatchStepsMax = 100000;

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct Regex::Code {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  ~Code() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

Regex::Regex(std::string pattern) : pattern_(std::move(pattern)), code_(std::make_unique<Code>()) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->code = pcre2_compile(units(pattern_), pattern_.size(), 0, &error, &offset, nullptr);
  if (code_->code == nullptr) {
    throw fail(ErrorKind::usage, "pattern '%s': %s at offset %zu", printable(pattern_).c_str(),
               message_of(error).c_str(), static_cast<size_t>(offset));
  }
  code_->context = pcre2_match_context_create(nullptr);
  CHECK(code_->context != nullptr);
  pcre2_set_match_limit(code_->context, kMatchStepsMax);
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

bool Regex::found_in(std::string_view text) const {
  pcre2_match_data* match = pcre2_match_data_create_from_pattern(code_->code, nullptr);
  CHECK(match != nullptr);
  const int result =
      pcre2_match(code_->code, units(text), text.size(), 0, 0, match, code_->context);
  pcre2_match_data_free(match);
  if (result >= 0) return true;
  if (result == PCRE2_ERROR_NOMATCH) return false;
  throw fail(ErrorKind::usage, "pattern '%s': %s", printable(pattern_).c_str(),
             message_of(result).c_str());
}

}  // namespace karat::base
