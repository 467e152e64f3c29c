"""Stock llama.cpp loads karat's file of one type and computes what karat computes from it.

usage: files_test.py TYPE      one of F32 BF16 Q8_0 Q4_K_M; prints a table of the figures

P is karat's distribution over the next token with exact (F32) inputs to every product. Stock rounds
those inputs to BF16 or to 8 bits, except for F32 weights. Mean KLD of stock from P therefore has a
floor, which is measured: karat simulating the same rounding has about the same KLD from P.
"""
import json
import os
import shutil
import subprocess
import sys
import unittest

import numpy as np

import stock
from paths import BUILD, DEMO, KARAT, STOCK

CHUNK, CHUNKS, SCORED = 512, 65, 255  # 16,575 scored tokens
MTP_CHUNKS = 16  # Q4_K_M only
TEXT = os.path.join(DEMO, "text", "evaluation.txt")
FOLDER = os.path.join(BUILD, "oracle")
PROBE = os.path.join(BUILD, "tests", "oracle_probe")

EXACT_KLD = 1e-6         # two F32 engines
ROUNDING_RATIO = 1.5     # stock against karat simulating it
PERPLEXITY_RATIO = 0.002


def karat(*arguments):
    command = [KARAT, *arguments, "--json", "--progress", "none"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError("%s: status %d\n%s" % (" ".join(command), done.returncode, done.stderr))
    return json.loads(done.stdout)


def log_softmax(logits):
    """Of float32 rows, in double."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


class Row:
    """Sums over the scored tokens of two models: KLD of q from p, and both likelihoods."""

    def __init__(self):
        self.kld, self.nll_p, self.nll_q, self.top = [], [], [], []

    def add(self, p_logits, q_logits, targets):
        p, q = log_softmax(p_logits), log_softmax(q_logits)
        rows = np.arange(len(targets))
        self.kld += (np.exp(p) * (p - q)).sum(axis=-1).tolist()
        self.nll_p += (-p[rows, targets]).tolist()
        self.nll_q += (-q[rows, targets]).tolist()
        self.top += (p.argmax(axis=-1) == q.argmax(axis=-1)).tolist()

    def result(self):
        count = len(self.kld)
        apart = np.array(self.nll_q) - np.array(self.nll_p)
        return {"tokens": count, "kld": np.mean(self.kld),
                "kld_se": np.std(self.kld) / np.sqrt(count - 1),
                "nll_se": np.std(apart) / np.sqrt(count - 1), "top": np.mean(self.top),
                "ppl_p": np.exp(np.mean(self.nll_p)), "ppl_q": np.exp(np.mean(self.nll_q))}


class Probe:
    """karat's logits of the text's first chunks, chunk by chunk."""

    def __init__(self, path, chunks, activations):
        self.ids_path = os.path.join(FOLDER, "%s-%s.ids" % (os.path.basename(path), activations))
        self.logits_path = self.ids_path[:-3] + "logits"
        subprocess.run([PROBE, "logits", path, TEXT, str(chunks), activations, self.ids_path,
                        self.logits_path], check=True)
        self.ids = np.fromfile(self.ids_path, np.int32).reshape(chunks, CHUNK)
        flat = np.memmap(self.logits_path, np.float32, "r")
        self.logits = flat.reshape(chunks, SCORED, -1)

    def close(self):
        del self.logits
        os.remove(self.logits_path)
        os.remove(self.ids_path)


def compare(library, path, chunks, exact):
    """{"stock": ..., "simulated": ...}, each the result() of a Row against exact karat."""
    reference = Probe(path, chunks, "f32")
    simulated = None if exact else Probe(path, chunks, "stock")
    model = stock.Model(library, path, CHUNK)
    with open(TEXT, encoding="utf-8") as file:
        ids = model.tokenize(file.read())[:reference.ids.size]
    assert (ids == reference.ids.ravel()).all(), "the two tokenizers disagree"
    by_stock, by_karat = Row(), Row()
    first = CHUNK - SCORED - 1
    for i in range(chunks):
        targets = reference.ids[i, first + 1:]
        logits = model.logits(reference.ids[i])[first:-1]
        by_stock.add(reference.logits[i], logits, targets)
        if simulated:
            by_karat.add(reference.logits[i], simulated.logits[i], targets)
    model.close()
    results = {"stock": by_stock.result()}
    if simulated:
        results["simulated"] = by_karat.result()
        simulated.close()
    reference.close()
    return results


def make_files(kind):
    """karat's file of the demo model without and with the MTP block."""
    shutil.rmtree(os.path.join(FOLDER, kind), ignore_errors=True)
    os.makedirs(os.path.join(FOLDER, kind))
    paths = []
    for name, options in (("plain", ["--no-mtp"]), ("mtp", [])):
        path = os.path.join(FOLDER, kind, "%s-%s.gguf" % (kind, name))
        if kind in ("F32", "BF16"):
            karat("convert", DEMO, "-o", path, "--outtype", kind.lower(), *options)
        else:
            base = path + ".base.gguf"
            karat("convert", DEMO, "-o", base, "--outtype", "bf16", *options)
            karat("quantize", base, path, kind)
            os.remove(base)
        paths.append(path)
    return paths


def show(label, result):
    print("  %-34s %6d tokens  KLD %.3e +- %.1e  perplexity %.4f  same top %.2f %%" %
          (label, result["tokens"], result["kld"], result["kld_se"], result["ppl_q"],
           100 * result["top"]), flush=True)


class Files(unittest.TestCase):
    kind = "F32"

    @classmethod
    def setUpClass(cls):
        cls.library = stock.Stock(stock.installed(STOCK))
        cls.exact = cls.kind == "F32"
        cls.plain, cls.with_mtp = make_files(cls.kind)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(os.path.join(FOLDER, cls.kind))

    def check(self, label, results):
        show(label + ", stock", results["stock"])
        if self.exact:
            self.assertLess(results["stock"]["kld"], EXACT_KLD)
        else:
            show(label + ", karat rounding alike", results["simulated"])
            self.assertGreater(results["simulated"]["kld"], EXACT_KLD)
            self.assertLess(results["stock"]["kld"], ROUNDING_RATIO * results["simulated"]["kld"])

    def test_without_mtp(self):
        results = compare(self.library, self.plain, CHUNKS, self.exact)
        self.check(self.kind, results)
        self.assertGreaterEqual(results["stock"]["tokens"], 16384)
        mine = karat("eval", "ppl", "-m", self.plain, "-f", TEXT, "--chunks", str(CHUNKS))
        print("  %-34s perplexity %.4f" % (self.kind + ", karat eval ppl", mine["ppl"]))
        self.assertLess(abs(results["stock"]["ppl_q"] / mine["ppl"] - 1), PERPLEXITY_RATIO)
        # The same logits, summed by another program.
        self.assertAlmostEqual(results["stock"]["ppl_p"] / mine["ppl"], 1, delta=1e-9)

    def test_with_mtp(self):
        if self.kind == "Q4_K_M":  # the number of blocks decides the types of some
            results = compare(self.library, self.with_mtp, MTP_CHUNKS, self.exact)
            self.check(self.kind + " with MTP", results)
            return
        logits = []
        for path in self.plain, self.with_mtp:
            model = stock.Model(self.library, path, CHUNK)
            with open(TEXT, encoding="utf-8") as file:
                ids = model.tokenize(file.read(20000))[:CHUNK]
            logits.append(model.logits(ids))
            model.close()
        self.assertEqual(logits[0].tobytes(), logits[1].tobytes())

    def test_greedy_replies(self):
        if not self.exact:
            self.skipTest("stock rounds, so the likeliest token may differ")
        model = stock.Model(self.library, self.plain, CHUNK)
        with open(TEXT, encoding="utf-8") as file:
            ids = model.tokenize(file.read()[:40000])
        path = os.path.join(FOLDER, self.kind, "prompt.ids")
        for begin in range(0, 6000, 1000):
            prompt = ids[begin:begin + 24]
            prompt.tofile(path)
            done = subprocess.run([PROBE, "greedy", self.plain, path, "48"], capture_output=True,
                                  text=True, check=True)
            self.assertEqual([int(line) for line in done.stdout.split()], model.greedy(prompt, 48))
        model.close()


if __name__ == "__main__":
    Files.kind = sys.argv[1]
    unittest.main(argv=sys.argv[:1], verbosity=2)
