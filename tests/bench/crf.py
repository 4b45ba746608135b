#!/usr/bin/env python3
"""See crf.sh."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

DATA = pathlib.Path(os.environ["NERMILL_DATA"]) / "bc5cdr"


def run(*args):
    return subprocess.run([str(a) for a in args], check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(trainer, work, train, epochs, seed, crf):
    """(arm, F1, F1 by IOB2's letter, calibration error, tokens/s) of each way to take its tags."""
    out = work / f"{crf}-{seed}"
    run(trainer, "train", "--model", os.environ["NERMILL_ENCODER"], "--train", train, "--out", out, "--epochs", epochs, "--seed",
        seed, "--batch", "16", "--lr", "5e-4", "--crf", crf)
    speed = json.loads((out / "nermill.json").read_text())["training"]["tokens_per_s"]
    gold = DATA / "devel.tsv"
    scores = json.loads(run(trainer, "evaluate", "--model", out, "--gold", gold, "--json"))
    rows = [("crf" if crf == "on" else "words", scores["f1"], scores["iob2_strict"]["f1"], scores["calibration"]["error"], speed)]
    if crf == "off":
        scores = json.loads(run(trainer, "evaluate", "--model", out, "--gold", gold, "--constrained", "--json"))
        rows.append(("constrained", scores["f1"], scores["iob2_strict"]["f1"], scores["calibration"]["error"], speed))
    return rows


def main():
    trainer, sentences = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 500
    epochs, seeds = sys.argv[3] if len(sys.argv) > 3 else "10", sys.argv[4:] or ["13"]
    with tempfile.TemporaryDirectory(prefix="nermill-crf-") as directory:
        work = pathlib.Path(directory)
        train = work / "gold.tsv"
        train.write_text("\n\n".join((DATA / "train.tsv").read_text().split("\n\n")[:sentences]) + "\n")
        rows = [(seed, *row) for seed in seeds for crf in ("off", "on")
                for row in measure(trainer, work, train, epochs, seed, crf)]
    print("  seed  tags            F1  by letter  calibration  tokens/s")
    for seed, arm, f1, strict, error, speed in rows:
        print(f"{seed:>6}  {arm:<11} {f1:.4f}     {strict:.4f}       {error:.4f}  {speed:8.0f}")
    for arm in ("words", "constrained", "crf"):
        values = [row[2] for row in rows if row[1] == arm]
        print(json.dumps({"bench": "crf", "metric": f"f1_{arm}", "value": round(sum(values) / len(values), 4), "unit": "F1"}))


if __name__ == "__main__":
    main()
