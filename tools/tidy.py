#!/usr/bin/env python3
"""Checks the tree against docs/STYLE.md and docs/ARCHITECTURE.md; runs as the test `tidy`.

usage: tools/tidy.py [ROOT]

Prints one line per finding, `path:line: rule: what`. Warnings (a file or function that is getting
long) do not fail. A rule that must give way somewhere does so in EXCEPTIONS, with the reason.
"""
import ast
import fnmatch
import os
import re
import shutil
import subprocess
import sys

# (rule, path pattern, reason). One that is not needed any more is itself a finding.
EXCEPTIONS = [
    ("line-length", "tests/fixtures/generators/*", "kept as they were run"),
    ("function-length", "tests/fixtures/generators/*", "kept as they were run"),
    ("machine-path", "tests/fixtures/generators/check_fixtures.py", "names what it looks for"),
    ("macro", "src/base/regex.cc", "PCRE2 asks for its code unit width before its header"),
    ("dead-file", "tests/fixtures/generators/*", "run by hand, in the order of fixtures/README.md"),
    ("line-length", "demo/training/*", "kept as it was run"),
    ("machine-path", "tools/bare_debian", "the home folder inside the chroot that it makes"),
    ("left-over", "tools/tidy*.py", "names what it looks for"),
]

LIMITS = {"file": (600, 1000), "function": (60, 100), "kernel": (100, 150)}
LINE_LENGTH = 100

MACRO_HEADERS = ("src/base/error.h", "src/simd/isa.h")
CATCH_SITES = ("src/base/threads.cc", "src/cli/")
CPP = (".cc", ".h")
LAYOUT_CHECKED = CPP + (".py", "CMakeLists.txt", "dev", ".ci/run", "tools/bare_debian",
                        "tools/demo")
NON_ASCII_ALLOWED = ("docs/", "demo/", "tests/", "README.md", "CHANGELOG.md", "CONTRIBUTING.md",
                     "NOTICE", "LICENSE")
BINARY_ALLOWED = ("demo/", "tests/fixtures/", "tests/fuzz/corpus/")
NOT_SOURCE = (".git", ".cache", "__pycache__", "node_modules")


