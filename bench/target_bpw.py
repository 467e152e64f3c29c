"""The target-bpw method of llama-quantize's fork, as a baseline: which type each tensor gets.

Written from its description: for every tensor and candidate type the relative output error of
sampled rows, encoded by the stock library, with multipliers by name; then the lower convex hull, a
Lagrangian and a greedy fill. The statistics are those of stock llama-imatrix, means of x^2: the
fork's means of x and statistics between layers made the method worse (docs/BENCHMARKS.md). Rows are
sampled from offset 0 instead of a random one.
"""
import heapq
import json
import math
import os

import numpy as np

from gguf_file import row_bytes

CANDIDATES = ["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS",
              "IQ4_NL", "Q2_K", "Q3_K", "Q4_0", "Q4_1", "Q4_K", "Q5_0", "Q5_1", "Q5_K", "Q6_K",
              "Q8_0", "BF16"]


def bits_per_weight(kind):
    return row_bytes(kind, 256) * 8 / 256


def sampled_rows(rows, columns, matrices):
    """Indices of the rows of one matrix that are measured."""
    budget = 2**19 * min(max(math.sqrt(rows / 4096), 0.5), 2) / matrices
    wanted = max(256, min(round(budget / columns), rows, 4096))
    if rows <= 512 or wanted >= rows:
        return np.arange(rows)
    return np.minimum(np.round(np.arange(wanted) * rows / wanted).astype(int), rows - 1)


