"""The judge itself: stock llama.cpp gives the logits, ids and files that it is known to give."""
import os
import tempfile
import unittest

import numpy as np

import stock
from paths import FIXTURES, STOCK

GGUF = os.path.join(FIXTURES, "goldens", "gguf")

# The goldens come from the same engine, another release and another CPU. Logits with a standard
# deviation of 2 agree between two F32 engines to 6.4e-05 over 200 tokens (fixtures/README.md).
TOLERANCE = 1e-4


class Harness(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stock = stock.Stock(stock.installed(STOCK))
        cls.model = stock.Model(cls.stock, os.path.join(GGUF, "tiny-f32.gguf"))
        cls.golden = stock.read_safetensors(os.path.join(GGUF, "llama_cpp_logits.safetensors"))

    @classmethod
    def tearDownClass(cls):
        cls.model.close()

    def sequences(self):
        for name in ("seq007", "seq064", "seq200"):
            path = os.path.join(FIXTURES, "goldens", "text", name + ".safetensors")
            arrays = stock.read_safetensors(path)
            yield name, arrays["input_ids"].ravel(), arrays["logits.f64"]

    def test_logits_are_the_golden_ones(self):
        for name, ids, exact in self.sequences():
            logits = self.model.logits(ids)
            golden = self.golden["tiny-f32.%s.logits" % name]
            self.assertEqual(logits.shape, golden.shape)
            self.assertLess(np.abs(logits - golden).max(), TOLERANCE, name)
            self.assertLess(np.abs(logits - exact).max(), TOLERANCE, name)

    def test_chunks_do_not_matter(self):
        name, ids, _ = list(self.sequences())[1]
        whole = self.model.logits(ids)
        for step in (1, 7):
            parts = self.model.logits(ids, step)
            self.assertLess(np.abs(parts - whole).max(), TOLERANCE, (name, step))

    def test_greedy_is_the_argmax(self):
        _, ids, _ = list(self.sequences())[0]
        reply = self.model.greedy(ids, 5)
        full = np.concatenate([ids, reply]).astype(np.int32)
        expected = self.model.logits(full)[len(ids) - 1:-1].argmax(axis=1)
        self.assertEqual(reply, expected.tolist())

    def test_quantizes_with_and_without_an_imatrix(self):
        source = os.path.join(GGUF, "tiny-f32.gguf")
        name, columns = "blk.0.attn_gate.weight", 64
        weights = np.ones(columns, np.float32)
        weights[::2] = 1000
        _, ids, exact = list(self.sequences())[1]
        with tempfile.TemporaryDirectory() as folder:
            plain = os.path.join(folder, "plain.gguf")
            weighted = os.path.join(folder, "weighted.gguf")
            self.stock.quantize(source, plain, "Q4_K_M")
            self.stock.quantize(source, weighted, "Q4_K_M", {name: weights})
            with self.assertRaises(RuntimeError):
                self.stock.quantize(plain + ".absent", weighted, "Q4_K_M")
            differences = []
            for path in plain, weighted:
                model = stock.Model(self.stock, path)
                differences.append(np.abs(model.logits(ids) - exact).max(axis=1))
                model.close()
        self.assertGreater(np.median(differences[0]), TOLERANCE)
        self.assertGreater(np.abs(differences[0] - differences[1]).max(), TOLERANCE)

    def test_a_damaged_file_is_an_error(self):
        with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
            with open(os.path.join(GGUF, "tiny-f32.gguf"), "rb") as whole:
                file.write(whole.read()[:5000])
            file.flush()
            with self.assertRaisesRegex(RuntimeError, "did not load"):
                stock.Model(self.stock, file.name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
