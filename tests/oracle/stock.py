"""Stock llama.cpp as a judge: its library, installed from npm and driven through its C API.

The package is a plain llama.cpp release built for many instruction sets. Parameter structs are
passed as opaque blocks that the library fills with its defaults; the few fields that are changed
are first checked to hold the defaults they should, so another release is noticed.
One thread throughout: the library spins at barriers, and results do not depend on timing.
"""
import ctypes
import fcntl
import glob
import json
import os
import re
import shutil
import struct
import subprocess
import sys

import numpy as np

PACKAGE = "@node-llama-cpp/linux-x64@3.22.1"
SKIPPED = 77  # the exit status that ctest reports as skipped

# llama_ftype, for everything that llama-quantize makes.
FILE_TYPES = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10,
    "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16,
    "Q5_K_M": 17, "Q6_K": 18, "IQ2_XXS": 19, "IQ2_XS": 20, "Q2_K_S": 21, "IQ3_XS": 22,
    "IQ3_XXS": 23, "IQ1_S": 24, "IQ4_NL": 25, "IQ3_S": 26, "IQ3_M": 27, "IQ2_S": 28, "IQ2_M": 29,
    "IQ4_XS": 30, "IQ1_M": 31, "BF16": 32, "TQ1_0": 36, "TQ2_0": 37, "MXFP4_MOE": 38, "Q1_0": 40,
    "Q2_0": 41}

# npm's words for "nobody answers", as opposed to a registry's "no".
UNREACHABLE = re.compile(
    r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|"
    r"ERR_SOCKET_TIMEOUT)\b")


def installed(folder):
    """The folder with the library under `folder`, installed first if need be.

    Ends the process with SKIPPED where no registry is reachable, and only there.
    """
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        pattern = os.path.join(folder, "node_modules/*/linux-x64/bins/*/libllama.*so*")
        found = glob.glob(pattern)
        if not found:
            npm_install(folder)
            found = glob.glob(pattern)
    if not found:
        sys.exit("the package %s has no libllama" % PACKAGE)
    return os.path.dirname(found[0])


def npm_install(folder):
    if shutil.which("npm") is None:
        sys.exit("npm is missing: ./dev setup installs it")
    command = ["npm", "install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund",
               "--no-save", "--no-package-lock", "--fetch-retries=1", "--fetch-timeout=60000",
               PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        return
    if UNREACHABLE.search(done.stderr):
        print("skipped: stock llama.cpp is not installed and no npm registry is reachable")
        sys.exit(SKIPPED)
    sys.exit("npm could not install %s:\n%s" % (PACKAGE, done.stderr))


class Params(ctypes.Structure):
    """Any parameter struct of the C API; larger than all of them."""
    _fields_ = [("bytes", ctypes.c_uint8 * 1024)]

    def get(self, offset, size=4):
        return int.from_bytes(bytes(self.bytes[offset:offset + size]), "little", signed=True)

    def set(self, offset, expected, value, size=4):
        found = self.get(offset, size)
        if found != expected:
            raise RuntimeError("parameter at byte %d is %d, not %d: another release?" %
                               (offset, found, expected))
        self.bytes[offset:offset + size] = value.to_bytes(size, "little", signed=True)


class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)),
                ("embd", ctypes.c_void_p), ("pos", ctypes.POINTER(ctypes.c_int32)),
                ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
                ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
                ("logits", ctypes.POINTER(ctypes.c_int8))]


