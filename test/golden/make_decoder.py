#!/usr/bin/env python3
"""Reference values of a decoder without an encoder: test/golden/decoder_*.txt.

    pip install torch
    python3 test/golden/make_decoder.py

Float64 on the CPU, no dropout, gradients by autograd.  The format is that of
README.md.  A sentence is one sequence: the source with its end, then the start
and the target; every position sees those up to itself, positions count
through, and the loss is that of the target alone.
"""
import math
import os

import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

PAD, EOS, START = 1, 2, 2
D, HEADS, FFN, VOCABULARY, LAYERS, SEED = 8, 2, 16, 11, 3, 1

SOURCE = [[3, 7, 4, 9, EOS], [5, EOS], [10, 6, 3, EOS]]
TARGET = [[8, 4, EOS], [3, 9, 9, 5, 6, EOS], [7, EOS]]

# scheme, norm, tie, positions, running scores, label smoothing, its variant, activation
CASES = {
    "decoder_post": ("plain", "post", 1, "t2t", 0, 0.1, "v", "relu"),
    "decoder_pre_realformer": ("plain", "pre", 0, "vaswani", 1, 0.1, "v-1", "gelu"),
    "decoder_residual": ("dual", "post", 1, "t2t", 0, 0.1, "v-1", "relu"),
    "decoder_residual_mean": ("dual", "post", 2, "fairseq", 2, 0.0, "v-1", "gelu"),
    "decoder_admin": ("omega", "post", 1, "t2t", 0, 0.1, "v-1", "relu"),
    "decoder_deepnorm": ("deepnorm", "post", 1, "t2t", 0, 0.1, "v-1", "relu"),
}


def units(name, n):
    state = 2166136261
    for byte in name.encode():
        state = (state ^ byte) * 16777619 % 2**32
    state ^= SEED * 2654435761 % 2**32
    first = state
    out = []
    for _ in range(n):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append((state >> 16) / 65536.0 - 0.5)
    return first, out


