#!/usr/bin/env python3
"""Installs into a scratch folder, makes the Debian package, unpacks it, and looks at both.

usage: packaging/package_test.py install|package|manual
Exit status 77: skipped, with the reason.
"""
import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile

BUILD = os.environ["KARAT_BUILD"]
COMPLETIONS = ("bash-completion/completions/karat", "fish/vendor_completions.d/karat.fish")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 or "warning" in done.stderr.lower():
        sys.exit("%s: status %d\n%s%s" % (" ".join(command), done.returncode, done.stdout,
                                          done.stderr))
    return done.stdout


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            print("skipped: %s is not installed" % program)
            sys.exit(77)


def verbs(program):
    found = re.findall(r"^  (\w+) ", run(program, "--help"), flags=re.M)
    assert "inspect" in found and "completion" in found, found
    return found


def expect_files(folder, names):
    missing = [name for name in names if not os.path.isfile(os.path.join(folder, name))]
    if missing:
        sys.exit("not in %s: %s" % (folder, " ".join(missing)))


def check_program(usr):
    program = os.path.join(usr, "bin", "karat")
    version = run(program, "--version")
    assert re.match(r"karat \d+\.\d+\.\d+\nbuild \w+.*\ncompiler .+\ninstruction set \w+\n$",
                    version), version
    return program


def install(folder):
    run("cmake", "--install", BUILD, "--prefix", folder)
    program = check_program(folder)
    share = os.path.join(folder, "share")
    pages = ["karat.1"] + ["karat-%s.1" % verb for verb in verbs(program)]
    expect_files(share, COMPLETIONS + ("zsh/site-functions/_karat", "doc/karat/LICENSE"))
    expect_files(os.path.join(share, "man", "man1"), pages)
    with open(os.path.join(share, COMPLETIONS[0]), encoding="utf-8") as file:
        assert file.read() == run(program, "completion", "bash")


def package(folder):
    need("dpkg-deb", "dpkg-shlibdeps", "cpack")
    run("cpack", "--config", os.path.join(BUILD, "CPackConfig.cmake"), "-B", folder)
    deb, = [name for name in os.listdir(folder) if name.endswith(".deb")]
    assert re.fullmatch(r"karat_\d+\.\d+\.\d+_\w+\.deb", deb), deb
    fields = run("dpkg-deb", "-f", os.path.join(folder, deb))
    for pattern in (r"^Package: karat$", r"^Section: science$", r"^Maintainer: .+@.+$",
                    r"^Depends: .*libc6 \(>= ", r"^Depends: .*libssl3", r"^Depends: .*libpcre2-8-0",
                    r"^Depends: .*libutf8proc", r"^Description: .+\n ."):
        assert re.search(pattern, fields, flags=re.M), (pattern, fields)
    root = os.path.join(folder, "root")
    run("dpkg-deb", "-x", os.path.join(folder, deb), root)
    usr = os.path.join(root, "usr")
    names = ["karat"] + ["karat-" + verb for verb in verbs(check_program(usr))]
    expect_files(os.path.join(usr, "share"), COMPLETIONS + (
        "zsh/vendor-completions/_karat", "doc/karat/copyright"))
    for name in names:
        with gzip.open(os.path.join(usr, "share", "man", "man1", name + ".1.gz"), "rt") as page:
            assert page.read().startswith(".TH ")


def manual(_):
    need("groff")
    pages = os.path.join(BUILD, "generated", "man")
    for name in sorted(os.listdir(pages)):
        path = os.path.join(pages, name)
        done = subprocess.run(["groff", "-man", "-ww", "-Tascii", "-P-cbou", path],
                              capture_output=True, text=True)
        if done.returncode != 0 or done.stderr:
            sys.exit("%s: %s" % (name, done.stderr))
        for word in ("NAME", "SYNOPSIS", "--progress", "EXIT STATUS"):
            assert word in done.stdout, (name, word)


def main():
    with tempfile.TemporaryDirectory() as folder:
        {"install": install, "package": package, "manual": manual}[sys.argv[1]](folder)


if __name__ == "__main__":
    main()
