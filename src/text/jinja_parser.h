// Template source -> statements.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja_ast.h"

namespace karat::text {

struct JinjaLimits;

// Throws Error{bad_input} "NAME, line N: ..." for bad syntax or a template beyond the limits, and
// Error{unsupported} for Jinja that reaches other templates (include, import, extends, block) and
// for what nobody uses in chat templates (recursive loops, autoescape, calls with * or **).
Block parse_template(std::string_view source, const std::string& name, const JinjaLimits& limits);

}  // namespace karat::text
