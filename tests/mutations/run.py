#!/usr/bin/env python3
"""Would the tests notice? Breaks the source in one small way after another and runs tests.

usage: tests/mutations/run.py [--check] [NAME...]

Works in a copy of the tree under build/mutations. First the unbroken copy has to pass the named
tests; then every mutation of tests/mutations/list has to make one of them fail. --check only looks
whether every mutation still applies, and is part of the suite.
"""
import argparse
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = os.path.join(os.environ.get("KARAT_BUILD", os.path.join(ROOT, "build")), "mutations")
TREE = os.path.join(WORK, "tree")
BUILD = os.path.join(TREE, "build")
LINKED = ("demo", "tests/fixtures")  # large and never mutated: linked into the copy
TEST_SECONDS = 120                   # a mutation may make a loop endless


class Mutation:
    """One paragraph of the list: NAME, file, tests, and the lines taken out (-) and put in (+)."""

    def __init__(self, paragraph, line):
        self.line = line
        self.name = self.file = None
        self.tests, old, new = [], [], []
        for text in paragraph:
            key, _, value = text.partition(": ")
            if text.startswith("-"):
                old.append(text[1:])
            elif text.startswith("+"):
                new.append(text[1:])
            elif key == "mutation":
                self.name = value
            elif key == "file":
                self.file = value
            elif key == "tests":
                self.tests = value.split()
            else:
                sys.exit("tests/mutations/list:%d: cannot read '%s'" % (line, text))
        self.old, self.new = "\n".join(old), "\n".join(new)
        if not (self.name and self.file and self.tests and old) or self.old == self.new:
            sys.exit("tests/mutations/list:%d: incomplete" % line)

    def problem(self, root):
        """Why it does not apply to the tree, or None. Indentation of the first line may differ."""
        path = os.path.join(root, self.file)
        if not os.path.isfile(path):
            return "%s does not exist" % self.file
        with open(path) as file:
            count = file.read().count(self.old)
        return None if count == 1 else "the text is in %s %d times" % (self.file, count)

    def apply(self, root):
        with open(os.path.join(root, self.file)) as file:
            text = file.read()
        write(os.path.join(root, self.file), text.replace(self.old, self.new).encode())
        return text


def read_list():
    mutations, paragraph, start = [], [], 0
    with open(os.path.join(HERE, "list")) as file:
        lines = file.read().split("\n") + [""]
    for number, text in enumerate(lines, 1):
        if text.startswith("#"):
            continue
        if text:
            start = start or number
            paragraph.append(text)
        elif paragraph:
            mutations.append(Mutation(paragraph, start))
            paragraph, start = [], 0
    names = [mutation.name for mutation in mutations]
    if len(set(names)) != len(names):
        sys.exit("tests/mutations/list: two mutations have one name")
    return mutations


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def copy_tree():
    """Brings the copy up to date; unchanged files keep their time, so that little is rebuilt."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"],
                            capture_output=True, text=True, check=True).stdout.splitlines()
    wanted = {path for path in listed if os.path.isfile(os.path.join(ROOT, path))
              and not path.startswith(tuple(folder + "/" for folder in LINKED))}
    for folder, folders, names in os.walk(TREE):
        if folder == TREE and "build" in folders:
            folders.remove("build")
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), TREE)
            if path not in wanted and not os.path.islink(os.path.join(TREE, path)):
                os.remove(os.path.join(TREE, path))
    for path in wanted:
        source, target = os.path.join(ROOT, path), os.path.join(TREE, path)
        with open(source, "rb") as file:
            data = file.read()
        if os.path.isfile(target):
            with open(target, "rb") as file:
                if file.read() == data:
                    continue
        write(target, data)
        shutil.copymode(source, target)
    for folder in LINKED:
        link = os.path.join(TREE, folder)
        if not os.path.islink(link):
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(os.path.join(ROOT, folder), link)


def build(tests):
    """Builds what the tests need; the compiler's words if that fails."""
    targets = subprocess.run(["ninja", "-C", BUILD, "-t", "targets", "all"], capture_output=True,
                             text=True).stdout
    known = {line.split(":")[0] for line in targets.splitlines()}
    names = [test if test in known else "all" for test in tests]
    done = subprocess.run(["cmake", "--build", BUILD, "-j", "2", "--target"] + names,
                          capture_output=True, text=True)
    return None if done.returncode == 0 else done.stdout[-2000:]


def failing(tests):
    """The tests that fail; every one of them has to exist."""
    pattern = "^(" + "|".join(tests) + ")$"
    done = subprocess.run(["ctest", "--test-dir", BUILD, "-R", pattern, "-j", "2", "--timeout",
                           str(TEST_SECONDS), "--stop-on-failure"], capture_output=True, text=True)
    known = [test for test in tests if " %s " % test in done.stdout]
    if not known:
        sys.exit("no such test: %s\n%s" % (" ".join(tests), done.stdout[-2000:]))
    if done.returncode == 0:
        return []
    return [line.split("- ")[1].split(" (")[0] for line in done.stdout.splitlines()
            if line.strip()[:1].isdigit() and line.endswith((" (Failed)", " (Timeout)", ")"))
            and " - " in line] or ["?"]


def verdict(mutation):
    """'caught by ...', or what went wrong in capitals."""
    original = mutation.apply(TREE)
    try:
        problem = build(mutation.tests)
        if problem:
            return "DOES NOT COMPILE\n" + problem
        failed = failing(mutation.tests)
        return "caught by " + failed[0] if failed else "SURVIVED"
    finally:
        write(os.path.join(TREE, mutation.file), original.encode())


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    mutations = read_list()
    broken = [(mutation, mutation.problem(ROOT)) for mutation in mutations]
    for mutation, problem in broken:
        if problem:
            print("tests/mutations/list:%d: %s: %s" % (mutation.line, mutation.name, problem))
    if options.check or any(problem for _, problem in broken):
        print("%d mutations" % len(mutations))
        sys.exit(1 if any(problem for _, problem in broken) else 0)

    chosen = [mutation for mutation in mutations
              if not options.names or mutation.name in options.names]
    if not chosen:
        sys.exit("no mutation has such a name")
    copy_tree()
    subprocess.run(["cmake", "-S", TREE, "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"],
                   stdout=subprocess.DEVNULL, check=True)
    tests = sorted({test for mutation in chosen for test in mutation.tests})
    problem = build(tests)
    failed = problem or failing(tests)
    if failed:
        sys.exit("without any mutation already: %s" % failed)
    missed = 0
    for mutation in chosen:
        begin = time.monotonic()
        outcome = verdict(mutation)
        missed += not outcome.startswith("caught")
        print("%-40s %s (%.0f s)" % (mutation.name, outcome, time.monotonic() - begin), flush=True)
    print("%d mutations, %d caught, %d not" % (len(chosen), len(chosen) - missed, missed))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
