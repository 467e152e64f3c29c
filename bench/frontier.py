#!/usr/bin/env python3
"""KLD at equal bytes: karat beside stock llama-quantize and beside the target-bpw method.

usage: bench/frontier.py FOLDER [--model MODEL] [--calibration TEXT] [--text TEXT] [--other TEXT]
                         [--karat PATH] [--stock PATH] [--points IQ2_M,..] [--bpw 2.5,..]
                         [--chunks N] [--effort E] [--no-hessians] [--confirm]
                         [--svg FILE]

Makes, in FOLDER, a BF16 file of MODEL (the demo model; not of a GGUF file), the statistics of the
calibration text and of every point two files with the same bytes of tensors: the peer's and
karat's. The peers are the stock library's quantizer with those statistics, with its own mixture of
types (--points) and with the types that the target-bpw method chooses (--bpw, target_bpw.py).
karat's files by name:

  encoder     the peer's types, karat's encoder
  allocation  the types of karat plan, the stock library's encoder
  all         karat plan and karat quantize --plan

Every pair is measured by `karat eval kld -m OURS --against PEER --floor` on the text and on one of
another domain (--other): KLD, the floor, and the ratio of what is above the floor with its paired
95 % interval over chunks. --confirm repeats the KLD from the stock library's own logits. Prints
Markdown for docs/BENCHMARKS.md; --svg writes the plot of KLD against bytes.
"""
import argparse
import json
import os
import re
import subprocess
import sys

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEMO = os.path.join(ROOT, "demo", "model")
sys.path.insert(0, os.path.join(ROOT, "tests", "oracle"))
import stock  # noqa: E402

import svg_plot  # noqa: E402
import target_bpw  # noqa: E402
from gguf_file import Gguf, Imatrix  # noqa: E402
from stock_codec import Codec, type_patterns  # noqa: E402

CHUNK = 512
TOLERANCE = 1e-3  # of equal tensor bytes