class ImatrixEntry(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class TypeOverride(ctypes.Structure):
    """llama_model_tensor_override; a list of them ends with a null pattern."""
    _fields_ = [("pattern", ctypes.c_char_p), ("kind", ctypes.c_int)]


class Override(ctypes.Structure):
    """llama_model_kv_override; the value's bytes hold an i64, an f64, a bool or a string."""
    _fields_ = [("tag", ctypes.c_int32), ("key", ctypes.c_char * 128),
                ("value", ctypes.c_double * 16)]

    KINDS = {"int": (0, "<q"), "float": (1, "<d"), "bool": (2, "<?")}

    @classmethod
    def of(cls, key, kind, value):
        tag, layout = cls.KINDS.get(kind, (3, None))
        self = cls(tag, key.encode())
        data = value.encode() if layout is None else struct.pack(layout, value)
        ctypes.memmove(ctypes.addressof(self.value), data, len(data))
        return self


LOG_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class Stock:
    """The loaded library. `log` collects what it says. `processor`: one of the library's builds of
    its CPU backend (haswell is AVX2) instead of the one it would choose."""

    def __init__(self, folder, processor=None):
        def load(pattern):
            path = sorted(glob.glob(os.path.join(folder, pattern)))[0]
            return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)

        load("libggml-base.*so*")
        ggml = load("libggml.*so*")
        self.lib = load("libllama.*so*")
        self.log = []
        self.callback = LOG_CALLBACK(
            lambda level, text, _: self.log.append(text.decode(errors="replace")))
        self.lib.llama_log_set(self.callback, None)
        if processor:
            ggml.ggml_backend_load.argtypes = [ctypes.c_char_p]
            ggml.ggml_backend_load.restype = ctypes.c_void_p
            path = os.path.join(folder, "libggml-cpu-%s.so" % processor)
            if not ggml.ggml_backend_load(path.encode()):
                raise RuntimeError("stock llama.cpp did not load " + path)
        else:
            ggml.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
            ggml.ggml_backend_load_all_from_path(folder.encode())
        self.lib.llama_backend_init()
        self.declare()

    def declare(self):
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        integer, flag = ctypes.c_int32, ctypes.c_bool
        ids = ctypes.POINTER(integer)
        for name, result, arguments in (
                ("llama_model_default_params", Params, []),
                ("llama_context_default_params", Params, []),
                ("llama_model_quantize_default_params", Params, []),
                ("llama_model_load_from_file", pointer, [text, Params]),
                ("llama_init_from_model", pointer, [pointer, Params]),
                ("llama_model_get_vocab", pointer, [pointer]),
                ("llama_vocab_n_tokens", integer, [pointer]),
                ("llama_tokenize", integer, [pointer, text, integer, ids, integer, flag, flag]),
                ("llama_decode", integer, [pointer, Batch]),
                ("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float), [pointer, integer]),
                ("llama_batch_init", Batch, [integer, integer, integer]),
                ("llama_batch_free", None, [Batch]),
                ("llama_get_memory", pointer, [pointer]),
                ("llama_memory_clear", None, [pointer, ctypes.c_bool]),
                ("llama_set_n_threads", None, [pointer, integer, integer]),
                ("llama_model_quantize", ctypes.c_uint32, [text, text, ctypes.POINTER(Params)]),
                ("llama_free", None, [pointer]),
                ("llama_model_free", None, [pointer])):
            function = getattr(self.lib, name)
            function.restype, function.argtypes = result, arguments

    def last_words(self):
        return "".join(self.log[-12:])

    def quantize(self, source, target, file_type, imatrix=None, dry_run=False, pure=False,
                 leave_output=False, allow_requantize=False, copy=False, keep_split=False,
                 overrides=(), types=None):
        """llama-quantize; imatrix: {weight name: mean squares, [matrices *] columns floats},
        overrides: [(key, int|float|bool|str, value)], types: {regular expression: ggml_type}."""
        params = self.lib.llama_model_quantize_default_params()
        params.set(0, 0, 1)                          # nthread
        params.set(4, FILE_TYPES["Q8_0"], FILE_TYPES[file_type])
        for offset, default, value in ((16, 0, allow_requantize), (17, 1, not leave_output),
                                       (18, 0, copy), (19, 0, pure), (20, 0, keep_split),
                                       (21, 0, dry_run)):
            params.set(offset, default, int(value), 1)
        if imatrix:
            data = {name: np.ascontiguousarray(values, np.float32).ravel()
                    for name, values in imatrix.items()}
            entries = (ImatrixEntry * (len(data) + 1))()  # ends with a null name
            for entry, (name, values) in zip(entries, data.items()):
                entry.name, entry.data, entry.size = name.encode(), values.ctypes.data, values.size
            params.set(24, 0, ctypes.addressof(entries), 8)
        if overrides:
            kv = (Override * (len(overrides) + 1))(*(Override.of(*row) for row in overrides))
            params.set(32, 0, ctypes.addressof(kv), 8)
        if types:
            patterns = (TypeOverride * (len(types) + 1))(
                *(TypeOverride(pattern.encode(), kind) for pattern, kind in types.items()))
            params.set(40, 0, ctypes.addressof(patterns), 8)
        self.log.clear()
        status = self.lib.llama_model_quantize(source.encode(), target.encode(),
                                               ctypes.byref(params))
        if status != 0:
            raise RuntimeError("stock llama.cpp did not quantize %s:\n%s" %
                               (source, self.last_words()))
        said = "have importance matrix data with %d entries" % len(imatrix or {})
        if imatrix and said not in "".join(self.log):
            raise RuntimeError("stock llama.cpp did not see the imatrix")


class Model:
    """A GGUF in stock llama.cpp, weights computed with as the file has them.

    Attention is in F32: no flash attention, keys and values as they are. The extra buffer types
    (repacked and AMX weights) stay off, so that machines with and without them round the same way.
    """

    def __init__(self, stock, path, context=512):
        self.lib, self.stock, self.context = stock.lib, stock, context
        params = self.lib.llama_model_default_params()
        params.set(74, 1, 0, 1)                      # use_extra_bufts
        stock.log.clear()
        self.model = self.lib.llama_model_load_from_file(path.encode(), params)
        if not self.model:
            raise RuntimeError("stock llama.cpp did not load %s:\n%s" %
                               (path, stock.last_words()))
        params = self.lib.llama_context_default_params()
        params.set(0, 512, context)                  # n_ctx
        params.set(4, 2048, context)                 # n_batch
        params.set(8, 512, min(512, context))        # n_ubatch
        params.set(52, -1, 0)                        # flash_attn_type
        for offset in (104, 108):                    # type_k, type_v
            params.set(offset, FILE_TYPES["F16"], FILE_TYPES["F32"])
        self.ctx = self.lib.llama_init_from_model(self.model, params)
        if not self.ctx:
            raise RuntimeError("stock llama.cpp made no context for %s:\n%s" %
                               (path, stock.last_words()))
        self.lib.llama_set_n_threads(self.ctx, 1, 1)
        self.vocab = self.lib.llama_model_get_vocab(self.model)
        self.vocab_size = self.lib.llama_vocab_n_tokens(self.vocab)
        self.batch = self.lib.llama_batch_init(context, 0, 1)

    def close(self):
        self.lib.llama_batch_free(self.batch)
        self.lib.llama_free(self.ctx)
        self.lib.llama_model_free(self.model)

    def tokenize(self, text):
        """Ids of a text; special tokens in it are text."""
        data = text.encode()
        ids = (ctypes.c_int32 * (len(data) + 8))()
        count = self.lib.llama_tokenize(self.vocab, data, len(data), ids, len(ids), False, False)
        assert count >= 0
        return np.array(ids[:count], np.int32)

    def decode(self, ids, position):
        """Logits [len(ids), vocabulary] of tokens that follow `position` earlier ones."""
        batch, count = self.batch, len(ids)
        batch.n_tokens = count
        for i in range(count):
            batch.token[i], batch.pos[i] = int(ids[i]), position + i
            batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = 1, 0, 1
        status = self.lib.llama_decode(self.ctx, batch)
        if status != 0:
            raise RuntimeError("llama_decode returned %d" % status)
        row = self.lib.llama_get_logits_ith
        shape = (self.vocab_size,)
        return np.array([np.ctypeslib.as_array(row(self.ctx, i), shape) for i in range(count)])

    def clear(self):
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.ctx), True)

    def logits(self, ids, step=None):
        """Logits of one sequence from an empty state, `step` tokens per call (default: all)."""
        self.clear()
        step = step or self.context
        return np.concatenate([self.decode(ids[i:i + step], i) for i in range(0, len(ids), step)])

    def greedy(self, ids, count):
        """The `count` ids that always taking the likeliest token appends."""
        self.clear()
        row, reply = self.decode(ids, 0)[-1], []
        while len(reply) < count:
            reply.append(int(row.argmax()))
            row = self.decode(reply[-1:], len(ids) + len(reply) - 1)[-1]
        return reply


def read_safetensors(path):
    """{name: array} of a safetensors file (F32, F64, I32 and I64 only)."""
    with open(path, "rb") as file:
        data = file.read()
    size = int.from_bytes(data[:8], "little")
    kinds = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "I32": np.int32}
    arrays = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__" or entry["dtype"] not in kinds:
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        arrays[name] = np.frombuffer(data[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return arrays
