"""Every rule of tidy.py can fail: a small clean tree, and what breaks each rule in it."""
import os
import subprocess
import sys
import tempfile
import unittest

import tidy

CLEAN = {
    "CMakeLists.txt": "karat_module(base)\nkarat_module(tensor karat_base)\n",
    "docs/ARCHITECTURE.md": "| 0 | `base` | x |\n| 1 | `tensor` | y |\n| 2 | `codec` | z |\n"
                            "| 2 | `text` | z |\n",
    "src/base/error.h": "#pragma once\n#define CHECK(x) (x)\n",
    "src/base/file.h": "#pragma once\nnamespace karat::base {\nint size();\n}\n",
    "src/base/file.cc": '#include "base/file.h"\n#include "base/error.h"\n'
                        '#ifdef __linux__\n#endif\nint size() { return 1; }\n',
    "src/base/file_test.cc": '#include "base/file.h"\n// \u00e9 is fine in a test\n',
    "src/tensor/shape.h": "#pragma once\n",
    "src/tensor/shape.cc": '#include "tensor/shape.h"\n\n#include "base/file.h"\n',
    "src/tensor/shape_test.cc": '#include "tensor/shape.h"\n',
    "README.md": "caf\u00e9 " + "long " * 40 + "\n",
}


def findings(changes, binary=None):
    """What tidy says about the clean tree with `changes` (None removes a file)."""
    tree = {path: text for path, text in {**CLEAN, **changes}.items() if text is not None}
    with tempfile.TemporaryDirectory() as root:
        for path, text in list(tree.items()) + list((binary or {}).items()):
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
        checker = tidy.Tidy(root)
        checker.run(check_exceptions=False)
        return checker.errors, checker.warnings


def body(lines):
    return "int f(int x) {\n" + "  x += 1;\n" * (lines - 2) + "}\n"


