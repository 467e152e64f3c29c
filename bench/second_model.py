#!/usr/bin/env python3
"""A second model of the family, made from the demo model's BF16 GGUF file.

usage: bench/second_model.py IN.gguf OUT.gguf [--noise 0.12] [--spread 0.7] [--copies 2] [--seed 1]

For whoever measures a method on one model and wants to know whether it holds on another. It
speaks the same language about as well, with other weights:

  every expert exists --copies times, as many times more are used, each with noise of its own
  heavy-tailed noise (Student's t, 3 degrees of freedom) of --noise times a matrix's RMS
  the columns behind every norm, and the channels inside every expert, are scaled by
    exp(--spread * normal), and the norm or the matrix before them by the inverse
  the residual stream's and the experts' channels stand in another order

But for the noise and the rounding to BF16 the function stays the same.
"""
import argparse
import struct

import numpy as np

from gguf_file import IDS, Gguf

EXPERTS = ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps", "ffn_gate_inp")
# What reads a norm's output, by the norm.
READERS = {"attn_norm": ("attn_qkv", "attn_gate", "ssm_alpha", "ssm_beta", "attn_q", "attn_k",
                         "attn_v"),
           "post_attention_norm": ("ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps",
                                   "ffn_gate_inp_shexp", "ffn_gate_shexp", "ffn_up_shexp")}
WRITERS = ("ssm_out", "attn_output", "ffn_down_exps", "ffn_down_shexp")


def bf16_bytes(values):
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    even = bits + 0x7FFF + ((bits >> 16) & 1)
    return (even >> 16).astype(np.uint16).tobytes()


class Model:
    def __init__(self, path):
        self.file = Gguf(path)
        self.arrays = {name: self.file.array(name).copy() for name in self.file.tensors}
        self.blocks = self.file.keys["qwen35moe.block_count"]
        self.keys = {}

    def get(self, block, part):
        return self.arrays.get("blk.%d.%s.weight" % (block, part))

    def set(self, block, part, values):
        self.arrays["blk.%d.%s.weight" % (block, part)] = values

    def copy_experts(self, copies):
        for block in range(self.blocks):
            for part in EXPERTS:
                self.set(block, part, np.repeat(self.get(block, part), copies, axis=0))
        for key in ("qwen35moe.expert_count", "qwen35moe.expert_used_count"):
            self.keys[key] = self.file.keys[key] * copies

    def add_noise(self, random, share):
        for name, tensor in self.file.tensors.items():
            if tensor.kind != "BF16":
                continue
            values = self.arrays[name]
            noise = random.standard_t(3, values.shape) / np.sqrt(3)
            self.arrays[name] = values + share * np.sqrt(np.mean(values ** 2)) * noise

    def spread_norms(self, random, spread):
        for block in range(self.blocks):
            for norm, readers in READERS.items():
                scale = np.exp(spread * random.standard_normal(self.get(block, norm).shape))
                self.set(block, norm, self.get(block, norm) / scale)
                for part in readers:
                    if self.get(block, part) is not None:
                        self.set(block, part, self.get(block, part) * scale)

    def spread_experts(self, random, spread):
        """SwiGLU is linear in `up`, and gate, up and down may change their order together."""
        for block in range(self.blocks):
            for kind in ("exps", "shexp"):
                gate, up, down = (self.get(block, "ffn_%s_%s" % (part, kind)).reshape(
                    -1, *self.get(block, "ffn_%s_%s" % (part, kind)).shape[-2:])
                    for part in ("gate", "up", "down"))
                for e in range(len(up)):
                    scale = np.exp(spread * random.standard_normal(up.shape[1]))
                    order = random.permutation(up.shape[1])
                    gate[e] = gate[e][order]
                    up[e] = (up[e] * scale[:, None])[order]
                    down[e] = (down[e] / scale)[:, order]
                for part, values in (("gate", gate), ("up", up), ("down", down)):
                    old = self.get(block, "ffn_%s_%s" % (part, kind))
                    self.set(block, "ffn_%s_%s" % (part, kind), values.reshape(old.shape))

    def reorder_residual(self, random):
        order = random.permutation(self.file.keys["qwen35moe.embedding_length"])
        for name in ("token_embd.weight", "output.weight", "output_norm.weight"):
            if name in self.arrays:
                self.arrays[name] = self.arrays[name][..., order]
        for block in range(self.blocks):
            for norm, readers in READERS.items():
                for part in (norm, *readers):
                    if self.get(block, part) is not None:
                        self.set(block, part, self.get(block, part)[..., order])
            for part in WRITERS:
                if self.get(block, part) is not None:
                    self.set(block, part, self.get(block, part)[..., order, :])

    def write(self, path):
        """The same keys but for self.keys (u32 each); tensors of the same types."""
        head = bytearray(self.file.data[:self.file.keys_end])
        for key, value in self.keys.items():
            name = struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", 4)
            at = head.index(name) + len(name)
            head[at:at + 4] = struct.pack("<I", value)
        infos, data, offset = b"", [], 0
        for name, tensor in self.file.tensors.items():
            values = self.arrays[name]
            plain = tensor.kind == "F32"
            content = values.astype(np.float32).tobytes() if plain else bf16_bytes(values)
            infos += struct.pack("<Q", len(name)) + name.encode()
            infos += struct.pack("<I", values.ndim) + struct.pack("<%dQ" % values.ndim,
                                                                  *values.shape[::-1])
            infos += struct.pack("<IQ", IDS[tensor.kind], offset)
            padding = -len(content) % 32
            data.append(content + b"\0" * padding)
            offset += len(content) + padding
        head += infos
        with open(path, "wb") as file:
            file.write(bytes(head) + b"\0" * (-len(head) % 32))
            file.writelines(data)


def make(source, target, noise=0.12, spread=0.7, copies=2, seed=1):
    random = np.random.default_rng(seed)
    model = Model(source)
    model.copy_experts(copies)
    model.add_noise(random, noise)
    model.spread_norms(random, spread)
    model.spread_experts(random, spread)
    model.reorder_residual(random)
    model.write(target)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--noise", type=float, default=0.12)
    parser.add_argument("--spread", type=float, default=0.7)
    parser.add_argument("--copies", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    make(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
