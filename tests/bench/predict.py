"""The driver of predict.sh, which says what it needs: each in its turn, several rounds, tokens over seconds."""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

PEER = pathlib.Path(__file__).parent / "transformers_tag.py"


def sentences(path, limit):
    blocks = [b for b in pathlib.Path(path).read_text(encoding="utf-8").split("\n\n") if b.strip()]
    return "\n\n".join(blocks[:limit]) + "\n\n"


def make_model(args, where):
    """How fast a model tags does not depend on how well: a few steps make one."""
    few = where / "few.tsv"
    few.write_text(sentences(args.train, 640), encoding="utf-8")
    out = where / "model"
    subprocess.run([args.program, "train", "--model", args.model, "--train", few, "--out", out, "--epochs", "1"],
                   check=True, capture_output=True)
    return out


def nermill(args, model, data, out, precision):
    """Seconds of the whole process, from its start to the last line of its output, and those it says it tagged."""
    start = time.perf_counter()
    with open(out, "wb") as file:
        done = subprocess.run([args.program, "predict", "--model", model, data, "--format", "conll", "--timing",
                               "--threads", str(args.threads), "--precision", precision], check=True, stdout=file,
                              stderr=subprocess.PIPE, text=True)
    whole = time.perf_counter() - start
    tokens, seconds = re.search(r"tagged (\d+) tokens in ([0-9.]+) s", done.stderr).groups()
    return int(tokens), [whole, float(seconds)]


def transformers(args, model, data, out, *flags):
    """Seconds of the model alone, and of all its work behind the imports."""
    result = subprocess.run([sys.executable, str(PEER), "--model", model, "--input", data, "--output", out,
                             "--threads", str(args.threads), *flags], check=True, stdout=subprocess.PIPE, text=True,
                            env={"GOMP_SPINCOUNT": "10000", **os.environ})
    done = json.loads(result.stdout.strip().split("\n")[-1])
    return done["tokens"], [done["seconds"], done["all_seconds"]]


def tags(path):
    """An I- that follows no tag of its type begins an entity, as seqeval reads it and nermill writes it."""
    found, before = [], "O"
    for line in path.read_text(encoding="utf-8").split("\n"):
        tag = line.split()[-1] if line.strip() else "O"
        if line.strip():
            found.append("B" + tag[1:] if tag[0] == "I" and before[2:] != tag[2:] else tag)
        before = tag
    return found


class Row:
    """One program's way of being timed."""

    def __init__(self, name):
        self.name, self.seconds = name, []

    def mean(self, tokens):
        return tokens * len(self.seconds) / sum(self.seconds)

    def median(self, tokens):
        return tokens / statistics.median(self.seconds)


def print_table(rows, same, tokens):
    mine = rows[0]
    print(f"{'':48} {'tokens/s':>9} {'median':>7} {'nermill fp32 is':>16} {'median':>8}  same tags  each round")
    for i, row in enumerate(rows):
        mean, median = row.mean(tokens), row.median(tokens)
        print(f"{row.name:48} {mean:9.0f} {median:7.0f} {mine.mean(tokens) / mean:14.2f} x "
              f"{mine.median(tokens) / median:6.2f} x {same[i // 2]:10.3%}  "
              f"{' '.join(f'{tokens / s:.0f}' for s in row.seconds)}")
    print()


def print_figures(rows, tokens):
    """Headline: nermill's whole process against the model alone; tagging_: both without loading and printing."""
    pairs = [("ratio_vs_transformers_sorted_fp32", 0, 4), ("tagging_ratio_vs_transformers_sorted_fp32", 1, 4),
             ("bf16_ratio_vs_transformers_sorted_bf16", 2, 6), ("tagging_bf16_ratio_vs_transformers_sorted_bf16", 3, 6),
             ("bf16_ratio_vs_transformers_sorted_fp32", 2, 4)]
    for metric, a, b in pairs:
        for suffix, rate in [("", Row.mean), ("_median", Row.median)]:
            value = round(rate(rows[a], tokens) / rate(rows[b], tokens), 3)
            print(json.dumps({"bench": "predict", "metric": metric + suffix, "value": value, "unit": "x"}))


def main():
    p = argparse.ArgumentParser()
    for name in ["--program", "--model", "--train", "--input"]:
        p.add_argument(name, required=True)
    p.add_argument("--sentences", type=int, default=2000)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--quick", action="store_true", help="one round of few sentences: does it run?")
    args = p.parse_args()
    if args.quick:
        args.sentences, args.rounds = 200, 1
    load = os.getloadavg()[0]
    turns = [("nermill, fp32", nermill, "fp32"), ("nermill, bf16", nermill, "bf16"),
             ("transformers, sorted batches, fp32", transformers), ("the same, bf16 autocast", transformers, "--bf16")]
    ways = {nermill: ("whole process", "tagging"), transformers: ("model alone", "with loading")}
    rows = [Row(f"{name}: {way}") for name, run, *_ in turns for way in ways[run]]
    with tempfile.TemporaryDirectory() as scratch:
        where = pathlib.Path(scratch)
        model, data = make_model(args, where), where / "data.tsv"
        data.write_text(sentences(args.input, args.sentences), encoding="utf-8")
        outs = [where / f"{i}.tsv" for i in range(len(turns))]
        for _ in range(args.rounds):
            counts = []
            for i, (_, run, *flags) in enumerate(turns):
                tokens, seconds = run(args, model, data, outs[i], *flags)
                counts.append(tokens)
                for row, s in zip(rows[2 * i:], seconds):
                    row.seconds.append(s)
            if len(set(counts)) > 1:
                sys.exit(f"predict.py: not the same tokens: {counts}")
        tagged = [tags(out) for out in outs]
    if len(tagged[0]) != len(tagged[2]):
        sys.exit(f"predict.py: {len(tagged[0])} words tagged by nermill, {len(tagged[2])} by transformers")
    same = [sum(a == b for a, b in zip(t, tagged[2])) / len(t) for t in tagged]
    if same[0] < 0.999:
        sys.exit(f"predict.py: only {same[0]:.2%} of the tags are those of transformers")
    print(f"MiniLM-L6, {args.sentences} sentences of {pathlib.Path(args.input).parent.name}, {tokens} tokens; "
          f"{args.threads} threads, {args.rounds} rounds; load average {load:.1f} at the start\n"
          "whole process: from its start to its end; tagging: from words to tags; model alone: from ids to tags;\n"
          "with loading: model and tokenizer loaded, text tokenised, tags written, without Python's imports\n")
    print_table(rows, same, tokens)
    print_figures(rows, tokens)


if __name__ == "__main__":
    main()