def winsorized(values):
    positive = values[values > 0]
    if len(positive) < max(8, len(values) // 2):
        return values
    logs = np.log(positive)
    middle = np.median(logs)
    deviation = np.median(np.abs(logs - middle))
    if deviation < 1e-12:
        return values
    return np.minimum(values, np.exp(middle + 4 * 1.4826 * deviation))


def trimmed_mean(values):
    values = np.sort(values)
    cut = len(values) // 100 if len(values) >= 100 else 0
    return values[cut:len(values) - cut].mean()


def slice_error(x, y, w):
    """Of the rows x of one matrix that became y; w: mean squares or None."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    weights = np.ones(x.shape[1]) if w is None else w.astype(np.float64)
    errors, norms = ((weights * part * part).sum(axis=1) for part in (y - x, x))
    return trimmed_mean(errors / np.maximum(norms, 1e-30))


def tensor_errors(codec, model, imatrix, name):
    """{candidate: error} of one tensor."""
    tensor, values = model.tensors[name], imatrix.values(name)
    weights = model.array(name).reshape(-1, *tensor.shape[-2:])
    matrices, rows, columns = weights.shape
    picked = sampled_rows(rows, columns, matrices)
    errors = {}
    for kind in CANDIDATES:
        if row_bytes(kind, columns) is None or (kind.startswith("IQ") and values is None):
            continue
        total = 0
        for m in range(matrices):
            w = None if values is None else values[m]
            x = weights[m][picked]
            if "ffn_down" in name and bits_per_weight(kind) < 3:
                middle, deviation = x.mean(), x.std()
                x = np.clip(x, middle - 4 * deviation, middle + 4 * deviation)
            y = codec.round_trip(kind, x, w)
            total += rows * slice_error(x, y, None if w is None else winsorized(w))
        if any(part in name for part in ("attn_q", "attn_k", "attn_o", "attn_v")):
            total *= 1 + 0.5 * 2 ** (3 - bits_per_weight(kind))
        errors[kind] = float(total)
    return errors


def error_table(codec, model, imatrix, names, cache):
    """{tensor: {candidate: error}}, kept in the file `cache` as far as it has come."""
    table = {}
    if os.path.exists(cache):
        with open(cache, encoding="utf-8") as file:
            table = json.load(file)
    for name in names:
        if name in table:
            continue
        table[name] = tensor_errors(codec, model, imatrix, name)
        with open(cache + ".partial", "w", encoding="utf-8") as file:
            json.dump(table, file)
        os.replace(cache + ".partial", cache)
    return table


def lower_hull(points):
    """(bytes, error, kind) rising in bytes: those that fall in error, on the lower convex hull."""
    hull = []
    for size, error, kind in sorted(points):
        if hull and error >= hull[-1][1]:
            continue
        while len(hull) > 1:
            (s0, e0, _), (s1, e1, _) = hull[-2:]
            if (s1 - s0) * (error - e0) - (size - s0) * (e1 - e0) > 1e-12:
                break
            hull.pop()
        hull.append((size, error, kind))
    return hull


def boost_of(name):
    if name == "output.weight":
        return 3.0
    return 1.25 if "attn_v" in name else 1.0


def chosen(hulls, mu):
    return {name: min(range(len(hull)),
                      key=lambda i: hull[i][1] + mu / boost_of(name) * hull[i][0] * 8)
            for name, hull in hulls.items()}


def allocate(hulls, budget):
    """{tensor: index on its hull}: Lagrangian with bisection, then greedy single steps."""
    def size(choice):
        return sum(hulls[name][i][0] for name, i in choice.items())

    best = {name: 0 for name in hulls}
    if size(best) >= budget:
        return best
    low, high = 0.0, 1.0
    for _ in range(60):
        if size(chosen(hulls, high)) <= budget:
            break
        high *= 2
    for _ in range(40):
        middle = (low + high) / 2
        choice = chosen(hulls, middle)
        if size(choice) <= budget:
            best, high = choice, middle
        else:
            low = middle
    left = budget - size(best)
    queue = []

    def push(name):
        i, hull = best[name], hulls[name]
        if i + 1 < len(hull):
            cost = hull[i + 1][0] - hull[i][0]
            gain = boost_of(name) * (hull[i][1] - hull[i + 1][1]) / cost
            heapq.heappush(queue, (-gain, name, cost))

    for name in hulls:
        push(name)
    while queue:
        _, name, cost = heapq.heappop(queue)
        if cost > left:
            continue  # and the tensor leaves the queue
        best[name] += 1
        left -= cost
        push(name)
    return best


def choose_types(table, model, bpw):
    """{tensor: type} at so many bits per weight of all tensors."""
    elements = sum(tensor.elements for tensor in model.tensors.values())
    fixed = sum(t.bytes for name, t in model.tensors.items() if name not in table)
    budget = round(bpw * elements / 8) - fixed
    hulls = {}
    for name, errors in table.items():
        tensor = model.tensors[name]
        rows, columns = tensor.elements // tensor.shape[-1], tensor.shape[-1]
        hulls[name] = lower_hull([(rows * row_bytes(kind, columns), error, kind)
                                  for kind, error in errors.items()])
    choice = allocate(hulls, budget)
    free = 8 * budget / sum(model.tensors[name].elements for name in table)
    if free < 2.2:
        choice = cap_down(hulls, choice, budget)
    return {name: hulls[name][i][2] for name, i in choice.items()}


def cap_down(hulls, choice, budget):
    """Pins expert down matrices to the larger mean width of gate and up, and solves again."""
    def width(name):
        return bits_per_weight(hulls[name][choice[name]][2])

    means = [np.mean([width(n) for n in hulls if part in n] or [0])
             for part in ("ffn_gate_exps", "ffn_up_exps")]
    most = max(means)
    capped = dict(hulls)
    for name in hulls:
        if "ffn_down_exps" in name and width(name) > most > 0:
            capped[name] = [p for p in hulls[name] if bits_per_weight(p[2]) <= most][-1:]
        elif "ffn_gate_exps" in name or "ffn_up_exps" in name:
            capped[name] = [hulls[name][choice[name]]]
    again = allocate(capped, budget)
    return {name: next(i for i, p in enumerate(hulls[name]) if p == capped[name][again[name]])
            for name in hulls}
