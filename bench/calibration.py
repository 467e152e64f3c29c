#!/usr/bin/env python3
"""How much calibration matters, on the demo model: tokens, chance, and what experts are shown.

usage: bench/calibration.py FOLDER [--karat PATH] [--type Q3_K_S] [--tokens 8192,32768]
                            [--subsets 8] [--chunks 32] [--mode sweep|experts|all]

Makes a packet of the demo's calibration text without what its evaluation text has. The sweep takes
random subsets of it (calibrate --tokens N --seed S), quantizes with each of their statistics and
measures the divergence (KLD) from the BF16 model; it prints mean and standard deviation for every
number of tokens. The other mode compares statistics of routed rows with --all-experts on the whole
packet, chunk by chunk on the same text. Prints Markdown for docs/BENCHMARKS.md.
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TEXT = os.path.join(ROOT, "demo", "model", "text")

RECIPE = """schema = 1
tokens = {tokens}
context = 512
[[domain]]
name = "prose"
share = 1
[[domain.source]]
path = "{text}/calibration.txt"
form = "file"
cut = true
[[evaluation]]
name = "evaluation"
path = "{text}/evaluation.txt"
form = "file"
"""


class Bench:
    def __init__(self, options):
        self.options = options
        os.makedirs(options.folder, exist_ok=True)
        self.model = self.path("bf16.gguf")
        self.karat("convert", os.path.join(ROOT, "demo", "model"), "-o", self.model, "--no-mtp",
                   "--no-receipt")

    def path(self, name):
        return os.path.join(self.options.folder, name)

    def karat(self, *arguments):
        command = [self.options.karat, *map(str, arguments), "--force", "--json", "--progress",
                   "none"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{done.stderr}")
        return json.loads(done.stdout)

    def packet(self, tokens):
        with open(self.path("recipe.toml"), "w", encoding="utf-8") as file:
            file.write(RECIPE.format(tokens=tokens, text=TEXT))
        report = self.karat("calibrate", "--packet", self.path("recipe.toml"), "-m", self.model,
                            "-o", self.path("packet"))
        print(f"packet: {report['tokens']} tokens, {report['sequences']} sequences, "
              f"{len(report['removed'])} pieces removed", file=sys.stderr)

    def divergence(self, *calibrate_options):
        """KLD of the quantized model, with what `calibrate` found on the packet."""
        self.karat("calibrate", "-m", self.model, "-f", self.path("packet"), "-o",
                   self.path("imatrix.gguf"), *calibrate_options)
        self.karat("quantize", "--imatrix", self.path("imatrix.gguf"), "--no-receipt", self.model,
                   self.path("quantized.gguf"), self.options.type)
        return self.karat("eval", "kld", "-m", self.path("quantized.gguf"), "--ref", self.model,
                          "-f", os.path.join(TEXT, "evaluation.txt"), "--chunks",
                          self.options.chunks)


def sweep(bench, budgets, subsets):
    print("| tokens | subsets | KLD, mean +- sd of subsets | standard error of the mean |")
    print("|---|---|---|---|")
    for tokens in budgets:
        kld = [bench.divergence("--tokens", tokens, "--seed", seed)["kld"]
               for seed in range(1, subsets + 1)]
        deviation = statistics.stdev(kld)
        print(f"| {tokens:,} | {subsets} | {statistics.mean(kld):.5f} +- {deviation:.5f} | "
              f"{deviation / math.sqrt(subsets):.5f} |", flush=True)


def experts(bench):
    print("| experts see | KLD +- standard error |")
    print("|---|---|")
    for name, options in (("the rows routed to them", ()), ("every row", ("--all-experts",))):
        result = bench.divergence(*options)
        print(f"| {name} | {result['kld']:.5f} +- {result['kld_se']:.5f} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--karat", default=os.path.join(ROOT, "build", "karat"))
    parser.add_argument("--type", default="Q3_K_S")
    parser.add_argument("--tokens", default="2048,8192,32768")
    parser.add_argument("--subsets", type=int, default=8)
    parser.add_argument("--packet", type=int, default=65536)
    parser.add_argument("--chunks", type=int, default=32)
    parser.add_argument("--mode", choices=["sweep", "experts", "all"], default="all")
    options = parser.parse_args()
    bench = Bench(options)
    bench.packet(options.packet)
    if options.mode != "sweep":
        experts(bench)
    if options.mode != "experts":
        sweep(bench, [int(n) for n in options.tokens.split(",")], options.subsets)


if __name__ == "__main__":
    main()
