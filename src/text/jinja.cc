#include "text/jinja.h"

#include "text/jinja_interpreter.h"
#include "text/jinja_parser.h"
#include "text/jinja_print.h"

namespace karat::text {

JinjaTemplate::JinjaTemplate(std::string_view source, std::string name, const JinjaLimits& limits)
    : name_(std::move(name)), limits_(limits), block_(parse_template(source, name_, limits)) {}

MarkedText JinjaTemplate::render(const std::vector<Variable>& variables,
                                 const JinjaCircumstances& circumstances) const {
  Runtime runtime(name_, limits_, circumstances);
  for (const Variable& variable : variables) runtime.allow_for_input(json_bytes(*variable.value));
  std::vector<std::pair<std::string_view, Value>> globals;
  for (const Variable& variable : variables) {
    globals.emplace_back(variable.name, from_json(runtime, *variable.value, variable.from_input));
  }
  return Interpreter(runtime, std::move(globals)).run(block_);
}

}  // namespace karat::text
