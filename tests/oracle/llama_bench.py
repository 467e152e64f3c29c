#!/usr/bin/env python3
"""Stock llama.cpp with llama-bench's command line and JSON, as a peer for `karat bench --peer`.

Drives the library of stock.py the way llama-bench does: random token ids, a warm-up of the whole
prompt and of one token, the memory cleared before each repetition, an untimed depth, wall time.
Weights are repacked for the processor as the library likes it (--no-repack leaves that out); flash
attention is the library's choice unless -fa says otherwise.
"""
import argparse
import json
import os
import random
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import paths  # noqa: E402
import stock  # noqa: E402

CACHE_TYPES = {"f32": 0, "f16": 1, "q8_0": 8, "bf16": 30}  # ggml_type
MODEL_USE_EXTRA_BUFTS = 74  # offsets in the parameter structs, as in stock.py
CONTEXT, BATCH, UBATCH, FLASH, TYPE_K, TYPE_V = 0, 4, 8, 52, 104, 108


def counts(text):
    return [int(piece) for piece in text.split(",")]


def arguments(words):
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("-m", "--model", required=True)
    add("-p", "--n-prompt", type=counts, action="extend")
    add("-n", "--n-gen", type=counts, action="extend")
    add("-pg", type=counts, action="append", default=[])
    add("-d", "--n-depth", type=counts, action="extend")
    add("-r", "--repetitions", type=int, default=5)
    add("-t", "--threads", type=int, default=os.cpu_count())
    add("-b", "--batch-size", type=int, default=2048)
    add("-ub", "--ubatch-size", type=int, default=512)
    add("-ctk", "--cache-type-k", choices=CACHE_TYPES, default="f16")
    add("-ctv", "--cache-type-v", choices=CACHE_TYPES, default="f16")
    add("-fa", "--flash-attn", type=int, choices=(-1, 0, 1), default=-1)
    add("--no-repack", action="store_true")
    add("--processor", help="the library's build for it, e.g. haswell (AVX2)")
    add("-o", "--output", choices=("json", "md"), default="md")
    options = parser.parse_args(words)
    if any(len(pair) != 2 for pair in options.pg):
        parser.error("-pg takes two numbers")
    return options


def wanted(options):
    """(prompt, generate, depth) of every test, in llama-bench's order."""
    pairs = [(p, 0) for p in options.n_prompt or [512]] + [(0, n) for n in options.n_gen or [128]]
    pairs += [tuple(pair) for pair in options.pg]
    return [(p, n, d) for d in options.n_depth or [0] for p, n in pairs if p or n]


def name_of(prompt, generate, depth):
    parts = ["pp%d" % prompt] * (prompt > 0) + ["tg%d" % generate] * (generate > 0)
    return "+".join(parts) + (" @ d%d" % depth if depth else "")


class Bench:
    def __init__(self, library, options):
        self.lib, self.options = library.lib, options
        params = self.lib.llama_model_default_params()
        if options.no_repack:
            params.set(MODEL_USE_EXTRA_BUFTS, 1, 0, 1)
        self.model = self.lib.llama_model_load_from_file(options.model.encode(), params)
        if not self.model:
            sys.exit("stock llama.cpp did not load %s:\n%s" % (options.model, library.last_words()))
        self.vocab = self.lib.llama_vocab_n_tokens(self.lib.llama_model_get_vocab(self.model))
        self.batch = self.lib.llama_batch_init(options.batch_size, 0, 1)
        self.ctx, self.room = None, 0
        self.library = library

    def context(self, tokens):
        """A context with room for that many tokens, kept as long as it suffices."""
        if self.ctx and tokens <= self.room:
            return
        if self.ctx:
            self.lib.llama_free(self.ctx)
        o, params = self.options, self.lib.llama_context_default_params()
        params.set(CONTEXT, 512, tokens)
        params.set(BATCH, 2048, o.batch_size)
        params.set(UBATCH, 512, o.ubatch_size)
        params.set(FLASH, -1, o.flash_attn)
        params.set(TYPE_K, CACHE_TYPES["f16"], CACHE_TYPES[o.cache_type_k])
        params.set(TYPE_V, CACHE_TYPES["f16"], CACHE_TYPES[o.cache_type_v])
        self.ctx, self.room = self.lib.llama_init_from_model(self.model, params), tokens
        if not self.ctx:
            sys.exit("stock llama.cpp made no context:\n" + self.library.last_words())
        self.lib.llama_set_n_threads(self.ctx, o.threads, o.threads)

    def feed(self, tokens, position):
        """Random tokens in calls of at most the batch size; logits of each call's last one."""
        batch = self.batch
        for begin in range(0, tokens, self.options.batch_size):
            batch.n_tokens = min(self.options.batch_size, tokens - begin)
            for i in range(batch.n_tokens):
                batch.token[i] = random.randrange(self.vocab)
                batch.pos[i] = position + begin + i
                batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = 1, 0, 0
            batch.logits[batch.n_tokens - 1] = 1
            status = self.lib.llama_decode(self.ctx, batch)
            if status != 0:
                sys.exit("llama_decode returned %d" % status)
            self.lib.llama_get_logits_ith(self.ctx, -1)  # waits for the result

    def once(self, prompt, generate, depth):
        """Nanoseconds of one repetition."""
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.ctx), True)
        self.feed(depth, 0)
        begin = time.perf_counter_ns()
        self.feed(prompt, depth)
        for i in range(generate):
            self.feed(1, depth + prompt + i)
        return time.perf_counter_ns() - begin

    def run(self, prompt, generate, depth):
        self.context(depth + prompt + generate)
        self.once(prompt, min(generate, 1), 0)
        samples = [self.once(prompt, generate, depth) for _ in range(self.options.repetitions)]
        return self.result(prompt, generate, depth, samples)

    def result(self, prompt, generate, depth, samples):
        rates = [1e9 * (prompt + generate) / ns for ns in samples]

        def spread(values):
            return statistics.stdev(values) if len(values) > 1 else 0

        o = self.options
        return {
            "build_commit": stock.PACKAGE, "build_number": 0, "model_filename": o.model,
            "model_type": "", "model_size": os.path.getsize(o.model), "n_batch": o.batch_size,
            "n_ubatch": o.ubatch_size, "n_threads": o.threads, "type_k": o.cache_type_k,
            "type_v": o.cache_type_v, "flash_attn": o.flash_attn, "n_prompt": prompt,
            "n_gen": generate, "n_depth": depth, "avg_ns": round(statistics.mean(samples)),
            "stddev_ns": round(spread(samples)), "avg_ts": statistics.mean(rates),
            "stddev_ts": spread(rates), "samples_ns": samples, "samples_ts": rates}


def main():
    options = arguments(sys.argv[1:])
    bench = Bench(stock.Stock(stock.installed(paths.STOCK), options.processor), options)
    results = []
    for test in wanted(options):
        results.append(bench.run(*test))
        if options.output == "md":
            print("| %15s | %10.2f \u00b1 %.2f |" %
                  (name_of(*test), results[-1]["avg_ts"], results[-1]["stddev_ts"]), flush=True)
    if options.output == "json":
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
