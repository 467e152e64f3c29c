#include "base/error.h"

#include <cstdarg>
#include <cstdio>

#include "base/text.h"

namespace karat::base {

Error fail(ErrorKind kind, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::string message = vstrf(format, arguments);
  va_end(arguments);
  return Error(kind, message);
}

void check_failed(const char* file, int line, const char* expression) {
  throw fail(ErrorKind::internal, "%s:%d: CHECK(%s) failed", file, line, expression);
}

}  // namespace karat::base
