#!/usr/bin/env python3
"""What heads look at, and how alike layers are: more records for some cases.

    pip install numpy
    python3 test/golden/make_attention.py

Reads parameters and batch of the cases below, runs them in float64 with numpy
alone (encoder-decoder, plain Post-LN or Pre-LN, with running scores or not),
checks itself against entropies and cosines that are there already, and
appends before "end" (in place of those of an earlier run), S = enc or dec:

    diag.S.{sa,ca}.max_score [L,H]        largest |A| that a query sees, before softmax and divisor
    diag.S.{sa,ca}.median_entropy [L,H]   over queries
    diag.S.{sa,ca}.one_hot [L,H]          share of queries with a probability above 0.9, of those that see several keys
    diag.S.cos_layer [L]                  mean over tokens of the cosine of a layer's input and output
"""
import math
import os

import numpy as np

CASES = ["post", "pre", "realformer", "realformer_mean", "realformer_pre"]
NEW = ("max_score", "median_entropy", "one_hot", "cos_layer")
HERE = os.path.dirname(os.path.abspath(__file__))


def read(path):
    config, records, lines = {}, {}, []
    for line in open(path):
        words = line.split()
        if words and words[0] in "fi" and words[1].startswith("diag.") and words[1].split(".")[-1] in NEW:
            continue
        lines.append(line)
        if words[0] == "c":
            config[words[1]] = words[2]
        elif words[0] in ("p", "v", "f", "i"):
            n = int(words[2])
            shape = [int(w) for w in words[3:3 + n]]
            rest = words[3 + n:]
            size = math.prod(shape)
            if words[0] == "p":
                center, scale, state, zero = float(rest[0]), float(rest[1]), int(rest[2]), int(rest[3])
                values = []
                for _ in range(size):
                    state = (state * 1664525 + 1013904223) % 2**32
                    values.append(center + scale * ((state >> 16) / 65536 - 0.5))
                array = np.array(values).reshape(shape)
                if zero >= 0:
                    array[zero] = 0
            else:
                array = np.array([float(w) for w in rest]).reshape(shape)
            records[words[1]] = array
    return config, records, lines


class Model:
    def __init__(self, config, records):
        self.c, self.r = config, records
        self.d, self.heads = int(config["d"]), int(config["heads"])
        self.sums = int(config["score_residual"])

    def linear(self, name, x):
        return x @ self.r[name + ".w"].T + self.r[name + ".b"]

    def norm(self, name, x):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + float(self.c["eps"])) * self.r[name + ".w"] + \
            self.r[name + ".b"]

    def embed(self, ids):
        half = self.d // 2
        angles = np.arange(len(ids))[:, None] * 10000.0 ** (-np.arange(half) / (half - 1))
        return math.sqrt(self.d) * self.r["tgt_embed" if self.stack == "dec" else "src_embed"][ids] + \
            np.concatenate([np.sin(angles), np.cos(angles)], 1)

    def attention(self, kind, name, x, memory, causal):
        dk = self.d // self.heads
        q, k, v = (self.linear(name + part, of) for part, of in ((".q", x), (".k", memory), (".v", memory)))
        out = np.zeros_like(x)
        for h in range(self.heads):
            at = slice(h * dk, (h + 1) * dk)
            a = q[:, at] @ k[:, at].T / math.sqrt(dk)
            if self.sums:
                a = a + self.carried.get((kind, h), 0)
                self.carried[kind, h] = a
            layer = int(name.split(".")[1])
            logits = a / (layer + 1) if self.sums == 2 else a
            seen = np.tril(np.ones(a.shape, bool)) if causal else np.ones(a.shape, bool)
            p = np.where(seen, np.exp(logits - logits.max()), 0)
            p /= p.sum(1, keepdims=True)
            self.looks.setdefault((self.stack, kind, layer, h), []).extend(
                (p[i][seen[i]], np.abs(a[i][seen[i]]).max()) for i in range(len(p)))
            out[:, at] = p @ v[:, at]
        return self.linear(name + ".o", out)

    def run(self, stack, x, memory=None):
        """One sentence through a stack."""
        self.carried = {}
        pre = self.c["norm_" + stack] == "pre"
        kinds = ["sa", "ff"] if stack == "enc" else ["sa", "ca", "ff"]
        for layer in range(int(self.c["layers_" + stack])):
            before = x
            for kind in kinds:
                name = "%s.%d.%s" % (stack, layer, kind)
                z = self.norm(name + ".ln", x) if pre else x
                if kind == "ff":
                    f = self.linear(name + ".2", np.maximum(self.linear(name + ".1", z), 0))
                else:
                    f = self.attention(kind, name, z, memory if kind == "ca" else z, kind == "sa" and stack == "dec")
                x = x + f if pre else self.norm(name + ".ln", x + f)
            cosine = (before * x).sum(1) / np.sqrt((before**2).sum(1) * (x**2).sum(1))
            self.cosines.setdefault((stack, layer), []).extend(cosine)
        return self.norm(stack + ".ln", x) if pre else x

    def go(self):
        self.looks, self.cosines = {}, {}
        pad = int(self.c["pad"])
        for source, target in zip(self.r["src"].astype(int), self.r["prev"].astype(int)):
            self.stack = "enc"
            memory = self.run("enc", self.embed(source[source != pad]))
            self.stack = "dec"
            self.run("dec", self.embed(target[target != pad]), memory)


def entropy(p):
    return -(p[p > 0] * np.log(p[p > 0])).sum()


def main():
    for case in CASES:
        path = os.path.join(HERE, case + ".txt")
        config, records, lines = read(path)
        assert config["act"] == "relu" and config["pos"] == "t2t" and config["residual"] == "plain"
        model = Model(config, records)
        model.go()
        out = []
        for stack, kinds in (("enc", ["sa"]), ("dec", ["sa", "ca"])):
            layers = int(config["layers_" + stack])
            for kind in kinds:
                looks = [[model.looks[stack, kind, l, h] for h in range(model.heads)] for l in range(layers)]
                mean = np.array([[np.mean([entropy(p) for p, _ in one]) for one in row] for row in looks])
                known = records["diag.%s.%s.entropy" % (stack, kind)]
                assert np.abs(mean - known).max() < 1e-10, (case, stack, kind)
                choosing = [[[p for p, _ in one if len(p) > 1] for one in row] for row in looks]
                values = {
                    "max_score": [[max(a for _, a in one) for one in row] for row in looks],
                    "median_entropy": [[np.median([entropy(p) for p, _ in one]) for one in row] for row in looks],
                    "one_hot": [[np.mean([p.max() > 0.9 for p in one]) for one in row] for row in choosing],
                }
                for what, numbers in values.items():
                    out.append("f diag.%s.%s.%s 2 %d %d %s\n" % (
                        stack, kind, what, layers, model.heads, " ".join("%.17g" % x for row in numbers for x in row)))
            out.append("f diag.%s.cos_layer 1 %d %s\n" % (
                stack, layers, " ".join("%.17g" % np.mean(model.cosines[stack, l]) for l in range(layers))))
        assert lines[-1].strip() == "end"
        with open(path, "w") as file:
            file.writelines(lines[:-1] + out + lines[-1:])
        print(case, len(out), "records")


main()
