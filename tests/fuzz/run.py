#!/usr/bin/env python3
"""Runs the fuzz targets that the preset `fuzz` has built, one process at a time.

usage: tests/fuzz/run.py MINUTES [TARGET]   that much processor time for each target, or for one
       tests/fuzz/run.py --totals           what all runs so far came to
       tests/fuzz/run.py --minimize         replace tests/fuzz/corpus by what covers the most of it

New inputs are kept in build/fuzz/corpus, findings in build/fuzz/findings, and libFuzzer's last
words in build/fuzz/TARGET.log. The exit status is 1 if something was found.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROGRAMS = os.path.join(ROOT, "build-fuzz", "fuzz")
WORK = os.path.join(ROOT, "build", "fuzz")
RECORD = os.path.join(WORK, "record.jsonl")
SLICE_SECONDS = 120  # of one libFuzzer process, after which it starts anew from its corpus

# A file of 64 KiB must not make a reader take 16 MiB at once. The limit on the whole process
# leaves room for the sanitizer's shadow and quarantine, and for libFuzzer's copy of the corpus.
LIMITS = ["-max_len=65536", "-malloc_limit_mb=16", "-rss_limit_mb=384", "-timeout=10"]
SANITIZER = {"ASAN_OPTIONS": "quarantine_size_mb=16", "UBSAN_OPTIONS": "print_stacktrace=1"}
# What makes a corpus small: few files that reach every edge once, those first that reach the most;
# and of these no more than this.
MERGE = ["-set_cover_merge=1", "-use_counters=0", "-max_len=65536"]
CORPUS_BYTES = 30000


def targets():
    return sorted(name[:-3] for name in os.listdir(HERE)
                  if name.endswith(".cc") and name not in ("replay.cc", "seeds.cc"))


def corpus(target):
    return os.path.join(HERE, "corpus", target)


def work_folder(kind, target):
    path = os.path.join(WORK, kind, target)
    os.makedirs(path, exist_ok=True)
    return path


def fuzzer(target, arguments, log):
    """Runs a target; (exit status, processor seconds)."""
    program = os.path.join(PROGRAMS, "fuzz_" + target)
    if not os.path.exists(program):
        sys.exit("fuzz: %s is not built (./dev fuzz builds it)" % program)
    with open(log, "wb") as output:
        process = subprocess.Popen([program] + arguments, stdout=output, stderr=output,
                                   env={**os.environ, **SANITIZER},
                                   preexec_fn=lambda: os.nice(10))
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except KeyboardInterrupt:
            process.kill()
            raise
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


def numbers(log):
    with open(log, encoding="utf-8", errors="replace") as file:
        text = file.read()

    def last(pattern):
        found = re.findall(pattern, text)
        return int(found[-1]) if found else 0
    return {"executions": last(r"stat::number_of_executed_units:\s*(\d+)"),
            "edges": last(r"cov: (\d+)"), "features": last(r"ft: (\d+)"),
            "peak_mb": last(r"stat::peak_rss_mb:\s*(\d+)")}


def run_slice(target, seconds):
    log = os.path.join(WORK, target + ".log")
    findings = work_folder("findings", target)
    before = set(os.listdir(findings))
    status, cpu = fuzzer(target, [
        work_folder("corpus", target), corpus(target), "-max_total_time=%d" % seconds,
        "-artifact_prefix=%s/" % findings, "-print_final_stats=1", "-reload=0"] + LIMITS, log)
    entry = {"target": target, "cpu_s": round(cpu, 1), **numbers(log),
             "findings": sorted(set(os.listdir(findings)) - before), "status": status}
    with open(RECORD, "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    return entry


def print_table(entries):
    print("%-12s %8s %12s %8s %7s %9s %8s %8s" % ("target", "CPU min", "executions", "per s",
                                                  "edges", "features", "peak MB", "findings"))
    for target in targets():
        own = [entry for entry in entries if entry["target"] == target]
        if not own:
            continue
        cpu, count = sum(e["cpu_s"] for e in own), sum(e["executions"] for e in own)
        print("%-12s %8.1f %12d %8.0f %7d %9d %8d %8d" % (
            target, cpu / 60, count, count / max(cpu, 1e-9), own[-1]["edges"],
            own[-1]["features"], max(e["peak_mb"] for e in own),
            sum(e["status"] != 0 for e in own)))


def run(minutes, chosen):
    entries, failed = [], False
    for target in chosen:
        left = 60 * minutes
        while left > 0:
            entry = run_slice(target, max(1, min(SLICE_SECONDS, round(left))))
            entries.append(entry)
            left -= entry["cpu_s"]
            if entry["status"] != 0:
                failed = True
                print("fuzz: %s ended with status %d: build/fuzz/findings/%s/%s, build/fuzz/%s.log"
                      % (target, entry["status"], target, " ".join(entry["findings"]), target))
                break
    print_table(entries)
    return 1 if failed else 0


def totals():
    if not os.path.exists(RECORD):
        sys.exit("fuzz: nothing has run yet")
    with open(RECORD, encoding="utf-8") as file:
        print_table([json.loads(line) for line in file])
    return 0


def keep_best(merged, target):
    """Replaces the target's corpus by the files of `merged`, in the order they were written."""
    shutil.rmtree(corpus(target), ignore_errors=True)
    os.makedirs(corpus(target))
    files, size = 0, 0
    for entry in sorted(os.scandir(merged), key=lambda entry: entry.stat().st_mtime_ns):
        if size + entry.stat().st_size <= CORPUS_BYTES:
            shutil.copy(entry.path, corpus(target))
            files, size = files + 1, size + entry.stat().st_size
    print("%-12s %4d files, %7d bytes" % (target, files, size))


def minimize():
    for target in targets():
        os.makedirs(corpus(target), exist_ok=True)
        with tempfile.TemporaryDirectory() as merged:
            sources = [corpus(target), work_folder("corpus", target)]
            status, _ = fuzzer(target, MERGE + [merged] + sources,
                               os.path.join(WORK, target + ".log"))
            if status != 0:
                sys.exit("fuzz: %s could not be merged, see build/fuzz/%s.log" % (target, target))
            keep_best(merged, target)
    return 0


def main(arguments):
    os.makedirs(WORK, exist_ok=True)
    if arguments == ["--totals"]:
        return totals()
    if arguments == ["--minimize"]:
        return minimize()
    try:
        minutes = float(arguments[0]) if arguments else 1
    except ValueError:
        minutes = 0
    chosen = arguments[1:] or targets()
    if minutes <= 0 or not set(chosen) <= set(targets()):
        print(__doc__, file=sys.stderr)
        print("targets: " + " ".join(targets()), file=sys.stderr)
        return 2
    return run(minutes, chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
