"""Writes BF16 GGUF files of this family's shapes without a model: headers over holes.

The data of most tensors are holes of a sparse file (zeros); those of the blocks that are asked for
are random numbers. Dimensions default to Qwen3.6-35B-A3B's.
"""
import dataclasses
import struct

import numpy as np

F32, BF16 = 0, 30
BYTES = {F32: 4, BF16: 2}
ALIGNMENT = 32


@dataclasses.dataclass
class Shape:
    layers: int = 40
    mtp: bool = False
    experts: int = 256
    experts_used: int = 8
    hidden: int = 2048
    ffn: int = 512          # of one expert, and of the shared one
    vocab: int = 248320
    heads: int = 16
    kv_heads: int = 2
    head_dim: int = 256
    key_heads: int = 16     # DeltaNet
    value_heads: int = 32
    state: int = 128        # width of its heads
    fused: bool = False     # ffn_gate_up_exps

    def keys(self):
        p = "qwen35moe."
        keys = [("general.architecture", "qwen35moe"), ("general.name", "shape without a model"),
                ("general.file_type", 32), (p + "block_count", self.layers + self.mtp),
                (p + "context_length", 262144), (p + "embedding_length", self.hidden),
                (p + "attention.head_count", self.heads),
                (p + "attention.head_count_kv", self.kv_heads),
                (p + "attention.key_length", self.head_dim),
                (p + "attention.value_length", self.head_dim),
                (p + "attention.layer_norm_rms_epsilon", 1e-6), (p + "rope.freq_base", 1e7),
                (p + "rope.dimension_count", self.head_dim // 4),
                (p + "rope.dimension_sections", self.rope_sections()),
                (p + "expert_count", self.experts), (p + "expert_used_count", self.experts_used),
                (p + "expert_feed_forward_length", self.ffn),
                (p + "expert_shared_feed_forward_length", self.ffn),
                (p + "full_attention_interval", 4), (p + "ssm.conv_kernel", 4),
                (p + "ssm.inner_size", self.value_heads * self.state),
                (p + "ssm.state_size", self.state), (p + "ssm.time_step_rank", self.value_heads),
                (p + "ssm.group_count", self.key_heads), (p + "vocab_size", self.vocab),
                ("tokenizer.ggml.model", "no_vocab")]
        return keys + ([(p + "nextn_predict_layers", 1)] if self.mtp else [])

    def rope_sections(self):
        third = self.head_dim // 8 // 3
        return [self.head_dim // 8 - 2 * third, third, third, 0]

    def tensors(self):
        """[(name, ne, type)], ne[0] the row length."""
        out = [("token_embd.weight", (self.hidden, self.vocab), BF16),
               ("output_norm.weight", (self.hidden,), F32),
               ("output.weight", (self.hidden, self.vocab), BF16)]
        for n in range(self.layers):
            mixer = self.attention() if n % 4 == 3 else self.delta_net()
            out += [("blk.%d.%s" % (n, name), ne, kind) for name, ne, kind in mixer + self.moe()]
        if self.mtp:
            norms = [("nextn.%s.weight" % norm, (self.hidden,), F32)
                     for norm in ("enorm", "hnorm", "shared_head_norm")]
            head = [("nextn.eh_proj.weight", (2 * self.hidden, self.hidden), BF16)]
            out += [("blk.%d.%s" % (self.layers, name), ne, kind)
                    for name, ne, kind in self.attention() + self.moe() + head + norms]
        return out

    def attention(self):
        width, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return [("attn_q.weight", (self.hidden, 2 * width), BF16),
                ("attn_k.weight", (self.hidden, kv), BF16),
                ("attn_v.weight", (self.hidden, kv), BF16),
                ("attn_output.weight", (width, self.hidden), BF16),
                ("attn_q_norm.weight", (self.head_dim,), F32),
                ("attn_k_norm.weight", (self.head_dim,), F32)]

    def delta_net(self):
        inner, channels = self.value_heads * self.state, 2 * self.key_heads * self.state
        channels += inner
        return [("attn_qkv.weight", (self.hidden, channels), BF16),
                ("attn_gate.weight", (self.hidden, inner), BF16),
                ("ssm_conv1d.weight", (4, channels), F32),
                ("ssm_dt.bias", (self.value_heads,), F32),
                ("ssm_a", (self.value_heads,), F32),
                ("ssm_beta.weight", (self.hidden, self.value_heads), BF16),
                ("ssm_alpha.weight", (self.hidden, self.value_heads), BF16),
                ("ssm_norm.weight", (self.state,), F32),
                ("ssm_out.weight", (inner, self.hidden), BF16)]

    def moe(self):
        up = (self.hidden, self.ffn, self.experts)
        if self.fused:
            stacks = [("ffn_gate_up_exps.weight", (self.hidden, 2 * self.ffn, self.experts), BF16)]
        else:
            stacks = [("ffn_gate_exps.weight", up, BF16), ("ffn_up_exps.weight", up, BF16)]
        return [("attn_norm.weight", (self.hidden,), F32),
                ("post_attention_norm.weight", (self.hidden,), F32),
                ("ffn_gate_inp.weight", (self.hidden, self.experts), F32), *stacks,
                ("ffn_down_exps.weight", (self.ffn, self.hidden, self.experts), BF16),
                ("ffn_gate_inp_shexp.weight", (self.hidden,), F32),
                ("ffn_gate_shexp.weight", (self.hidden, self.ffn), BF16),
                ("ffn_up_shexp.weight", (self.hidden, self.ffn), BF16),
                ("ffn_down_shexp.weight", (self.ffn, self.hidden), BF16)]


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def key_value(key, value):
    if isinstance(value, str):
        return string(key) + struct.pack("<I", 8) + string(value)
    if isinstance(value, float):
        return string(key) + struct.pack("<If", 6, value)
    if isinstance(value, list):
        return string(key) + struct.pack("<IIQ%di" % len(value), 9, 5, len(value), *value)
    return string(key) + struct.pack("<II", 4, value)


def layout(shape):
    """The head, padded, and [(name, ne, type, offset in the file, bytes)]."""
    keys, rows, infos, offset = shape.keys(), [], b"", 0
    for name, ne, kind in shape.tensors():
        size = int(np.prod(ne, dtype=np.int64)) * BYTES[kind]
        infos += string(name) + struct.pack("<I%dQIQ" % len(ne), len(ne), *ne, kind, offset)
        rows.append((name, ne, kind, offset, size))
        offset += -(-size // ALIGNMENT) * ALIGNMENT
    head = b"GGUF" + struct.pack("<IQQ", 3, len(rows), len(keys))
    head += b"".join(key_value(*pair) for pair in keys) + infos
    head += b"\0" * (-len(head) % ALIGNMENT)
    return head, [(n, ne, t, len(head) + at, size) for n, ne, t, at, size in rows], offset


def random_bytes(kind, elements, seed):
    values = np.random.default_rng(seed).standard_normal(elements, np.float32) * np.float32(0.02)
    return (values.view(np.uint32) >> 16).astype(np.uint16).tobytes() if kind == BF16 else (
        values.tobytes())


def write(path, shape, real_blocks=(), seed=1):
    """Returns the bytes of all tensors, and those that hold numbers: 32 MiB over and over."""
    head, rows, data = layout(shape)
    pools = {kind: random_bytes(kind, (1 << 25) // BYTES[kind], seed) for kind in BYTES}
    real = 0
    with open(path, "wb") as file:
        file.write(head)
        for name, _, kind, offset, size in rows:
            if not name.startswith("blk.") or int(name.split(".")[1]) not in real_blocks:
                continue
            real += size
            file.seek(offset)
            while size > 0:
                size -= file.write(pools[kind][:size])
        file.truncate(len(head) + data)
    return data, real
