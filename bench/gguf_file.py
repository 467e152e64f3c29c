"""What the benches need of a GGUF file: its tensors, as arrays where the type is a plain one."""
import struct

import numpy as np

# Type id: name, elements of a block, bytes of a block (docs/FORMATS.md, section 3).
TYPES = {0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
         6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84),
         11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
         14: ("Q6_K", 256, 210), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74),
         18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18),
         21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
         29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 39: ("MXFP4", 32, 17)}
IDS = {name: number for number, (name, _, _) in TYPES.items()}
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q",
           11: "<q", 12: "<d"}


def row_bytes(kind, columns):
    """Bytes of a row, or None where it fills no blocks."""
    _, elements, size = TYPES[IDS[kind]]
    return columns // elements * size if columns % elements == 0 else None


class Tensor:
    def __init__(self, name, shape, kind, offset):
        self.name, self.shape, self.kind, self.offset = name, shape, kind, offset
        self.elements = int(np.prod(shape, dtype=np.int64))
        self.bytes = self.elements // shape[-1] * row_bytes(kind, shape[-1])


class Gguf:
    """tensors: {name: Tensor}, shapes with the columns last; keys: {name: value}."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = memoryview(np.memmap(file, np.uint8, "r"))
        self.at = 0
        if bytes(self.take(4)) != b"GGUF" or self.number("<I") != 3:
            raise ValueError("%s is no GGUF file of version 3" % path)
        tensors, keys = self.number("<Q"), self.number("<Q")
        self.keys, self.tensors = {}, {}
        for _ in range(keys):
            name = self.text()
            self.keys[name] = self.value(self.number("<I"))
        self.keys_end = self.at
        for _ in range(tensors):
            name = self.text()
            shape = [self.number("<Q") for _ in range(self.number("<I"))][::-1]
            kind = TYPES[self.number("<I")][0]
            self.tensors[name] = Tensor(name, shape, kind, self.number("<Q"))
        alignment = self.keys.get("general.alignment", 32)
        self.base = self.at + -self.at % alignment

    def take(self, count):
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, layout):
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def text(self):
        return bytes(self.take(self.number("<Q"))).decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind != 9:
            return self.number(SCALARS[kind])
        inner, count = self.number("<I"), self.number("<Q")
        if inner == 8:
            return [self.text() for _ in range(count)]
        return np.frombuffer(self.take(count * struct.calcsize(SCALARS[inner])),
                             SCALARS[inner].replace("?", "b"))

    def raw(self, name):
        tensor = self.tensors[name]
        begin = self.base + tensor.offset
        return np.frombuffer(self.data[begin:begin + tensor.bytes], np.uint8)

    def array(self, name):
        """F32 and BF16 tensors as float32."""
        tensor = self.tensors[name]
        if tensor.kind == "F32":
            return self.raw(name).view(np.float32).reshape(tensor.shape)
        if tensor.kind != "BF16":
            raise ValueError("%s is %s" % (name, tensor.kind))
        wide = self.raw(name).view(np.uint16).astype(np.uint32) << 16
        return wide.view(np.float32).reshape(tensor.shape)

    def bytes(self):
        """Of all tensors, without padding."""
        return sum(tensor.bytes for tensor in self.tensors.values())


class Imatrix:
    """The mean squares of an imatrix as llama-quantize reads them."""

    def __init__(self, path):
        self.file = Gguf(path)

    def names(self):
        return [n[:-len(".in_sum2")] for n in self.file.tensors if n.endswith(".in_sum2")]

    def values(self, name):
        """[matrices, columns], ones for a matrix that saw nothing; None without an entry."""
        if name + ".in_sum2" not in self.file.tensors:
            return None
        sums = self.file.array(name + ".in_sum2")
        sums = sums.reshape(-1, sums.shape[-1])
        counts = self.file.array(name + ".counts").reshape(-1, 1)
        return np.where(counts > 0, sums / np.maximum(counts, 1), 1).astype(np.float32)
