// Regular expressions that users give on the command line (PCRE2, wrapped here and nowhere else):
// Perl syntax, of which the ECMAScript patterns of llama-quantize are a subset in practice.
// Matching is bounded, so that a catastrophic pattern ends in an error.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace karat::base {

class Regex {
 public:
  // Error{usage} "pattern 'x': what is wrong, at which offset".
  explicit Regex(std::string pattern);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  const std::string& pattern() const { return pattern_; }
  // True if the pattern matches somewhere in `text`. Error{usage} if it needs too many steps.
  bool found_in(std::string_view text) const;

 private:
  struct Code;
  std::string pattern_;
  std::unique_ptr<Code> code_;
};

}  // namespace karat::base
