#!/usr/bin/env python3
"""CTranslate2 with the weights, sentences and settings that search.c or run.sh left in a folder.

usage: peer.py FOLDER LAYERS HEADS [--type int8] [--beam 1] [--batch 32] [--secs 5] [--check | --tune | --column | --singles N]

The answer's length is fixed to the longest source of a batch, as in search.c.  --check compares with
FOLDER/answers.txt instead of measuring.  Time is the process's own (user and system), the median over rounds.
--tune, --column and --singles serve run.sh: sentences of random ids with the lengths of FOLDER/lengths.txt and answers of 17,
by two translators of one thread, or one after another by one.  --tune prints milliseconds a sentence and batch sizes.
"""
import argparse
import json
import os
import random
import resource
import statistics
import sys
import time

import ctranslate2
import numpy as np
from ctranslate2.specs import TransformerSpec

PAD, START, END = "<pad>", "<s>", "</s>"


def read_weights(folder):
    numbers = np.fromfile(folder + "/weights.bin", dtype="<f4")
    weights, at = {}, 0
    for line in open(folder + "/weights.txt"):
        name, rows, cols = line.split()
        shape = (int(rows), int(cols)) if int(rows) > 1 else (int(cols),)
        size = int(np.prod(shape))
        weights[name] = numbers[at:at + size].reshape(shape)
        at += size
    assert at == len(numbers)
    return weights


def position_table(positions, d):
    """Tensor2tensor's: sines, then cosines."""
    half = d // 2
    angle = np.arange(positions)[:, None] * np.power(10000.0, -np.arange(half) / (half - 1))[None, :]
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)


def fill_stack(spec, weights, prefix, kinds):
    def linear(to, names):
        to.weight = np.concatenate([weights[n + ".w"] for n in names])
        to.bias = np.concatenate([weights[n + ".b"] for n in names])

    for number, layer in enumerate(spec.layer):
        for kind in kinds:
            at = f"{prefix}.{number}.{kind}."
            if kind == "ff":
                part = layer.ffn
                linear(part.linear_0, [at + "1"])
                linear(part.linear_1, [at + "2"])
            elif kind == "sa":
                part = layer.self_attention
                linear(part.linear[0], [at + "q", at + "k", at + "v"])
                linear(part.linear[1], [at + "o"])
            else:
                part = layer.attention
                linear(part.linear[0], [at + "q"])
                linear(part.linear[1], [at + "k", at + "v"])
                linear(part.linear[2], [at + "o"])
            part.layer_norm.gamma = weights[at + "ln.w"]
            part.layer_norm.beta = weights[at + "ln.b"]


def write_model(folder, out, layers, heads, precision):
    """A Post-LN model whose three embeddings are one matrix, unless it is there already; the size of its vocabulary."""
    if os.path.exists(out + "/model.bin"):
        return next(int(line.split()[1]) for line in open(folder + "/weights.txt") if line.startswith("embed "))
    weights = read_weights(folder)
    vocabulary, d = weights["embed"].shape
    spec = TransformerSpec.from_config((layers, layers), heads, pre_norm=False)
    spec.config.layer_norm_epsilon = 1e-5
    spec.encoder.embeddings[0].weight = weights["embed"]
    spec.decoder.embeddings.weight = spec.decoder.projection.weight = weights["embed"]
    spec.encoder.position_encodings.encodings = position_table(512, d)
    spec.decoder.position_encodings.encodings = position_table(512, d)
    fill_stack(spec.encoder, weights, "enc", ["sa", "ff"])
    fill_stack(spec.decoder, weights, "dec", ["sa", "ca", "ff"])
    pieces = [PAD, START, END] + [str(i) for i in range(3, vocabulary)]
    spec.register_source_vocabulary(pieces)
    spec.register_target_vocabulary(pieces)
    spec.validate()
    spec.optimize(quantization=None if precision == "float32" else precision)
    os.makedirs(out, exist_ok=True)
    spec.save(out)
    return vocabulary


def batches(folder, size):
    lines = [line.split() for line in open(folder + "/sentences.txt")]
    return [lines[i:i + size] for i in range(0, len(lines), size)]


