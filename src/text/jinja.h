// A bounded interpreter for the part of Jinja that chat templates use, with the semantics of
// jinja2 (checked against it) as transformers sets it up: trim_blocks, lstrip_blocks, loop
// controls, an immutable sandbox, no autoescape, tojson = json.dumps without ASCII escapes.
//
// Templates come out of model files, so nothing is trusted: there are no Python objects to walk,
// and depth, steps, memory and time are limited (JinjaLimits).
//
// Known differences: what jinja2 gives as a generator (map, select, ...), range and dict views are
// lists here; integers beyond 64 bits are errors; `safe` and `escape` give plain strings; a loop's
// `if` is decided for all items before the first one is visited.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/jinja_ast.h"
#include "text/jinja_runtime.h"
#include "text/marked_text.h"

namespace karat::text {

class JinjaTemplate {
 public:
  // `name`: how messages call the template. Errors as parse_template's.
  JinjaTemplate(std::string_view source, std::string name, const JinjaLimits& limits = {});

  struct Variable {
    std::string name;
    const base::Json* value = nullptr;
    bool from_input = false;  // the copies of its strings in the result are to be marked
  };
  // Throws Error{bad_input} "NAME, line N: ..." for everything that goes wrong while it runs, and
  // with the bare message for raise_exception(message); both behind the circumstances' place. Safe
  // from several threads at once.
  MarkedText render(const std::vector<Variable>& variables,
                    const JinjaCircumstances& circumstances = {}) const;

 private:
  std::string name_;
  JinjaLimits limits_;
  Block block_;
};

}  // namespace karat::text
