#!/usr/bin/env python3
"""quantize at full size: memory, honesty of the estimates, and five kills.

usage: bench/full_shape.py FOLDER [--karat PATH] [--type Q4_K_M] [--threads N] [--experts 256]
                           [--vocab 248320]

Makes a BF16 file of 40 layers in FOLDER, every fifth of them random numbers and the rest holes of a
sparse file (13 GB on disk), and quantizes it: once undisturbed, once killed five times with kill -9
and run again. Then the same with 8 layers, all numbers, for the time of a layer. Needs 60 GB, and
hours on a machine that others use; everything is removed afterwards. Prints the figures for
docs/BENCHMARKS.md. Fewer experts and a smaller vocabulary are for trying the script itself.
"""
import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests",
                                "support"))
import full_shape  # noqa: E402

NEEDED = 60e9  # of the full shape


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Run:
    """One process of karat quantize with its progress."""

    def __init__(self, options, source, target):
        command = [options.karat, "quantize", source, target, options.type, "-t",
                   str(options.threads), "--progress", "json"]
        self.start = time.monotonic()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True,
                                        stdout=subprocess.DEVNULL)
        self.events, self.said = [], []

    def follow(self, until=None):
        """Reads progress to the end, or kills the process at this share of its remaining bytes."""
        for line in self.process.stderr:
            if not line.startswith("{"):
                self.said.append(line.strip())
                continue
            event = json.loads(line)
            self.events.append(event)
            share = event["done"] / event["total"] if event["total"] else 1
            if until is not None and event["stage"] == "quantize" and share >= until:
                self.process.send_signal(signal.SIGKILL)
                break
        self.process.stderr.close()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.seconds = time.monotonic() - self.start
        self.peak, self.cpu = usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime
        return self

    def eta_after(self, share):
        """(Estimate of the remaining seconds when `share` was done, what it took)."""
        events = [e for e in self.events if e["stage"] == "quantize"]
        first = next(e for e in events if e["done"] >= share * e["total"])
        left = first["elapsed_s"] * (first["total"] / first["done"] - 1)
        return left, events[-1]["elapsed_s"] - first["elapsed_s"]


def expected_seconds(options, source):
    done = subprocess.run([options.karat, "quantize", source, "none.gguf", options.type, "-t",
                           str(options.threads), "--dry-run", "--json"],
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["expected"]


def kill_five_times(options, source, target, whole):
    """Shares at which it was killed; the last run ends by itself."""
    killed = 0
    while killed < 5:
        run = Run(options, source, target).follow(until=0.15)
        if run.process.returncode != -signal.SIGKILL:
            sys.exit("ended before it could be killed: %s" % run.said)
        killed += 1
        print("  killed after %.0f s; %s" % (run.seconds, "; ".join(run.said) or "from the start"),
              flush=True)
    last = Run(options, source, target).follow()
    print("  completed in %.0f s; %s" % (last.seconds, "; ".join(last.said)), flush=True)
    same = sha256(target) == whole
    print("SHA-256 after five kills: %s" % ("the same" if same else "DIFFERENT"), flush=True)
    return same


def sparse_forty(options, folder):
    source, target = os.path.join(folder, "in.gguf"), os.path.join(folder, "out.gguf")
    shape = full_shape.Shape(experts=options.experts, vocab=options.vocab)
    _, real = full_shape.write(source, shape, range(0, 40, 5))
    expected = expected_seconds(options, source)
    run = Run(options, source, target).follow()
    if run.process.returncode != 0:
        sys.exit("quantize failed: %s" % run.said)
    left, took = run.eta_after(0.1)
    print("40 layers, %.1f GB of numbers: %.0f s, %.0f s of CPU, VmHWM %.0f MB (expected %.0f MB)" %
          (real / 1e9, run.seconds, run.cpu, run.peak / 1e6, expected["memory_bytes"] / 1e6))
    print("ETA after 10 %%: %.0f s left, it took %.0f s" % (left, took), flush=True)
    whole = sha256(target)
    os.remove(target)
    same = kill_five_times(options, source, target, whole)
    os.remove(source)
    os.remove(target)
    return same


def real_eight(options, folder):
    source, target = os.path.join(folder, "in.gguf"), os.path.join(folder, "out.gguf")
    shape = full_shape.Shape(layers=8, experts=options.experts, vocab=options.vocab)
    _, real = full_shape.write(source, shape, range(8))
    expected = expected_seconds(options, source)
    run = Run(options, source, target).follow()
    if run.process.returncode != 0:
        sys.exit("quantize failed: %s" % run.said)
    print("8 layers of numbers, %.1f GB: %.0f s, %.0f s of CPU (dry run expected %.0f s); "
          "40 layers in proportion: %.0f s" %
          (real / 1e9, run.seconds, run.cpu, expected["seconds"], 5 * run.seconds), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--karat", default=os.path.join("build", "karat"))
    parser.add_argument("--type", default="Q4_K_M")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--experts", type=int, default=256)
    parser.add_argument("--vocab", type=int, default=248320)
    options = parser.parse_args()
    options.karat = os.path.abspath(options.karat)
    os.makedirs(options.folder, exist_ok=True)
    free = shutil.disk_usage(options.folder).free
    needed = NEEDED * options.experts / 256
    if free < needed:
        sys.exit("%.0f GB are free in %s, %.0f are needed" % (free / 1e9, options.folder,
                                                              needed / 1e9))
    folder = os.path.join(options.folder, "karat-full-shape")
    os.mkdir(folder)
    try:
        same = sparse_forty(options, folder)
        real_eight(options, folder)
    finally:
        shutil.rmtree(folder)
    sys.exit(0 if same else 6)


if __name__ == "__main__":
    main()
