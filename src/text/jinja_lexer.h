// Template source -> tokens, with jinja2's white space rules: trim_blocks and lstrip_blocks on, the
// signs - and + in tags, one line break at the end of the source dropped.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace karat::text {

struct Token {
  enum class Kind {
    data,  // text between tags
    variable_begin,
    variable_end,
    block_begin,
    block_end,
    name,
    string,  // text: the value, escapes resolved
    integer,
    real,
    symbol,  // text: one of + - * / // % ** ~ ( ) [ ] { } , . : ; | = == != < <= > >=
    end,     // of the source
  };
  Kind kind = Kind::end;
  std::string text;
  int line = 1;
};

// Throws Error{bad_input} "NAME, line N: ..." for what is no token, for tags, strings and brackets
// that are not closed, and for more than `tokens_max` tokens. The last token is `end`.
std::vector<Token> tokenize_template(std::string_view source, std::string_view name,
                                     size_t tokens_max);

}  // namespace karat::text
