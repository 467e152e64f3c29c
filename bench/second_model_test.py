"""The second model speaks as the first one does, but for its noise."""
import json
import os
import shutil
import subprocess
import sys
import unittest

import second_model
from gguf_file import Gguf

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "oracle"))
from paths import BUILD, DEMO, KARAT  # noqa: E402

FOLDER = os.path.join(BUILD, "second-model")
TEXT = os.path.join(DEMO, "text", "evaluation.txt")


def karat(*arguments):
    done = subprocess.run([KARAT, *arguments, "--json", "--progress", "none"], check=True,
                          stdout=subprocess.PIPE)
    return json.loads(done.stdout)


class SecondModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        shutil.rmtree(FOLDER, ignore_errors=True)
        os.makedirs(FOLDER)
        cls.first = os.path.join(FOLDER, "first.gguf")
        karat("convert", DEMO, "-o", cls.first, "--no-mtp", "--no-receipt")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(FOLDER)

    def kld(self, **options):
        path = os.path.join(FOLDER, "second.gguf")
        second_model.make(self.first, path, **options)
        return karat("eval", "kld", "-m", path, "--ref", self.first, "-f", TEXT, "--chunks", "2",
                     "-c", "128", "--floor")

    def test_without_noise_only_bf16_rounding_is_between_them(self):
        result = self.kld(noise=0)
        # Weights are rounded to bf16 once more, as activations are for the floor: about as much.
        self.assertLess(result["kld"], 10 * result["floor"]["bf16"]["kld"])

    def test_noise_and_experts(self):
        result = self.kld(noise=0.12, copies=3)
        self.assertGreater(result["kld"], 0.005)
        self.assertLess(result["ppl"], 1.3 * result["ppl_base"])
        keys = Gguf(os.path.join(FOLDER, "second.gguf")).keys
        self.assertEqual(keys["qwen35moe.expert_count"], 30)
        self.assertEqual(keys["qwen35moe.expert_used_count"], 6)


if __name__ == "__main__":
    unittest.main()
