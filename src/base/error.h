// One exception type for everything that can go wrong with what a user gave us, and the checks for
// what can only be a mistake of ours. Errors are caught in cli (exit statuses) and at the worker
// boundary in base/threads, nowhere else.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace karat::base {

// The kinds are the exit statuses of the command line (README.md, "Use").
enum class ErrorKind {
  internal,     // 1: a bug of ours
  usage,        // 2: wrong command line, contradictory options, infeasible target
  bad_input,    // 3: input invalid, truncated, corrupt, incompatible
  unsupported,  // 3: input well-formed, but not something karat handles
  io,           // 4: reading or writing failed, disk full
  memory,       // 5: refused before starting, or allocation failed
  gate,         // 6: a check failed (verify, --max-kld)
  exists,       // 7: output exists, is locked, or is the input
  network,      // 8: port or address problem
  interrupted,  // 130/143: a signal asked us to stop; carries no message of its own
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }
  // The same error with "context: " in front, for callers that know the file or tensor.
  Error in(std::string_view context) const {
    return Error(kind_, std::string(context) + ": " + what());
  }

 private:
  ErrorKind kind_;
};

// printf-style construction: throw fail(ErrorKind::bad_input, "%s: %d bytes short", name, n).
[[gnu::format(printf, 2, 3)]] Error fail(ErrorKind kind, const char* format, ...);

// Reports a broken invariant as Error{internal}: "file:line: CHECK(expression)".
[[noreturn]] void check_failed(const char* file, int line, const char* expression);

}  // namespace karat::base

// Programmer error, always on.
#define CHECK(expression) \
  ((expression) ? (void)0 : ::karat::base::check_failed(__FILE__, __LINE__, #expression))
// Programmer error in hot loops; only in debug builds.
#ifdef NDEBUG
#define DCHECK(expression) ((void)0)
#else
#define DCHECK(expression) CHECK(expression)
#endif
