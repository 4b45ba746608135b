"""The driver of predict.sh, which says what it needs: each in its turn, several rounds, tokens over seconds."""
import argparse
import json
import os
import pathlib
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
    """The whole process: from its start to the last line of its output."""
    start = time.perf_counter()
    with open(out, "wb") as file:
        subprocess.run([args.program, "predict", "--model", model, data, "--format", "conll",
                        "--threads", str(args.threads), "--precision", precision], check=True, stdout=file)
    return time.perf_counter() - start


def transformers(args, model, data, out, *flags):
    result = subprocess.run([sys.executable, str(PEER), "--model", model, "--input", data, "--output", out,
                             "--threads", str(args.threads), *flags], check=True, stdout=subprocess.PIPE, text=True,
                            env={"GOMP_SPINCOUNT": "10000", **os.environ})
    done = json.loads(result.stdout.strip().split("\n")[-1])
    return done["tokens"], done["seconds"]


def tags(path):
    return [line.split()[-1] for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def main():
    p = argparse.ArgumentParser()
    for name in ["--program", "--model", "--train", "--input"]:
        p.add_argument(name, required=True)
    p.add_argument("--sentences", type=int, default=2000)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--quick", action="store_true", help="one round of few sentences: does it run?")
    args = p.parse_args()
    if args.quick:
        args.sentences, args.rounds = 200, 1
    load = os.getloadavg()[0]
    names = ["nermill, fp32", "nermill, bf16", "transformers, sorted batches, fp32", "the same, bf16 autocast"]
    seconds, rounds = [0.0] * 4, [[] for _ in names]
    with tempfile.TemporaryDirectory() as scratch:
        where = pathlib.Path(scratch)
        model, data = make_model(args, where), where / "data.tsv"
        data.write_text(sentences(args.input, args.sentences), encoding="utf-8")
        outs = [where / f"{i}.tsv" for i in range(4)]
        for _ in range(args.rounds):
            taken = [nermill(args, model, data, outs[0], "fp32"), nermill(args, model, data, outs[1], "bf16")]
            for i, flags in [(2, []), (3, ["--bf16"])]:
                tokens, s = transformers(args, model, data, outs[i], *flags)
                taken.append(s)
            for i, s in enumerate(taken):
                seconds[i] += s
                rounds[i].append(tokens / s)
        tagged = [tags(out) for out in outs]
    rates = [tokens * args.rounds / s for s in seconds]
    if len(tagged[0]) != len(tagged[2]):
        sys.exit(f"predict.py: {len(tagged[0])} words tagged by nermill, {len(tagged[2])} by transformers")
    same = [sum(a == b for a, b in zip(t, tagged[2])) / len(t) for t in tagged]
    if same[0] < 0.999:
        sys.exit(f"predict.py: only {same[0]:.2%} of the tags are those of transformers")
    print(f"MiniLM-L6, {args.sentences} sentences of {pathlib.Path(args.input).parent.name}, {tokens} tokens; "
          f"{args.threads} threads, {args.rounds} rounds; load average {load:.1f} at the start\n"
          "nermill's seconds are the whole process's, transformers' those of the model alone\n")
    print(f"{'':36} {'tokens/s':>9} {'fp32 is':>9} {'bf16 is':>9}  same tags  each round")
    for name, rate, each, s in zip(names, rates, rounds, same):
        print(f"{name:36} {rate:9.0f} {rates[0] / rate:7.2f} x {rates[1] / rate:7.2f} x {s:10.3%}  "
              f"{' '.join(f'{r:.0f}' for r in each)}")
    print()
    for metric, value in [("ratio_vs_transformers_sorted_fp32", rates[0] / rates[2]),
                          ("bf16_ratio_vs_transformers_sorted_bf16", rates[1] / rates[3]),
                          ("bf16_ratio_vs_transformers_sorted_fp32", rates[1] / rates[2])]:
        print(json.dumps({"bench": "predict", "metric": metric, "value": round(value, 3), "unit": "x"}))


if __name__ == "__main__":
    main()