def columns(folder, vocabulary):
    """Sentences as long as run.sh's; the peer sorts them by length, as ours does."""
    r = random.Random(3)
    lengths = [int(line) for line in open(folder + "/lengths.txt")]
    return [[str(r.randrange(4, vocabulary)) for _ in range(n)] + [END] for n in lengths]


def translators(a, out):
    translator = ctranslate2.Translator(out, device="cpu", compute_type=a.type, inter_threads=2, intra_threads=1)
    return lambda part, batch: translator.translate_batch(part, beam_size=a.beam, min_decoding_length=17,
                                                          max_decoding_length=17, max_batch_size=batch, length_penalty=1)


def tune(a, out, vocabulary):
    run, sentences = translators(a, out), columns(a.folder, vocabulary)[:256]
    run(sentences[:64], 32)
    for batch in 8, 16, 32, 64:
        before = time.process_time()
        run(sentences, batch)
        print(1e3 * (time.process_time() - before) / len(sentences), batch)


def column(a, out, vocabulary):
    run, sentences = translators(a, out), columns(a.folder, vocabulary)
    run(sentences[:64], a.batch)
    before, start = time.process_time(), time.perf_counter()
    run(sentences, a.batch)
    print(json.dumps({"who": "CTranslate2", "what": "column", "precision": a.type, "beam": a.beam, "rows": len(sentences),
                      "batch": a.batch, "packed": os.environ.get("CT2_USE_EXPERIMENTAL_PACKED_GEMM", "0"),
                      "seconds": time.perf_counter() - start, "cpu": time.process_time() - before}))


def singles(a, out, vocabulary):
    translator = ctranslate2.Translator(out, device="cpu", compute_type=a.type, inter_threads=1, intra_threads=1)
    times = []
    for sentence in columns(a.folder, vocabulary)[:a.singles]:
        start = time.perf_counter()
        translator.translate_batch([sentence], beam_size=a.beam, min_decoding_length=17, max_decoding_length=17)
        times.append(1e3 * (time.perf_counter() - start))
    times.sort()
    print(json.dumps({"who": "CTranslate2", "what": "singles", "p50": times[len(times) // 2], "p99": times[int(len(times) * .99)],
                      "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("folder")
    ap.add_argument("layers", type=int)
    ap.add_argument("heads", type=int)
    ap.add_argument("--type", default="int8")
    ap.add_argument("--beam", type=int, default=1)
    ap.add_argument("--batch", type=int, default=32)
    ap.add_argument("--secs", type=float, default=5)
    ap.add_argument("--check", action="store_true")
    ap.add_argument("--tune", action="store_true")
    ap.add_argument("--column", action="store_true")
    ap.add_argument("--singles", type=int, default=0)
    a = ap.parse_args()
    out = f"{a.folder}/ct2-{a.type}"
    vocabulary = write_model(a.folder, out, a.layers, a.heads, a.type)
    if a.tune or a.column or a.singles:
        (tune if a.tune else column if a.column else singles)(a, out, vocabulary)
        return
    translator = ctranslate2.Translator(out, device="cpu", compute_type=a.type, inter_threads=1, intra_threads=1)
    todo = batches(a.folder, a.batch)

    def translate(batch):
        n = len(batch[-1])
        return translator.translate_batch([s + [END] for s in batch], beam_size=a.beam, min_decoding_length=n,
                                          max_decoding_length=n, max_batch_size=0, length_penalty=1)

    if a.check:
        ours = [line.split() for line in open(a.folder + "/answers.txt")]
        theirs = [r.hypotheses[0] for batch in todo for r in translate(batch)]
        same = sum(x == y for x, y in zip(ours, theirs))
        print(f"{same} of {len(theirs)} answers are the same")
        sys.exit(len(ours) != len(theirs) or same < 0.99 * len(theirs))

    times, start = [], time.process_time()
    while len(times) < 3 or time.process_time() - start < a.secs:
        before, done = time.process_time(), 0
        for i in range(len(todo)):
            batch = todo[(i * 7 + 3) % len(todo)]
            translate(batch)
            done += len(batch)
            if time.process_time() - before >= a.secs / 3:
                break
        times.append((time.process_time() - before) / done)
    ms = 1e3 * statistics.median(times)
    print(json.dumps({"who": "CTranslate2", "beam": a.beam, "batch": a.batch, "precision": a.type,
                      "ms": round(ms, 4), "sent_s": round(1e3 / ms, 1)}))


main()
