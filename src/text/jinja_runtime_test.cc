#include "text/jinja_runtime.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <new>

#include "base/error.h"
#include "text/jinja.h"
#include "text/jinja_value.h"

// Heap in use and its highest mark, for the test of the memory limit.
namespace {
std::atomic<size_t> heap_live{0}, heap_peak{0};
}  // namespace

void* operator new(size_t size, const std::nothrow_t&) noexcept {
  void* memory = std::malloc(size);
  if (memory == nullptr) return nullptr;
  const size_t live = heap_live += malloc_usable_size(memory);
  if (live > heap_peak) heap_peak = live;
  return memory;
}
void* operator new(size_t size) {
  void* memory = operator new(size, std::nothrow);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept {
  heap_live -= malloc_usable_size(memory);
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept { operator delete(memory); }

namespace karat::text {
namespace {

using base::Error;
using base::Json;

struct Hostile {
  const char* name;
  std::string source;
};

std::string repeated(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

// Source or calls nested too deeply.
std::vector<Hostile> too_deep() {
  return {
      {"macro calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"},
      {"two macros",
       "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}"
       "{{ a() }}"},
      {"macro doubles",
       "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}"
       "{% endmacro %}{{ m(60) }}"},
      {"caller calls",
       "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}"
       "{{ m() }}"},
      {"parentheses", "{{ " + std::string(100000, '(') + "1" + std::string(100000, ')') + " }}"},
      {"lists", "{{ " + std::string(100000, '[') + std::string(100000, ']') + " }}"},
      {"open dicts", "{{ " + repeated("{'a':", 100000)},
      {"minus signs", "{{ " + std::string(100000, '-') + "1 }}"},
      {"nots", "{{ " + repeated("not ", 100000) + "1 }}"},
      {"ifs", repeated("{% if 1 %}", 100000)},
      {"ternaries", "{{ " + repeated("1 if 1 else ", 100000) + "1 }}"},
      {"attributes", "{{ x" + repeated(".a", 100000) + " }}"},
      {"calls", "{{ range" + repeated("()", 100000) + " }}"},
      {"filters", "{{ x" + repeated("|string", 10000) + " }}"},
      {"sum", "{{ 1" + repeated("+1", 10000) + " }}"},
      {"long sum", "{{ 1" + repeated("+1", 1000000) + " }}"},
      {"targets", "{% set " + std::string(100000, '(') + "x = 1 %}"},
  };
}

// Values or output too large or too deep.
std::vector<Hostile> too_large() {
  const std::string grow = "{% set ns = namespace(s='x') %}";
  return {
      {"range", "{{ range(10**9) | list }}"},
      {"ranges", "{% for a in range(20000) %}{% for b in range(20000) %}{% endfor %}{% endfor %}"},
      {"nested ranges",
       "{% for a in range(20000) %}{% for b in range(20000) %}"
       "{% for c in range(20000) %}{% endfor %}{% endfor %}{% endfor %}"},
      {"repeat", "{{ 'a' * 10**9 }}"},
      {"repeat list", "{{ [1] * 10**9 }}"},
      {"repeat back", "{{ 10**18 * 'a' }}"},
      {"power", "{{ 10 ** 10 ** 10 }}"},
      {"width", "{{ '%999999999d' % 1 }}"},
      {"center", "{{ 'x'.center(10**10) }}"},
      {"zfill", "{{ 'x'.zfill(10**10) }}"},
      {"indent", "{{ 'x' | indent(10**10) }}"},
      {"doubling", grow + "{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"},
      {"doubling list", grow + "{% set ns.l = [1] %}{% for i in range(99) %}"
                               "{% set ns.l = ns.l + ns.l %}{% endfor %}"},
      {"replace", grow + "{% for i in range(99) %}{% set ns.s = ns.s.replace('x', 'xx') %}"
                         "{% endfor %}"},
      {"join", "{{ range(20000) | join('x' * 10000) }}"},
      {"json", "{{ ('\\x01' * 1000000) | tojson }}{{ ('\\x01' * 1000000) | tojson }}"},
      {"nesting", grow + "{% for i in range(20000) %}{% set ns.s = [ns.s] %}{% endfor %}"
                         "{{ ns.s }}"},
      {"nesting dict", grow + "{% for i in range(20000) %}{% set ns.s = {'a': ns.s} %}{% endfor %}"
                              "{{ ns.s | tojson }}"},
      {"nesting methods", grow + "{% set ns.s = [] %}{% for i in range(20000) %}"
                                 "{% set ns.s = [ns.s.index] %}{% endfor %}"},
      {"namespace in itself", "{% set n = namespace() %}{% set n.n = n %}{{ n }}"},
      {"namespace chain",
       "{% set n = namespace() %}{% for i in range(20000) %}"
       "{% set m = namespace(n=n.n) %}{% set n.n = m %}{% endfor %}{{ n }}"},
      {"loop in itself",
       "{% for i in range(20000) %}{{ loop.changed(loop) }}{% endfor %}"
       "{{ missing.x }}"},
      {"output", "{% for i in range(20000) %}" + std::string(1000, 'x') + "{% endfor %}"},
      {"output in macros",
       "{% macro m(n) %}" + std::string(60000, 'x') + "{{ m(n - 1) }}{% endmacro %}{{ m(99) }}"},
  };
}

// Work out of proportion.
std::vector<Hostile> too_slow() {
  return {
      {"compare",
       "{% set l = [1] * 20000 %}{% set m = [1] * 20000 %}"
       "{% for i in l %}{% if l == m %}{% endif %}{% endfor %}"},
      {"contains", "{% set l = range(20000) %}{% for i in l %}{{ i in l }}{% endfor %}"},
      {"substring",
       "{% set s = 'a' * 1000000 %}{% for i in range(20000) %}"
       "{{ 'b' in s }}{% endfor %}"},
      {"index", "{% set s = 'é' * 400000 %}{% for i in range(20000) %}{{ s[-1] }}{% endfor %}"},
      {"length", "{% set s = 'é' * 400000 %}{% for i in range(20000) %}{{ s|length }}{% endfor %}"},
      {"unique", "{{ range(20000) | unique | list | length }}"},
      {"sort", "{% for i in range(20000) %}{% set x = range(20000) | sort %}{% endfor %}"},
      {"split", "{{ ('a,' * 400000).split(',') | length }}"},
      {"characters", "{{ ('a' * 1000000) | list | length }}"},
      {"dict",
       "{% set n = namespace(d={}) %}{% for i in range(20000) %}"
       "{% set n.d = dict(n.d, **{}) %}{% endfor %}"},
      {"tokens", repeated("{{ 1 }}", 100000)},

  };
}

// Ways out of the sandbox, where there is one.
std::vector<Hostile> walks() {
  return {
      {"class walk", "{{ ''.__class__.__mro__[1].__subclasses__() }}"},
      {"class walk by items", "{{ ''['__class__']['__base__'] }}"},
      {"globals walk", "{{ range.__globals__.os }}"},
      {"macro walk", "{% macro m() %}{% endmacro %}{{ m.__init__.__globals__ }}"},
      {"attr filter", "{{ '' | attr('__class__') }}"},
      {"format walk", "{{ '{0.__class__}'.format('') }}"},
  };
}

// Each ends with an error within the bounds and leaves nothing behind.
void expect_bounded(const std::vector<Hostile>& templates) {
  const Json x = "x";
  for (const Hostile& hostile : templates) {
    EXPECT_THROW(JinjaTemplate(hostile.source, "t").render({{"x", &x, true}}), Error)
        << hostile.name;  // once before, so that the tables are made
    const size_t before = heap_live;
    heap_peak = before;
    const std::clock_t start = std::clock();
    EXPECT_THROW(JinjaTemplate(hostile.source, "t").render({{"x", &x, true}}), Error)
        << hostile.name;
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    const size_t peak = heap_peak - before, after = heap_live;
    EXPECT_LT(peak, size_t{16} << 20) << hostile.name;
    EXPECT_LT(seconds, 0.1) << hostile.name;
    EXPECT_EQ(after, before) << hostile.name << " leaks";
    std::printf("%-22s %5.1f ms %7zu KiB\n", hostile.name, seconds * 1000, peak >> 10);
  }
}

TEST(JinjaRuntime, DepthIsBounded) { expect_bounded(too_deep()); }
TEST(JinjaRuntime, SizeIsBounded) { expect_bounded(too_large()); }
TEST(JinjaRuntime, TimeIsBounded) { expect_bounded(too_slow()); }
TEST(JinjaRuntime, AttributesLeadNowhere) { expect_bounded(walks()); }

TEST(JinjaRuntime, LimitsGrowWithTheInput) {
  JinjaLimits limits;
  limits.memory_bytes = 1000;
  limits.memory_per_byte = 10;
  Runtime runtime("t", limits);
  EXPECT_THROW(runtime.check_bytes(1001), Error);
  runtime.allow_for_input(100);
  runtime.check_bytes(2000);
  const Value text = runtime.string(std::string(500, 'x'));
  EXPECT_THROW(runtime.check_bytes(1500), Error);
}

TEST(JinjaRuntime, ArgumentsAreBound) {
  Runtime runtime("t", {});
  const auto one = Value::integer(Integer{1}), two = Value::integer(Integer{2});
  Arguments good{{one}, {{"b", two}}};
  const auto values = bind(runtime, "f", good, {"a", "b", "c"}, 1);
  EXPECT_TRUE(values[0]->is_integer() && values[1]->is_integer());
  EXPECT_FALSE(values[2].has_value());
  Arguments none, twice{{one}, {{"a", two}}}, unknown{{}, {{"z", one}}}, surplus{{one, two}, {}};
  for (Arguments* bad : {&none, &twice, &unknown, &surplus}) {
    EXPECT_THROW(bind(runtime, "f", *bad, {"a"}, 1), Error);
  }
}

TEST(JinjaValue, ChargesAreGivenBack) {
  Meter meter;
  {
    Charge first(meter, 10);
    Charge second = std::move(first);
    EXPECT_EQ(meter.live, 10u);
    Charge third(meter, 5);
    third = std::move(second);
    EXPECT_EQ(meter.live, 15u);
  }
  EXPECT_EQ(meter.live, 0u);
}

TEST(JinjaValue, TypesAndTruth) {
  EXPECT_STREQ(Value().type_name(), "Undefined");
  EXPECT_STREQ(Value::none().type_name(), "NoneType");
  EXPECT_STREQ(Value::boolean(true).type_name(), "bool");
  EXPECT_FALSE(Value::integer(Integer{0}).truth());
  EXPECT_TRUE(Value::real(-0.5).truth());
  EXPECT_EQ(Value::undefined("'x' is undefined").undefined_message(), "'x' is undefined");
}

}  // namespace
}  // namespace karat::text
