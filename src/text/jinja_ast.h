// The parsed template. Trees are built only to a limited height, so everything that walks them may
// recurse.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja_operators.h"
#include "text/jinja_value.h"

namespace karat::text {

struct Expression;
using ExpressionPtr = std::unique_ptr<const Expression>;

struct Expression {
  enum class Kind {
    constant,     // constant
    name,         // name
    list,         // children: items
    tuple,        // children: items
    dict,         // children: key, value, key, value, ...
    attribute,    // children: object; name
    item,         // children: object, index
    slice,        // children: object, begin, end, step (null if absent)
    call,         // children: callee, arguments...; named
    filter,       // children: value (null: the text of the surrounding block), arguments...; named
    test,         // children: value, arguments...; named; negated
    negate,       // children: value
    positive,     // children: value
    logical_not,  // children: value
    binary,       // children: left, right; op
    concat,       // children: two or more
    compare,      // children: operands; comparisons between neighbours
    logical_and,  // children: two or more
    logical_or,   // children: two or more
    conditional,  // children: condition, then, else (null if absent)
  };
  Kind kind = Kind::constant;
  BinaryOperator op = BinaryOperator::add;
  bool negated = false;
  int line = 0;
  int height = 1;
  std::string name;
  Value constant;
  std::vector<ExpressionPtr> children;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  std::vector<Comparison> comparisons;
};

struct Statement;
using Block = std::vector<std::unique_ptr<const Statement>>;

struct Statement {
  enum class Kind {
    text,          // text
    print,         // expressions: value
    conditional,   // expressions: conditions; blocks: one each, and one more for else
    loop,          // target; expressions: iterable, filter (or null); blocks: body, else
    set,           // target; expressions: value
    set_block,     // target; expressions: filter chain (or null); blocks: body
    macro,         // name, parameters, expressions: defaults of the last ones; blocks: body
    call_block,    // parameters, expressions: call, then defaults; blocks: body
    filter_block,  // expressions: filter chain; blocks: body
    with,          // names in parameters, expressions: values; blocks: body
    plain,         // blocks: body ({% generation %}, which only matters in training)
    loop_break,
    loop_continue,
  };
  Kind kind = Kind::text;
  int line = 0;
  std::string name;
  std::string text;
  ExpressionPtr target;  // a name, an attribute of a name, or a tuple of targets
  std::vector<ExpressionPtr> expressions;
  std::vector<std::string> parameters;
  std::vector<Block> blocks;
};

}  // namespace karat::text
