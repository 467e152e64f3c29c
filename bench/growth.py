#!/usr/bin/env python3
"""How the cost of calibration block by block grows with tokens, layers, threads and context.

Runs bench/stream on a checkpoint of random weights at full width, each run beside the same base,
prints a table and draws it. The checkpoint (layers * 1.7 GB + 2 GB) is made in FOLDER and removed.
"""
import argparse
import csv
import math
import os
import shutil
import subprocess
import sys

import svg_plot

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Point:
    def __init__(self, tokens, layers=4, context=512, threads=2, hessians=False):
        self.tokens, self.layers, self.context = tokens, layers, context
        self.threads, self.hessians = threads, hessians

    def words(self, batch):
        return "%d,%d,%d,%d,bf16,%d%s" % (self.tokens, self.layers, self.context, self.threads,
                                          batch, ",hessians" if self.hessians else "")

    def row(self, result):
        fields = ["%d" % self.tokens, "%d" % self.layers, "%d" % self.context, "%d" % self.threads,
                  "yes" if self.hessians else "", "%.0f" % float(result["seconds"]),
                  "%.0f" % float(result["cpu_seconds"]), "%.3f" % float(result["tflops"]),
                  "%.2f" % float(result["peak_gb"]), "%.2f" % float(result["foretold_gb"])]
        return "| " + " | ".join(fields) + " |"


def axes(tokens):
    """{what grows: [(factor, point)]}; the first of each list but the threads' is the base."""
    base = Point(tokens)
    return {
        "tokens": [(1, base), (4, Point(4 * tokens))],
        "threads": [(1, Point(tokens, threads=1)), (2, base)],
        "context": [(1, base)] + [(n // 512, Point(tokens, context=n)) for n in (4096, 32768)],
        "with Hessians": [(1, base), (1, Point(tokens, hessians=True))],
        "layers": [(1, base), (2.5, Point(tokens, layers=10))],
    }


def run(options, point):
    command = [os.path.join(ROOT, "build", "bench", "stream"), options.folder, "--keep",
               "--layers", "10", point.words(options.batch)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    (result,) = csv.DictReader(done.stdout.splitlines())
    print(point.row(result), flush=True)
    return float(result["seconds"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--tokens", type=int, default=65536, help="of the base")
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--svg", help="where the plot goes")
    options = parser.parse_args()
    heads = ["tokens", "layers", "context", "threads", "Hessians", "s", "CPU s", "TFLOP/s",
             "peak, GB", "foretold"]
    print("| " + " | ".join(heads) + " |")
    print("|---" * len(heads) + "|")
    seconds = {}
    curves = {}
    try:
        for name, points in axes(options.tokens).items():
            curve = []
            for factor, point in points:
                words = point.words(options.batch)
                if words not in seconds:
                    seconds[words] = run(options, point)
                curve.append((math.log2(factor),) + 3 * (seconds[words],))
            curves[name] = curve
    finally:
        shutil.rmtree(os.path.join(options.folder, "karat-stream"), ignore_errors=True)
    if options.svg:
        del curves["with Hessians"]
        svg_plot.plot(options.svg, "Calibration block by block, %d tokens x 4 layers and more" %
                      options.tokens, "doublings of the quantity", "seconds", curves)


if __name__ == "__main__":
    sys.exit(main())
