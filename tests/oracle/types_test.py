"""For every TYPE, with and without statistics: karat's table of types equals llama-quantize's.

The files are the demo model and shapes without data (tests/support/full_shape.py): the full model
with and without MTP, and small ones that reach the rules for eight experts, for rows that fill no
blocks and for a fused gate and up. Both programs only plan (--dry-run).
"""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import unittest

import stock
from paths import BUILD, DEMO, KARAT, ROOT, STOCK

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import full_shape  # noqa: E402
from full_shape import Shape  # noqa: E402

FOLDER = os.path.join(BUILD, "oracle", "types")
SMALL = {"hidden": 256, "ffn": 256, "vocab": 512, "heads": 4, "head_dim": 64, "key_heads": 2,
         "value_heads": 4, "state": 64, "experts_used": 2}
SHAPES = {
    "full": Shape(),
    "full-mtp": Shape(mtp=True),
    "fused": Shape(layers=8, fused=True),
    "eight": Shape(layers=24, experts=8, **SMALL),
    "eight-mtp": Shape(layers=16, mtp=True, experts=8, kv_heads=1, **SMALL),
    "three-experts": Shape(layers=16, experts=3, **SMALL),
    "rows-of-96": Shape(layers=8, experts=4, **{**SMALL, "hidden": 96, "ffn": 96}),
    "rows-of-320": Shape(layers=8, experts=4, **{**SMALL, "hidden": 320, "ffn": 64}),
}
ENTRY = re.compile(r"\[ *\d+/ *\d+\] (\S+) +- \[[^]]*\], type = +(\S+), size = .*?"
                   r"(?:MiB \((\w+)\)|MiB)\n")
NO_FALLBACK = "no tensor type fallback is defined"


def write_imatrix(path, name, columns):
    """Statistics of one matrix, as llama-imatrix stores them: that there are any decides."""
    keys = [("general.type", "imatrix"), ("imatrix.chunk_count", 1), ("imatrix.chunk_size", 512)]
    infos, data = b"", b""
    for suffix, ne in (".counts", (1, 1)), (".in_sum2", (columns, 1)):
        infos += full_shape.string(name + suffix)
        infos += struct.pack("<IQQIQ", 2, *ne, full_shape.F32, len(data))
        data += struct.pack("<%df" % ne[0], *[1.0] * ne[0])
        data += b"\0" * (-len(data) % full_shape.ALIGNMENT)
    datasets = full_shape.string("imatrix.datasets") + struct.pack("<IIQ", 9, 8, 1)
    datasets += full_shape.string("text")
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, len(keys) + 1)
    head += b"".join(full_shape.key_value(*pair) for pair in keys) + datasets + infos
    with open(path, "wb") as file:
        file.write(head + b"\0" * (-len(head) % full_shape.ALIGNMENT) + data)


def karat(*arguments):
    command = [KARAT, *arguments, "--json", "--progress", "none"]
    return subprocess.run(command, capture_output=True, text=True)


class Types(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.library = stock.Stock(stock.installed(STOCK))
        shutil.rmtree(FOLDER, ignore_errors=True)
        os.makedirs(FOLDER)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(FOLDER)

    def of_stock(self, path, kind, imatrix, overrides):
        """{tensor: type}, or None if it knows no type for some rows."""
        try:
            self.library.quantize(path, "", kind, imatrix, dry_run=True, **overrides)
        except RuntimeError as error:
            self.assertIn(NO_FALLBACK, str(error))
            return None
        return {name: (to or kept).lower()
                for name, kept, to in ENTRY.findall("".join(self.library.log))}

    def of_karat(self, path, kind, imatrix, overrides):
        options = ["--imatrix", imatrix] if imatrix else []
        options += [word for word, given in (("--pure", overrides.get("pure")),
                                             ("--leave-output-tensor",
                                              overrides.get("leave_output"))) if given]
        done = karat("quantize", path, os.path.join(FOLDER, "none.gguf"), kind, "--dry-run",
                     *options)
        if done.returncode != 0:
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertIn("do not fill", done.stderr)
            return None
        plan = json.loads(done.stdout)
        return {tensor["name"]: tensor["type"].lower() for tensor in plan["tensors"]}

    def compare(self, path, tensors, kinds=tuple(stock.FILE_TYPES), **overrides):
        name, columns = next((name, ne[0]) for name, ne in tensors if "ffn_up_shexp" in name)
        entries, file = {name: [1.0] * columns}, os.path.join(FOLDER, "imatrix.gguf")
        write_imatrix(file, name, columns)
        for kind in kinds:
            for weighted in False, True:
                with self.subTest(kind=kind, imatrix=weighted, **overrides):
                    theirs = self.of_stock(path, kind, entries if weighted else None, overrides)
                    if theirs is not None:
                        self.assertEqual(len(theirs), len(tensors))
                    self.assertEqual(
                        self.of_karat(path, kind, file if weighted else "", overrides), theirs)

    def compare_shape(self, name):
        path = os.path.join(FOLDER, name + ".gguf")
        full_shape.write(path, SHAPES[name])
        self.compare(path, [row[:2] for row in SHAPES[name].tensors()])
        os.remove(path)

    def test_demo_model(self):
        for options in ["--no-mtp"], []:
            path = os.path.join(FOLDER, "demo.gguf")
            self.assertEqual(karat("convert", DEMO, "-o", path, "--force", *options).returncode, 0)
            done = karat("inspect", path, "--tensors")
            tensors = [(row["name"], tuple(reversed(row["shape"])))
                       for row in json.loads(done.stdout)["tensors"]]
            self.compare(path, tensors)
        kinds = ("Q4_K_M", "IQ2_M", "MXFP4_MOE", "F16")
        self.compare(path, tensors, kinds, pure=True)
        self.compare(path, tensors, kinds, leave_output=True)


for shape in SHAPES:
    setattr(Types, "test_shape_" + shape.replace("-", "_"),
            lambda self, name=shape: self.compare_shape(name))


if __name__ == "__main__":
    unittest.main(verbosity=2)
