#!/usr/bin/env python3
"""Write test/unit/data/bootstrap.txt: what sacreBLEU's paired bootstrap says of
two systems, with the sentences that it has drawn.

    pip install sacrebleu
    python3 test/unit/make_bootstrap_fixture.py > test/unit/data/bootstrap.txt

A group is two systems: a head line "b SENTENCES SAMPLES NAME"; for each
sentence lines "r TEXT", "1 TEXT", "2 TEXT"; for each resample a line "i" with
the sentences drawn; then for each measure a line
"m MEASURE SCORE1 SCORE2 MARGIN1 MARGIN2 P LOWER UPPER MANY_P", where all but
the last are of those resamples, and MANY_P of 5000 others.
"""
import sys

import random
import numpy as np
import sacrebleu
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest, _bootstrap_resample

from make_score_fixture import escape, perturb, sentence

SENTENCES = 40
SAMPLES = 80
SEED = 12345                    # sacreBLEU's default


def paired(first, second, references, samples):
    metrics = {"BLEU": BLEU(), "chrF2": CHRF()}
    test = PairedTest([("first", first), ("second", second)], metrics, [references],
                      test_type="bs", n_samples=samples)
    _, scores = test()
    return scores


def resampled(metric, hypotheses, references):
    """The scores of sacreBLEU's resamples, of which it prints only the spread."""
    stats = metric._extract_corpus_statistics(hypotheses, [references])
    _, scores = _bootstrap_resample(stats, metric, SAMPLES)
    return np.array([s.score for s in scores])


def write(name, first, second, references):
    print("b", len(references), SAMPLES, name)
    for r, a, b in zip(references, first, second):
        print("r", escape(r))
        print("1", escape(a))
        print("2", escape(b))
    drawn = np.random.default_rng(SEED).choice(len(references), size=(SAMPLES, len(references)), replace=True)
    for row in drawn:
        print("i", *row)
    few = paired(first, second, references, SAMPLES)
    many = paired(first, second, references, 5000)
    for measure, metric in (("BLEU", BLEU()), ("chrF2", CHRF())):
        one, two = few[measure]
        difference = np.sort(resampled(metric, second, references) - resampled(metric, first, references))
        out = SAMPLES // 40
        print("m", {"BLEU": "bleu", "chrF2": "chrf"}[measure], *(repr(float(x)) for x in (
            one.score, two.score, one.ci, two.ci, two.p_value, difference[out], difference[SAMPLES - out - 1],
            many[measure][1].p_value)))


def main():
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    rng = random.Random(7)
    references = [sentence(rng) for _ in range(SENTENCES)]
    middling = [perturb(rng, r, 0.3) for r in references]
    print("# sacreBLEU", sacrebleu.__version__, "- written by make_bootstrap_fixture.py")
    write("better", middling, [perturb(rng, r, 0.1) for r in references], references)
    write("alike", middling, [perturb(rng, r, 0.3) for r in references], references)
    write("a little worse", middling, [perturb(rng, r, 0.4) for r in references], references)
    write("the same", middling, middling, references)


if __name__ == "__main__":
    main()
