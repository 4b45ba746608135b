#!/usr/bin/env python3
"""Writes data/metrics.txt: random tag sequences and what seqeval makes of them.

usage: make_metrics.py      Needs: seqeval (1.2.2 made the committed file).

A line "s GOLD PREDICTED" is one sentence, a letter a tag: O is ".", B- of type t is "ABCD"[t], I- is "abcd"[t].
A line "= N P R F1 tp pred gold" ends a group: micro scores of the N sentences before it, then for each type
"t TYPE P R F1 SUPPORT", and "i P R F1": micro scores of seqeval's strict mode under IOB2.
"""
import pathlib
import random
import warnings

from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support
from seqeval.metrics.v1 import precision_recall_fscore_support as strict_scores
from seqeval.scheme import IOB2

TYPES = ["ALPHA", "BETA", "DELTA", "GAMMA"]
TAGS = ["O"] + [f"{p}-{t}" for t in TYPES for p in "BI"]
LETTER = dict(zip(TAGS, ".AaBbCcDd"))


def sentence(rng, n):
    """Runs of one tag and chance: orphans, type changes and neighbours all come up."""
    tags = []
    while len(tags) < n:
        tags += [rng.choice(TAGS)] * rng.choice([1, 1, 1, 2, 3])
    return tags[:n]


def disturb(rng, tags):
    rate = rng.choice([0, 0.1, 0.3, 1])
    return [rng.choice(TAGS) if rng.random() < rate else tag for tag in tags]


def main():
    warnings.simplefilter("ignore")
    rng = random.Random(7)
    with open(pathlib.Path(__file__).parent / "data" / "metrics.txt", "w", encoding="ascii") as out:
        for _ in range(150):
            gold = [sentence(rng, rng.randint(1, 18)) for _ in range(rng.choice([1, 5, 40]))]
            predicted = [disturb(rng, tags) for tags in gold]
            for g, p in zip(gold, predicted):
                out.write("s " + "".join(LETTER[t] for t in g) + " " + "".join(LETTER[t] for t in p) + "\n")
            p, r, f, _ = precision_recall_fscore_support(gold, predicted, average="micro")
            pairs = [(set(get_entities(g)), set(get_entities(q))) for g, q in zip(gold, predicted)]
            counts = [sum(len(g & q) for g, q in pairs), sum(len(q) for _, q in pairs), sum(len(g) for g, _ in pairs)]
            out.write(f"= {len(gold)} {p:.12f} {r:.12f} {f:.12f} {counts[0]} {counts[1]} {counts[2]}\n")
            p, r, f, _ = strict_scores(gold, predicted, average="micro", scheme=IOB2)
            out.write(f"i {p:.12f} {r:.12f} {f:.12f}\n")
            names = sorted({e[0] for g, q in pairs for e in g | q})
            for name, *scores in zip(names, *precision_recall_fscore_support(gold, predicted, average=None)):
                out.write(f"t {TYPES.index(name)} {scores[0]:.12f} {scores[1]:.12f} {scores[2]:.12f} {scores[3]}\n")


if __name__ == "__main__":
    main()
