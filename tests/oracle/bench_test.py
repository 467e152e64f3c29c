"""karat bench and stock llama.cpp side by side: the same tests, the same fields."""
import json
import os
import subprocess
import sys
import unittest

import stock
from paths import FIXTURES, KARAT, STOCK

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.path.join(HERE, "llama_bench.py")
MODEL = os.path.join(FIXTURES, "goldens", "gguf", "tiny-bf16.gguf")
TESTS = ["-p", "8", "-n", "2", "-pg", "4,1", "-d", "0,4", "-r", "2", "-t", "1"]


def printed(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit("%s failed: %s%s" % (command[0], done.stdout, done.stderr))
    return json.loads(done.stdout)


class SideBySide(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        stock.installed(STOCK)  # ends as "skipped" where it cannot be
        cls.ours = printed(KARAT, "bench", "-m", MODEL, *TESTS, "-o", "json")
        cls.theirs = printed(sys.executable, PEER, "-m", MODEL, *TESTS, "-o", "json")

    def test_same_tests_in_the_same_order(self):
        def kinds(results):
            return [(r["n_prompt"], r["n_gen"], r["n_depth"], len(r["samples_ns"]))
                    for r in results]
        self.assertEqual(kinds(self.ours), kinds(self.theirs))
        self.assertEqual(len(self.ours), 6)

    def test_every_field_of_the_peer_is_ours(self):
        for ours, theirs in zip(self.ours, self.theirs):
            self.assertEqual(set(theirs) - set(ours), set())
            for field in ("n_batch", "n_ubatch", "n_threads", "type_k", "type_v"):
                self.assertEqual(ours[field], theirs[field])

    def test_interleaved(self):
        result = printed(KARAT, "bench", "-m", MODEL, "-p", "8", "-n", "0", "-r", "2", "-t", "1",
                         "-o", "json", "--peer", PEER, "--peer-args", "--no-repack -ub 64")
        peer = result[0]["peer"]
        self.assertEqual(len(peer["samples_ns"]), 2)
        self.assertEqual(peer["build_commit"], stock.PACKAGE)


if __name__ == "__main__":
    unittest.main()
