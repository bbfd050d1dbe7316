#!/usr/bin/env python3
"""Measured target tokens a second beside what a GPU allows, as a table.

    roofline.py NAME FILE.jsonl

What a target token costs with its source token: 6 FLOP a weight that it meets
(forward, and two products backward), and bytes of activations moved, taken as
1.7 MB for 6+6 layers of width 512 in 16 bits and in proportion to layers and
width; activations are kept in float32 here, so twice that.  The bound assumes
that computing and moving do not overlap.  The GPUs' figures are their makers'.
"""
import json
import sys

# dense TFLOP/s in 16 bits, TF32 and float32; TB/s
GPUS = {
    'H200': (989, 495, 67, 4.8), 'H100': (989, 495, 67, 3.35), 'A100': (312, 156, 19.5, 2.0),
    '4090': (165, 83, 83, 1.0), '3090': (71, 36, 36, 0.94), 'T4': (65, 8.1, 8.1, 0.32),
}
# layers, width, feed-forward, vocabulary
SHAPES = {'tiny': (4, 128, 256, 8000), 'base': (6, 512, 1024, 8000), 'deep': (12, 256, 1024, 8000),
          'wide': (6, 512, 2048, 32000)}
COLUMN = {'bfloat16': 0, 'float16': 0, 'tf32': 1, 'float32': 2}


def bound(gpu, shape, precision):
    layers, width, inner, vocabulary = SHAPES[shape]
    weights = layers * (12 * width * width + 4 * width * inner) + vocabulary * width
    moved = 2 * 1.7e6 * layers * width / (6 * 512)
    return 1 / (6 * weights / (gpu[COLUMN[precision]] * 1e12) + moved / (gpu[3] * 1e12))


def main():
    gpu = next((figures for name, figures in GPUS.items() if name in sys.argv[1]), None)
    print('| shape | precision | tokens a batch | target tokens/s | bound | share |')
    print('|---|---|---|---|---|---|')
    with open(sys.argv[2]) as file:
        for row in map(json.loads, file):
            if gpu is None:
                limit, share = '', ''
            else:
                most = bound(gpu, row['shape'], row['precision'])
                limit, share = f'{most:.0f}', f'{100 * row["tok_s"] / most:.0f} %'
            print(f'| {row["shape"]} | {row["precision"]} | {row["tokens"]} | {row["tok_s"]:.0f} | {limit} | {share} |')


main()
