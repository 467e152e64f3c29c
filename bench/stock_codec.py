"""The stock library's quantization of rows, and a type per tensor for its files."""
import ctypes
import glob
import os

import numpy as np

from gguf_file import IDS, row_bytes


class Codec:
    def __init__(self, folder):
        self.ggml = ctypes.CDLL(glob.glob(os.path.join(folder, "libggml-base.*so*"))[0],
                                mode=ctypes.RTLD_GLOBAL)
        pointer, size = ctypes.c_void_p, ctypes.c_int64
        self.ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
        self.ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, size, size, size,
                                                  pointer]
        self.ggml.ggml_get_type_traits.restype = pointer
        self.ggml.ggml_get_type_traits.argtypes = [ctypes.c_int]

    def round_trip(self, kind, rows, weights):
        """What rows [n, columns] become; weights: [columns] or None."""
        rows = np.ascontiguousarray(rows, np.float32)
        count, columns = rows.shape
        codes = np.empty(count * row_bytes(kind, columns), np.uint8)
        importance = None
        if weights is not None:
            weights = np.ascontiguousarray(weights, np.float32)
            importance = weights.ctypes.data
        written = self.ggml.ggml_quantize_chunk(IDS[kind], rows.ctypes.data, codes.ctypes.data, 0,
                                                count, columns, importance)
        assert written == codes.size
        # ggml_type_traits: name, two i64, a size_t, a bool, then to_float.
        traits = self.ggml.ggml_get_type_traits(IDS[kind])
        decode = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(
            ctypes.c_void_p.from_address(traits + 40).value)
        out = np.empty_like(rows)
        decode(codes.ctypes.data, out.ctypes.data, rows.size)
        return out


def type_patterns(types):
    """{tensor: type name} as stock.quantize() takes it."""
    return {"^%s$" % name.replace(".", "\\."): IDS[kind] for name, kind in types.items()}