class Rules(unittest.TestCase):
    def expect(self, rule, path, text, binary=None, line=None):
        errors, _ = findings({} if binary else {path: text}, binary)
        place = "%s:%s" % (path, "" if line is None else "%d:" % line)
        hits = [error for error in errors if error.startswith(place) and " %s: " % rule in error]
        self.assertTrue(hits, "%s not found for %s in %s" % (rule, path, errors))

    def test_the_clean_tree_is_clean(self):
        self.assertEqual(findings({}), ([], []))

    def test_ranks(self):
        up = '#include "base/file.h"\n#include "tensor/shape.h"\n'
        self.expect("rank", "src/base/file.cc", up, line=2)
        sideways = {"src/codec/a.h": "#pragma once\n",
                    "src/text/b_test.cc": '#include "codec/a.h"\n'}
        self.assertIn("src/text/b_test.cc:1: rank: text (2) may not use codec (2)",
                      findings(sideways)[0])
        self.expect("rank", "src/base/file_test.cc", '#include "nowhere/file.h"\n')
        self.expect("rank", "src/unranked/a_test.cc", "\n")

    def test_lengths(self):
        self.expect("file-length", "src/base/file.cc", CLEAN["src/base/file.cc"] + "\n" * 1000)
        self.expect("line-length", "src/base/file.cc", "//" + "x" * 99 + "\n", line=1)
        self.assertEqual(findings({"src/base/file_test.cc": CLEAN["src/base/file_test.cc"] +
                                   "//" + "x" * 98 + "\n"}), ([], []))
        self.expect("function-length", "src/base/file.cc", "\n\n" + body(101), line=3)
        for lines, warnings in ((60, 0), (61, 1), (100, 1)):
            errors, warned = findings({"src/base/file_test.cc": CLEAN["src/base/file_test.cc"] +
                                       body(lines)})
            self.assertEqual((errors, len(warned)), ([], warnings))
        self.expect("function-length", "tests/a.py", "def f():\n" + "    x = 1\n" * 101)

    def test_kernels_may_be_longer(self):
        table = {"docs/ARCHITECTURE.md": CLEAN["docs/ARCHITECTURE.md"] + "| 3 | `kernels` | k |\n"}
        def found(lines):
            return [error for error in findings({**table, "src/kernels/a.inl.h": body(lines)})[0]
                    if "function-length" in error]
        self.assertEqual(found(150), [])
        self.assertEqual(len(found(151)), 1)

    def test_source_rules(self):
        include = '#include "tensor/shape.h"\n'
        for rule, text in (
                ("macro", "#define A 1\n"), ("macro", "#undef A\n"),
                ("conditional", "#if 1\n#endif\n"), ("conditional", "# ifdef A\n#endif\n"),
                ("environment", "auto x = std::getenv(\"A\");\n"),
                ("catch", "void f() { try { } catch (...) { } }\n"),
                ("exit", "void f() { std::abort(); }\n"), ("exit", "void f() { exit(1); }\n"),
                ("printing", "void f() { std::cout << 1; }\n"),
                ("printing", "void f() { std::printf(\"x\"); }\n"),
                ("using-namespace", "using namespace std;\n"),
                ("left-over", "// TODO: later\n"), ("left-over", "// FIXME\n"),
                ("non-ascii", "// \u00e9\n"),
                ("machine-path", "// see /" + "work/notes\n"),
                ("machine-path", "// /" + "home/me\n"),
                ("registry-host", "// registry" + ".npm\n")):
            self.expect(rule, "src/tensor/shape.cc", include + text, line=2)
        self.expect("include-guard", "src/tensor/shape.h", "#ifndef A\n#endif\n")

    def test_comments_and_strings_are_not_code(self):
        text = CLEAN["src/tensor/shape.cc"] + (
            '// getenv("A"), catch (x), std::cout, exit(1)\n/* #define\n#define A\n*/\n'
            'const char* a = "getenv( catch ( { { {";\nconst char* b = R"x(\n#if { { \n)x";\n'
            "char c = '{';\n")
        self.assertEqual(findings({"src/tensor/shape.cc": text}), ([], []))

    def test_whole_tree_rules(self):
        self.expect("untested", "src/tensor/new.cc", "int x;\n")
        self.expect("dead-file", "src/tensor/new.h", "#pragma once\n")
        self.expect("dead-file", "src/nomodule/new.cc", "int x;\n")
        self.expect("dead-file", "tests/new.py", "x = 1\n")
        self.expect("dead-file", "tools/new.cc", "int x;\n")
        self.expect("binary", "docs/x.png", None, binary={"docs/x.png": b"\x89PNG\0"})
        self.expect("python", "tests/a.py", "def f(:\n")
        self.assertEqual(findings({}, {"tests/fixtures/x.gguf": b"GGUF\0"}), ([], []))

    def test_a_source_may_be_tested_through_the_header_it_implements(self):
        more = {"src/tensor/part.cc": '#include "tensor/shape.h"\n'}
        self.assertEqual(findings(more), ([], []))

    def test_documents_link_to_what_is_there(self):
        self.expect("dead-link", "README.md", "x\n[y](docs/NOTHING.md)\n", line=2)
        self.expect("dead-link", "docs/A.md", "`length` in\n[file.cc](../src/base/file.cc)\n")
        good = ("[docs](docs/ARCHITECTURE.md#top), [folder](src/base), [web](https://a.example/b), "
                "`base::size`\n([file.cc](src/base/file.cc)), `size` in [it](src/base/file.h)\n")
        self.assertEqual(findings({"README.md": good}), ([], []))

    def test_exceptions_that_are_not_needed_are_found(self):
        with tempfile.TemporaryDirectory() as root:
            checker = tidy.Tidy(root)
            checker.run()
            self.assertEqual(len(checker.errors), len(tidy.EXCEPTIONS))

    def test_the_program_fails_when_a_rule_does(self):
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, "dev"), "w") as file:
                file.write("# FIXME\n")
            done = subprocess.run([sys.executable, tidy.__file__, root], capture_output=True,
                                  text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn("dev:1: left-over", done.stdout)


class Scanner(unittest.TestCase):
    def names(self, text):
        return [(name, size) for _, size, name in tidy.functions(text)]

    def test_finds_functions_and_nothing_else(self):
        text = """
namespace a { namespace {
constexpr int kTable[] = {
  1, 2,
};
struct S : Base<int (*)(int)> {
  S() : x_(1), y_{2} {}
  int get() const { return x_; }
  bool operator==(const S& o) const {
    return true;
  }
  int x_ = 0, y_{3};
};
enum class E { a, b };
template <class T, class = std::enable_if_t<(sizeof(T) > 1)>>
void g(T t = {}) {
  if (t) {
    auto f = [&](int i) { return i; };
  }
}
int T::h(int a,
         int b) noexcept {
  return a;
}
using F = void (*)(int);
const auto lambda = [](int x) { return x; };
} }
"""
        self.assertEqual([name for name, _ in self.names(text) if name != "S"],
                         ["get", "operator==", "g", "T::h"])
        self.assertIn(("T::h", 4), self.names(text))
        self.assertIn(("g", 6), self.names(text))

    def test_directives_do_not_unbalance_it(self):
        text = "#define X {{{ \\\n  {{{\nvoid f() {\n#ifdef A\n#endif\n}\nvoid g() {\n}\n"
        self.assertEqual(self.names(text), [("f", 4), ("g", 2)])


if __name__ == "__main__":
    unittest.main()