class Case:
    def __init__(self, name):
        (self.scheme, self.norm, self.tie, self.positions, self.scores, self.smoothing, self.variant,
         self.activation) = CASES[name]
        self.name = name
        self.parameters = {}
        self.lines = []
        self.declare()

    # ---- parameters ----

    def add(self, name, shape, center, scale, zero_row=-1):
        first, numbers = units(name, math.prod(shape))
        value = center + scale * torch.tensor(numbers).reshape(shape)
        if zero_row >= 0:
            value[zero_row] = 0.0
        self.parameters[name] = value.requires_grad_()
        self.lines.append("p %s %d %s %.17g %.17g %d %d" % (
            name, len(shape), " ".join(map(str, shape)), center, scale, first, zero_row))

    def norm_of(self, name):
        self.add(name + ".w", (D,), 1.0, 0.5)
        self.add(name + ".b", (D,), 0.0, 0.25)

    def linear_of(self, name, rows, cols):
        self.add(name + ".w", (rows, cols), 0.0, 1.0)
        self.add(name + ".b", (rows,), 0.0, 0.25)

    def declare(self):
        self.add("embed", (VOCABULARY, D), 0.0, 2.0, PAD)
        if self.tie == 0:
            self.add("out_proj", (VOCABULARY, D), 0.0, 2.0, PAD)
        for layer in range(LAYERS):
            for sub in ("sa", "ff"):
                at = "dec.%d.%s." % (layer, sub)
                if sub == "sa":
                    for part in "qkvo":
                        self.linear_of(at + part, D, D)
                else:
                    self.linear_of(at + "1", FFN, D)
                    self.linear_of(at + "2", D, FFN)
                self.norm_of(at + "ln")
                if self.scheme == "omega":
                    self.add(at + "omega", (D,), 1.5, 0.5)
        if self.norm == "pre" or self.scheme == "dual":
            self.norm_of("dec.ln")

    def __getitem__(self, name):
        return self.parameters[name]

    # ---- the model ----

    def position_rows(self, n):
        half = D // 2
        table = torch.zeros(n, D)
        first = PAD + 1 if self.positions == "fairseq" else 0
        for p in range(n):
            for i in range(half):
                angle = (p + first) * 10000.0 ** -(i / (half if self.positions == "vaswani" else half - 1))
                if self.positions == "vaswani":
                    table[p, 2 * i], table[p, 2 * i + 1] = math.sin(angle), math.cos(angle)
                else:
                    table[p, i], table[p, half + i] = math.sin(angle), math.cos(angle)
        return table

    def normalise(self, x, name, epsilon=1e-5):
        centred = x - x.mean(-1, keepdim=True)
        variance = (centred ** 2).mean(-1, keepdim=True)
        return centred / torch.sqrt(variance + epsilon) * self[name + ".w"] + self[name + ".b"]

    def linear(self, x, name):
        return x @ self[name + ".w"].T + self[name + ".b"]

    def attention(self, x, at, layer):
        n, size = x.shape[0], D // HEADS
        mask = torch.triu(torch.full((n, n), -math.inf), 1)
        results = []
        for h in range(HEADS):
            part = slice(h * size, (h + 1) * size)
            scores = self.linear(x, at + "q")[:, part] @ self.linear(x, at + "k")[:, part].T / math.sqrt(size)
            if self.scores:
                scores = scores + self.running[h]
                self.running[h] = scores
            divisor = layer + 1 if self.scores == 2 else 1
            results.append(torch.softmax(scores / divisor + mask, -1) @ self.linear(x, at + "v")[:, part])
        return self.linear(torch.cat(results, 1), at + "o")

    def feed_forward(self, x, at):
        inner = self.linear(x, at + "1")
        inner = torch.relu(inner) if self.activation == "relu" else 0.5 * inner * (1 + torch.erf(inner / math.sqrt(2)))
        return self.linear(inner, at + "2")

    def stack(self, ids):
        x = self["embed"][ids] * math.sqrt(D) + self.position_rows(len(ids))
        dual = x
        self.running = [torch.zeros(len(ids), len(ids)) for _ in range(HEADS)]
        for layer in range(LAYERS):
            for sub in ("sa", "ff"):
                at = "dec.%d.%s." % (layer, sub)
                z = self.normalise(x, at + "ln") if self.norm == "pre" else x
                branch = self.attention(z, at, layer) if sub == "sa" else self.feed_forward(z, at)
                shortcut = x
                if self.scheme == "omega":
                    shortcut = self[at + "omega"] * x
                elif self.scheme == "deepnorm":
                    shortcut = (2 * LAYERS) ** 0.25 * x
                x = shortcut + branch
                if self.norm == "post":
                    x = self.normalise(x, at + "ln")
                dual = dual + branch
        if self.scheme == "dual":
            return x + self.normalise(dual, "dec.ln", 1e-7)
        return self.normalise(x, "dec.ln") if self.norm == "pre" else x

    def run(self):
        """Logits of each sentence's target, and the sums of the loss."""
        logits, nll, smooth, tokens = [], 0.0, 0.0, 0
        for source, target in zip(SOURCE, TARGET):
            ids = source + [START] + target[:-1]
            out = self.stack(ids)[len(source):] @ self["out_proj" if self.tie == 0 else "embed"].T
            log_p = torch.log_softmax(out, -1)
            nll = nll - log_p[range(len(target)), target].sum()
            smooth = smooth - log_p.sum()
            tokens += len(target)
            logits.append(out)
        s = self.smoothing
        if self.variant == "v-1":
            loss = (1 - s - s / (VOCABULARY - 1)) * nll + s / (VOCABULARY - 1) * smooth
        else:
            loss = (1 - s) * nll + s / VOCABULARY * smooth
        return logits, loss, nll, tokens

    # ---- the file ----

    def settings(self):
        return dict(
            case=self.name, arch="decoder", layers_enc=1, layers_dec=LAYERS, d=D, heads=HEADS, ffn=FFN, vocab=VOCABULARY,
            pad=PAD, eos=EOS, start=START, act=self.activation, tie=self.tie, pos=self.positions, eps=1e-5, eps_dual=1e-7,
            norm_enc=self.norm, norm_dec=self.norm, residual=self.scheme, dual_scale=1, dual_alpha_enc=1,
            dual_alpha_dec=1, score_residual=self.scores, ls=self.smoothing, ls_variant=self.variant, lr=0.01, beta1=0.9,
            beta2=0.98, adam_eps=1e-8, wd=0, clip=0, adam_variant="kingma", seed=SEED)

    def write(self, path):
        logits, loss, nll, tokens = self.run()
        (loss / tokens).backward()
        with open(path, "w") as out:
            def record(kind, name, shape, numbers):
                form = "%d" if kind == "i" else "%.17g"
                print(kind, name, len(shape), *shape, *(form % x for x in numbers), file=out)

            def padded(kind, name, rows, width, tail=()):
                flat = [x for row in rows for x in row]
                record(kind, name, (len(rows), width) + tail, flat)

            print("# made by make_decoder.py", file=out)
            for key, value in self.settings().items():
                print("c", key, value, file=out)
            print("\n".join(self.lines), file=out)
            record("f", "check.param_sum", (len(self.parameters),), [p.sum().item() for p in self.parameters.values()])
            for name, rows in (("src", SOURCE), ("prev", [[START] + t[:-1] for t in TARGET]), ("tgt", TARGET)):
                width = max(map(len, rows))
                padded("i", name, [r + [PAD] * (width - len(r)) for r in rows], width)
            width = max(map(len, TARGET))
            padded("f", "logits", [x.flatten().tolist() + [0.0] * (width - len(x)) * VOCABULARY for x in logits], width,
                   (VOCABULARY,))
            for name, value in (("loss_sum", loss), ("nll_sum", nll), ("ntok", torch.tensor(float(tokens))),
                                ("loss", loss / tokens)):
                record("f", name, (), [value.item()])
            for name, p in self.parameters.items():
                record("f", "grad." + name, tuple(p.shape), p.grad.flatten().tolist())
            print("end", file=out)


if __name__ == "__main__":
    folder = os.path.dirname(os.path.abspath(__file__))
    for case in CASES:
        Case(case).write(os.path.join(folder, case + ".txt"))