def code_only(text):
    """C++ with comments, strings and characters blanked out, line for line."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![\w])\'(?:\\.|[^\'\\\n])+\'',
        re.S)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), text)


def without_preprocessor(code):
    """Code with directives and their continuation lines blanked out."""
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group(0)),
                  code, flags=re.M)


def without_brackets(text, opening, closing):
    """Text without what stands in (nested) brackets."""
    out, depth = [], 0
    for character in text:
        if character == opening:
            depth += 1
        elif character == closing and depth > 0:
            depth -= 1
        elif depth == 0:
            out.append(character)
    return "".join(out)


def without_template(header):
    """A declaration without its template<...> in front."""
    match = re.match(r"\s*template\s*<", header)
    if not match:
        return header
    angles, round_ones = 1, 0
    for index in range(match.end(), len(header)):
        character = header[index]
        round_ones += (character == "(") - (character == ")")
        if round_ones == 0:
            angles += (character == "<") - (character == ">")
        if angles == 0:
            return without_template(header[index + 1:])
    return header


def function_name(header):
    operator = re.search(r"operator\s*(\(\)|\W+?)\s*\(", header)
    if operator:
        return "operator" + operator.group(1)
    name = re.search(r"([~\w:]+)\s*\(", without_template(header))
    return name.group(1) if name else "?"


def block_kind(header):
    """What an opening brace after `header` begins: 'scope', 'function' or 'other'."""
    outside = without_brackets(without_template(header), "(", ")")
    plain = without_brackets(outside, "<", ">") if "operator" not in outside else outside
    if re.search(r"\b(namespace|class|struct|union|enum|extern)\b", plain):
        return "scope" if "=" not in plain else "other"
    if "(" not in header:
        return "other"
    if "=" in re.sub(r"operator\s*[=<>!+*/-]*=|[<>!=]=", "", plain):
        return "other"
    return "function"


def functions(text):
    """(first line, lines, name) of every function body in a C++ file."""
    code = without_preprocessor(code_only(text))
    found, stack, start = [], [], 0
    for match in re.finditer(r"[{};]|\b(?:public|private|protected):", code):
        token = match.group(0)
        inside_function = any(kind != "scope" for kind, _, _ in stack)
        header = code[start:match.start()]
        if token == "{" and header.count("(") > header.count(")"):
            stack.append(("argument", start, header))
            continue
        if token == "}" and stack and stack[-1][0] == "argument":
            stack.pop()
            continue
        if token == "{":
            kind = "other" if inside_function else block_kind(header)
            begin = start + len(header) - len(header.lstrip())
            stack.append((kind, begin, header))
        elif token == "}" and stack:
            kind, begin, header = stack.pop()
            if kind == "function":
                first = code.count("\n", 0, begin) + 1
                last = code.count("\n", 0, match.start()) + 1
                found.append((first, last - first + 1, function_name(header)))
        start = match.end()
    return found


class Tidy:
    def __init__(self, root):
        self.root = root
        self.errors, self.warnings = [], []
        self.used_exceptions = set()
        self.texts = {}
        for path in self.list_files():
            with open(os.path.join(root, path), "rb") as file:
                data = file.read()
            if b"\0" in data:
                if not path.startswith(BINARY_ALLOWED):
                    self.error("binary", path, 1, "binary files belong in demo/ or tests/fixtures/")
                continue
            self.texts[path] = data.decode("utf-8", errors="replace")

    def list_files(self):
        """What git tracks or would track; without git, what does not look built."""
        paths = []
        if shutil.which("git"):
            git = subprocess.run(["git", "-C", self.root, "ls-files", "-co", "--exclude-standard"],
                                 capture_output=True, text=True)
            paths = git.stdout.splitlines() if git.returncode == 0 else []
        if not paths:
            for folder, folders, names in os.walk(self.root):
                folders[:] = [name for name in folders if name not in NOT_SOURCE
                              and not name.startswith("build")]
                paths += [os.path.relpath(os.path.join(folder, name), self.root) for name in names]
        return sorted(path for path in set(paths) - {".git"}
                      if os.path.isfile(os.path.join(self.root, path)))

    def excepted(self, rule, path):
        for exception in EXCEPTIONS:
            if exception[0] == rule and fnmatch.fnmatch(path, exception[1]):
                self.used_exceptions.add(exception)
                return True
        return False

    def error(self, rule, path, line, what):
        if not self.excepted(rule, path):
            self.errors.append("%s:%d: %s: %s" % (path, line, rule, what))

    def limit(self, rule, path, line, what, size, limits):
        if size > limits[1]:
            self.error(rule, path, line, "%s has %d lines, more than %d" % (what, size, limits[1]))
        elif size > limits[0] and not self.excepted(rule, path):
            self.warnings.append("%s:%d: warning: %s has %d lines" % (path, line, what, size))

    def find(self, rule, path, text, pattern, what):
        for match in re.finditer(pattern, text, flags=re.M):
            self.error(rule, path, text.count("\n", 0, match.start()) + 1, what)

    # What holds for every text file.

    def check_text(self, path, text):
        lines = text.split("\n")
        is_code = path.endswith(LAYOUT_CHECKED)
        in_demo_data = path.startswith("demo/model/")
        if is_code and not in_demo_data:
            self.limit("file-length", path, 1, "file", len(lines) - 1, LIMITS["file"])
            for number, line in enumerate(lines, 1):
                if len(line) > LINE_LENGTH:
                    self.error("line-length", path, number, "%d characters" % len(line))
        if not path.startswith(("demo/model/", "tests/fixtures/", "tests/fuzz/corpus/")):
            self.find("left-over", path, text, r"\b(TODO|FIXME|XXX|HACK)\b", "finish it, or say it")
        if not in_demo_data:
            self.find("machine-path", path, text, r"(?<![\w.])/(work|root|home)/",
                      "a path of one machine")
            servers = r"\b(registry\.(npm|yarn)|py(pi|thonhosted)\.org|(deb|security)\.debian)"
            self.find("registry-host", path, text, servers, "name packages, not their servers")
        if not path.startswith(NON_ASCII_ALLOWED) and not path.endswith("_test.cc"):
            self.find("non-ascii", path, text, r"[^\x00-\x7f]", "write an escape")

    # What holds for C++.

    def check_cpp(self, path, text):
        code = code_only(text)
        in_src = path.startswith("src/")
        module = path.split("/")[1] if in_src else ""
        is_test = path.endswith("_test.cc")
        limits = LIMITS["kernel" if path.endswith(".inl.h") else "function"]
        for line, size, name in functions(text):
            self.limit("function-length", path, line, name + "()", size, limits)
        if path.endswith(".h") and not path.endswith(".inl.h") and "#pragma once" not in code:
            if not os.path.basename(path).startswith("vec_"):
                self.error("include-guard", path, 1, "#pragma once is missing")
        self.find("using-namespace", path, code, r"\busing namespace\b", "name what is used")
        if path not in MACRO_HEADERS:
            self.find("macro", path, code, r"^\s*#\s*(define|undef)\b",
                      "macros belong in " + " and ".join(MACRO_HEADERS))
        if not path.startswith(("src/base/", "src/simd/")):
            self.find("conditional", path, code, r"^\s*#\s*(if|ifdef|ifndef|elif|else)\b",
                      "#if belongs in base/ and simd/")
            self.find("environment", path, code, r"\b(secure_)?getenv\s*\(",
                      "the environment is read in base/ and simd/")
        if not in_src or is_test:
            return
        if not path.startswith(CATCH_SITES):
            self.find("catch", path, code, r"\bcatch\s*\(", "errors pass through to cli/")
        if module not in ("cli", "base"):
            self.find("exit", path, code, r"\b(abort|_?[eE]xit|quick_exit|terminate)\s*\(",
                      "throw an Error")
        if module != "cli":
            self.find("printing", path, code,
                      r"\b(std::(cout|cerr|clog)|f?printf\s*\(|f?puts\s*\(|putchar\s*\()",
                      "only cli/ prints; others use base/log.h")

    # What holds for the tree of modules.

    def ranks(self):
        table = re.findall(r"^\|\s*(\d+)\s*\|\s*`?(\w+)`?\s*\|",
                           self.texts.get("docs/ARCHITECTURE.md", ""), flags=re.M)
        return {module: int(rank) for rank, module in table}

    def check_ranks(self):
        ranks = self.ranks()
        for path, text in self.texts.items():
            if not path.startswith("src/") or not path.endswith(CPP):
                continue
            module = path.split("/")[1]
            if module not in ranks:
                self.error("rank", path, 1, module + " has no rank in docs/ARCHITECTURE.md")
                continue
            for match in re.finditer(r'^\s*#\s*include\s+"([^"]+)"', text, flags=re.M):
                used, line = match.group(1), text.count("\n", 0, match.start()) + 1
                other = used.split("/")[0]
                if other == module:
                    continue
                if other == "support" and path.endswith("_test.cc"):
                    continue  # tests/support
                if other not in ranks:
                    self.error("rank", path, line, "%s is not a module" % other)
                elif ranks[other] >= ranks[module]:
                    self.error("rank", path, line, "%s (%d) may not use %s (%d)" %
                               (module, ranks[module], other, ranks[other]))

    def check_tested(self):
        """Every source has a test named after it, or one beside it that includes its header."""
        for path in self.texts:
            match = re.fullmatch(r"src/(\w+)/(\w+)\.cc", path)
            if not match or path.endswith("_test.cc") or path == "src/cli/main.cc":
                continue
            module, stem = match.groups()
            beside = [text for test, text in self.texts.items()
                      if test.startswith("src/%s/" % module) and test.endswith("_test.cc")]
            named = "src/%s/%s_test.cc" % (module, stem) in self.texts
            header = "%s/%s.h" % (module, stem)
            if "src/" + header not in self.texts:  # it implements a header of another name
                own = re.search(r'#include "(%s/\w+\.h)"' % module, self.texts[path])
                header = own.group(1) if own else header
            if not named and not any('#include "%s"' % header in text for text in beside):
                self.error("untested", path, 1, "no test beside it includes its header")

    def check_dead(self):
        everything = {path: text for path, text in self.texts.items()
                      if path.endswith(CPP + (".py", "CMakeLists.txt")) or path == "dev"}
        cmake = "\n".join(text for path, text in self.texts.items()
                          if path.endswith("CMakeLists.txt"))
        modules = re.findall(r"karat_module\((\w+)", cmake)
        for path in everything:
            folder, name = os.path.split(path)
            if path.endswith(".h"):
                used = re.compile(r'#\s*include\s+"([\w/]*/)?%s"' % re.escape(name))
                if not any(used.search(text) for other, text in everything.items()
                           if other != path):
                    self.error("dead-file", path, 1, "nothing includes it")
            elif path.endswith(".cc"):
                built = (path.startswith("src/") and path.split("/")[1] in modules
                         or folder == "bench" or name in cmake
                         or re.fullmatch(r"tests/\w+/\w+_test\.cc", path))
                if not built:
                    self.error("dead-file", path, 1, "no CMakeLists.txt builds it")
            elif path.endswith(".py") and not path.startswith("demo/training/"):
                module = re.compile(r"\b(import|from)\s+%s\b|%s" % (name[:-3], re.escape(name)))
                if not any(module.search(text) for other, text in everything.items()
                           if other != path):
                    self.error("dead-file", path, 1, "nothing runs or imports it")

    def check_links(self):
        """Links lead somewhere, and what "`name` in [file](path)" names is in that file."""
        named = r"`(?:\w+::)*(\w+)`\s+(?:in\s+|\()\[[^\]]*\]\(([^)#\s]+)\)"
        for path, text in self.texts.items():
            if not path.endswith(".md"):
                continue
            folder = os.path.dirname(path)
            for match in re.finditer(r"\]\(([^)#\s]+)[^)\s]*\)", text):
                target, line = match.group(1), text.count("\n", 0, match.start()) + 1
                there = os.path.exists(os.path.join(self.root, folder, target))
                if ":" not in target and not there:
                    self.error("dead-link", path, line, target + " does not exist")
            for match in re.finditer(named, text):
                line = text.count("\n", 0, match.start()) + 1
                name, target = match.groups()
                file = self.texts.get(os.path.normpath(os.path.join(folder, target)), "")
                if not re.search(r"\b%s\b" % name, file):
                    self.error("dead-link", path, line, "%s is not in %s" % (name, target))

    def check_python(self, path, text):
        try:
            tree = ast.parse(text)
        except SyntaxError as error:
            self.error("python", path, error.lineno or 1, "is not Python: %s" % error.msg)
            return
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self.limit("function-length", path, node.lineno, node.name + "()",
                           node.end_lineno - node.lineno + 1, LIMITS["function"])

    def run(self, check_exceptions=True):
        for path, text in self.texts.items():
            self.check_text(path, text)
            if path.endswith(CPP):
                self.check_cpp(path, text)
            elif path.endswith(".py"):
                self.check_python(path, text)
        self.check_ranks()
        self.check_tested()
        self.check_dead()
        self.check_links()
        if check_exceptions:
            for exception in EXCEPTIONS:
                if exception not in self.used_exceptions:
                    self.errors.append("tools/tidy.py:1: exception: %s for %s is not needed" %
                                       exception[:2])
        return not self.errors


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(
        os.path.abspath(__file__)))
    tidy = Tidy(root)
    clean = tidy.run()
    for line in tidy.warnings + tidy.errors:
        print(line)
    print("tidy: %d files, %d errors, %d warnings" % (len(tidy.texts), len(tidy.errors),
                                                      len(tidy.warnings)))
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    main()
