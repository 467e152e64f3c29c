"""Where no search is involved, karat quantize writes llama-quantize's files, byte for byte.

F32, F16, BF16 and COPY of the demo model, shards kept, metadata overridden, Q8_0 taken apart again.
--no-receipt leaves out what only karat writes.
"""
import json
import os
import shutil
import subprocess
import unittest

import stock
from paths import BUILD, DEMO, KARAT, STOCK

FOLDER = os.path.join(BUILD, "oracle", "copies")


def karat(*arguments):
    command = [KARAT, *arguments, "--json", "--progress", "none", "--force"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError("%s: status %d\n%s" % (" ".join(command), done.returncode, done.stderr))
    return json.loads(done.stdout)


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Copies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.library = stock.Stock(stock.installed(STOCK))
        shutil.rmtree(FOLDER, ignore_errors=True)
        os.makedirs(FOLDER)
        cls.source = os.path.join(FOLDER, "in.gguf")
        karat("convert", DEMO, "-o", cls.source)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(FOLDER)

    def compare(self, source, kind, options=(), **stocks):
        ours, theirs = (os.path.join(FOLDER, name) for name in ("ours.gguf", "theirs.gguf"))
        self.library.quantize(source, theirs, "F32" if kind == "COPY" else kind,
                              copy=kind == "COPY", **stocks)
        karat("quantize", source, ours, kind, "--no-receipt", *options)
        self.assertEqual(read(ours), read(theirs), kind)
        return ours

    def test_plain_types(self):
        for kind in "F32", "F16", "BF16", "COPY":
            self.compare(self.source, kind)

    def test_overrides(self):
        self.compare(self.source, "BF16",
                     ["--override-kv", "general.name=str:other", "--override-kv",
                      "a.number=int:-5", "--override-kv", "a.real=float:0.25", "--override-kv",
                      "general.name=str:third", "--override-kv", "a.flag=bool:true"],
                     overrides=[("general.name", "str", "other"), ("a.number", "int", -5),
                                ("a.real", "float", 0.25), ("general.name", "str", "third"),
                                ("a.flag", "bool", True)])

    def test_output_left(self):
        self.compare(self.source, "F32", ["--leave-output-tensor"], leave_output=True)

    def test_requantized(self):
        middle = os.path.join(FOLDER, "middle.gguf")
        karat("quantize", self.source, middle, "Q8_0", "--no-receipt")
        self.compare(middle, "F32", ["--allow-requantize"], allow_requantize=True)
        self.compare(middle, "COPY")

    def test_shards_kept(self):
        first = os.path.join(FOLDER, "split.gguf")
        paths = karat("convert", DEMO, "-o", first, "--split-max-size", "20M")["files"][0]["paths"]
        self.assertGreater(len(paths), 1)
        theirs = os.path.join(FOLDER, "theirs")
        self.library.quantize(paths[0], theirs, "F16", keep_split=True)
        ours = os.path.join(FOLDER, "ours.gguf")
        written = karat("quantize", paths[0], ours, "F16", "--no-receipt", "--keep-split")
        for i, path in enumerate(written["outputs"]):
            self.assertEqual(read(path), read(theirs + os.path.basename(path)[len("ours"):]), i)
        self.assertEqual(len(written["outputs"]), len(paths))


if __name__ == "__main__":
    unittest.main(verbosity=2)
