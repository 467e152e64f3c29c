"""Stock llama.cpp loads a file of every type made from the demo model and computes what karat does.

usage: every_type_test.py [--chunks N] [TYPE...]

Without TYPE, one of each kind of format; with `all`, every type. N chunks of 512 tokens, half of
them scored (default 4; 65 are more than 16 K tokens). Prints a table for docs/TESTING.md.

Weights are made with importance from the demo's calibration text. The two engines differ by the
rounding of activations (files_test.py), so a type passes if stock's KLD from karat with exact
activations is about that of karat rounding alike, and if the perplexities agree to 0.2 % or to what
the tokens' own noise allows.
"""
import argparse
import os
import shutil
import sys
import unittest

import stock
from files_test import (EXACT_KLD, FOLDER, PERPLEXITY_RATIO, ROUNDING_RATIO, compare, karat)
from paths import DEMO, STOCK

EVERY = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q2_K_S", "Q3_K_S", "Q3_K_M", "Q3_K_L",
         "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS",
         "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS", "IQ3_S", "IQ3_M", "IQ4_NL", "IQ4_XS", "TQ1_0",
         "TQ2_0", "MXFP4_MOE", "F16"]
ONE_OF_EACH_KIND = ["Q4_0", "Q5_1", "IQ3_XXS", "IQ4_XS", "TQ1_0", "MXFP4_MOE"]
CALIBRATION_CHUNKS = 16
NOISE = 4  # standard errors of the mean difference of the two likelihoods


class Types(unittest.TestCase):
    types = ONE_OF_EACH_KIND
    chunks = 4

    @classmethod
    def setUpClass(cls):
        cls.library = stock.Stock(stock.installed(STOCK))
        cls.folder = os.path.join(FOLDER, "every-type")
        shutil.rmtree(cls.folder, ignore_errors=True)
        os.makedirs(cls.folder)
        cls.base = os.path.join(cls.folder, "base.gguf")
        cls.imatrix = os.path.join(cls.folder, "imatrix.gguf")
        karat("convert", DEMO, "-o", cls.base, "--outtype", "bf16", "--no-mtp")
        karat("calibrate", "-m", cls.base, "-f", os.path.join(DEMO, "text", "calibration.txt"),
              "-o", cls.imatrix, "--chunks", str(CALIBRATION_CHUNKS))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_every_type(self):
        print("\n| type | bytes | perplexity, karat | stock | difference | KLD, stock from karat | "
              "karat rounding alike | same top |\n|---|---|---|---|---|---|---|---|")
        for name in self.types:
            with self.subTest(name):
                self.check(name)

    def check(self, name):
        path = os.path.join(self.folder, name + ".gguf")
        karat("quantize", "--imatrix", self.imatrix, "--no-receipt", self.base, path, name)
        size = os.path.getsize(path)
        results = compare(self.library, path, self.chunks, False)
        os.remove(path)
        by_stock, alike = results["stock"], results["simulated"]
        ratio = by_stock["ppl_q"] / by_stock["ppl_p"] - 1
        print("| %s | %d | %.4f | %.4f | %+.2f %% | %.2e +- %.0e | %.2e | %.2f %% |" %
              (name, size, by_stock["ppl_p"], by_stock["ppl_q"], 100 * ratio, by_stock["kld"],
               by_stock["kld_se"], alike["kld"], 100 * by_stock["top"]), flush=True)
        self.assertGreater(alike["kld"], EXACT_KLD)
        # A few positions whose router is at a tie make up most of so small a divergence as F16's.
        self.assertLess(by_stock["kld"] - NOISE * by_stock["kld_se"],
                        ROUNDING_RATIO * alike["kld"])
        self.assertLess(abs(ratio), max(PERPLEXITY_RATIO, NOISE * by_stock["nll_se"]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--chunks", type=int, default=Types.chunks)
    parser.add_argument("types", nargs="*", default=ONE_OF_EACH_KIND)
    options = parser.parse_args()
    Types.types = EVERY if options.types == ["all"] else options.types
    Types.chunks = options.chunks
    unittest.main(argv=sys.argv[:1], verbosity=2)