class Bench:
    def __init__(self, options):
        self.options, self.made = options, set()
        os.makedirs(options.folder, exist_ok=True)
        folder = stock.installed(options.stock)
        self.library, self.codec = stock.Stock(folder), Codec(folder)
        self.model = options.model
        if not self.model.endswith(".gguf"):
            self.model = self.once("bf16.gguf", "convert", self.model, "--no-mtp", "--outtype",
                                   "bf16", "--no-receipt", "-o")
        self.stats = self.once("stats", "calibrate", "-m", self.model, "-f", options.calibration,
                               "-c", CHUNK, "--chunks", options.calibration_chunks,
                               *([] if options.no_hessians else ["--hessians"]), "-o")
        self.statistics = os.path.join(self.stats, "imatrix.gguf")
        self.source, self.imatrix = Gguf(self.model), Imatrix(self.statistics)
        self.values = {name: self.imatrix.values(name) for name in self.imatrix.names()}

    def path(self, name):
        return os.path.join(self.options.folder, name)

    def once(self, name, *arguments):
        """The file that karat makes with these arguments and its name, unless it is there."""
        path = self.path(name)
        if not os.path.exists(path):
            self.karat(*arguments, path)
        return path

    def karat(self, *arguments):
        command = [self.options.karat, *map(str, arguments), "--force", "--json", "--progress",
                   "none"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit("%s\n%s" % (" ".join(command), done.stderr))
        return json.loads(done.stdout)

    def quantizable(self):
        """Tensors whose type a mixture decides, from what stock leaves in F32 or not."""
        path = self.path("stock-Q8_0.gguf")
        if not os.path.exists(path):
            self.library.quantize(self.model, path, "Q8_0")
        return [n for n, tensor in Gguf(path).tensors.items() if tensor.kind == "Q8_0"]

    def peer(self, point):
        """The peer's file of a point: llama_ftype's name, or bits per weight."""
        path = self.path("peer-%s.gguf" % point)
        if os.path.exists(path):
            return path
        if point in stock.FILE_TYPES:
            self.stock_quantize(path, point)
            return path
        table = target_bpw.error_table(self.codec, self.source, self.imatrix, self.quantizable(),
                                       self.path("target-bpw.json"))
        types = target_bpw.choose_types(table, self.source, float(point))
        self.stock_quantize(path, "Q4_K_M", types=type_patterns(types))
        return path

    def stock_quantize(self, path, file_type, **more):
        self.library.quantize(self.model, path + ".partial", file_type, self.values, **more)
        os.replace(path + ".partial", path)

    def ours(self, variant, point):
        path = self.path("ours-%s-%s.gguf" % (variant, point))
        if path not in self.made:  # a file of an earlier run may be another karat's
            OURS[variant](self, point, path)
            self.made.add(path)
        return path

    def encoder(self, point, path):
        types = {n: t.kind for n, t in Gguf(self.peer(point)).tensors.items() if t.kind != "F32"}
        rules = self.path("types-%s.txt" % point)
        with open(rules, "w", encoding="utf-8") as file:
            file.writelines("^%s$=%s\n" % (re.escape(n), kind) for n, kind in types.items())
        self.karat("quantize", "--stats", self.stats, "--tensor-type-file", rules, "--no-receipt",
                   self.model, path, "Q4_K_M")

    def plan(self, point):
        """The plan for the bytes of the peer's tensors."""
        path = self.path("plan-%s.json" % point)
        if path not in self.made:
            elements = sum(tensor.elements for tensor in self.source.tensors.values())
            bits = 8 * Gguf(self.peer(point)).bytes() / elements
            self.karat("plan", "-m", self.model, "--stats", self.stats, "--target-bpw",
                       "%.9f" % bits, "--effort", self.options.effort, "-o", path)
            self.made.add(path)
        return path

    def all(self, point, path):
        self.karat("quantize", "--plan", self.plan(point), "--stats", self.stats, "--no-receipt",
                   self.model, path)

    def allocation(self, point, path):
        planned = Gguf(self.ours("all", point)).tensors.items()
        types = {n: t.kind for n, t in planned if t.kind != "F32"}
        self.stock_quantize(path, "Q4_K_M", types=type_patterns(types))

    def compare(self, ours, peer, text):
        return self.karat("eval", "kld", "-m", ours, "--against", peer, "--ref", self.model, "-f",
                          text, "--chunks", self.options.chunks, "-c", CHUNK, "--floor")


OURS = {"encoder": Bench.encoder, "allocation": Bench.allocation, "all": Bench.all}


def log_softmax(logits):
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


class StockKld:
    """KLD from the BF16 model by the stock library's logits, of the same positions."""

    def __init__(self, bench, text):
        self.bench, self.chunks = bench, bench.options.chunks
        with open(text, encoding="utf-8") as file:
            words = file.read()
        model = stock.Model(bench.library, bench.model, CHUNK)
        self.ids = model.tokenize(words)[:self.chunks * CHUNK].reshape(-1, CHUNK)
        self.reference = self.rows(model)

    def rows(self, model):
        first = CHUNK // 2
        rows = [log_softmax(model.logits(ids)[first:-1]) for ids in self.ids]
        model.close()
        return rows

    def of(self, path):
        rows = self.rows(stock.Model(self.bench.library, path, CHUNK))
        return float(np.mean([(np.exp(p) * (p - q)).sum(axis=-1).mean()
                              for p, q in zip(self.reference, rows)]))


def interval(values, form="%.3f"):
    return "none" if values is None else (form + " .. " + form) % tuple(values)


def check_bytes(ours, peer, point):
    a, b = Gguf(ours).bytes(), Gguf(peer).bytes()
    if abs(a / b - 1) > TOLERANCE:
        print("%s: %d bytes of tensors beside %d" % (point, a, b), file=sys.stderr)
    return b


def measure(bench, variant, points, text, confirm):
    print("\n| size of | tensor bytes | floor | KLD, peer | KLD, karat | ratio above the floor | "
          "95 % interval |" + (" by stock's logits |" if confirm else ""))
    print("|---|---|---|---|---|---|---|" + ("---|" if confirm else ""))
    by_stock = StockKld(bench, text) if confirm else None
    rows = []
    for point in points:
        peer, ours = bench.peer(point), bench.ours(variant, point)
        size = check_bytes(ours, peer, point)
        result = bench.compare(ours, peer, text)
        against, floor = result["against"], result["floor"]["bf16"]["kld"]
        more = ""
        if by_stock:
            a, b = by_stock.of(ours), by_stock.of(peer)
            more = " %.5f / %.5f = %.3f |" % (a, b, a / b)
        print("| %s | %d | %.6f | %.5f | %.5f | %.3f | %s |%s" %
              (point, size, floor, against["kld"], result["kld"], against["ratio_above_floor"],
               interval(against["ratio_above_floor_interval_95"]), more), flush=True)
        rows.append((size, result))
    return rows


def curves(rows):
    def curve(part):
        return [(size / 1e6, part(r)["kld"], *part(r)["kld_interval_95"]) for size, r in rows]

    return curve(lambda r: r["against"]), curve(lambda r: r)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--model", default=DEMO)
    parser.add_argument("--calibration", default=os.path.join(DEMO, "text", "calibration.txt"))
    parser.add_argument("--text", default=os.path.join(DEMO, "text", "evaluation.txt"))
    parser.add_argument("--other", help="a text of another domain")
    parser.add_argument("--karat", default=os.path.join(ROOT, "build", "karat"))
    parser.add_argument("--stock", default=os.path.join(ROOT, "build", "stock-llama.cpp"))
    parser.add_argument("--points", default="IQ2_M,Q3_K_M,IQ4_XS,Q4_K_M,Q5_K_M")
    parser.add_argument("--bpw", default="2.5,3.5,4.5,5.5")
    parser.add_argument("--variants", default=",".join(OURS))
    parser.add_argument("--calibration-chunks", type=int, default=1000)
    parser.add_argument("--chunks", type=int, default=32)
    parser.add_argument("--no-hessians", action="store_true",
                        help="karat encodes with the importance alone")
    parser.add_argument("--effort", default="balanced", help="of karat plan")
    parser.add_argument("--confirm", action="store_true")
    parser.add_argument("--svg")
    options = parser.parse_args()
    bench = Bench(options)
    named = [p for p in options.points.split(",") if p]
    sized = [p for p in options.bpw.split(",") if p]
    variants = options.variants.split(",")
    for text in filter(None, (options.text, options.other)):
        for variant in variants:
            print("\n### %s on %s" % (variant, os.path.basename(text)))
            rows = []
            for points in filter(None, (named, sized)):
                rows.append(measure(bench, variant, points, text, options.confirm))
            if options.svg and text == options.text and variant == variants[-1]:
                draw(options.svg, rows, bool(named))


def draw(path, groups, named):
    labels = (["llama-quantize"] if named else []) + ["target-bpw"]
    shown, ours = {}, []
    for label, rows in zip(labels, groups):
        peer, karat = curves(rows)
        shown[label] = peer
        ours += karat
    shown["karat"] = ours
    floor = groups[0][0][1]["floor"]["bf16"]["kld"]
    svg_plot.plot(path, "KL divergence from BF16 at equal bytes", "tensor bytes, MB", "mean KLD",
                  shown, floor)


if __name__ == "__main__":
    main()
