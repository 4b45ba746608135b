"""The driver of train.sh, which says what it needs: each in its turn, several rounds, tokens over seconds."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

PEER = pathlib.Path(__file__).parent / "transformers_train.py"
STOPPED = 130  # nermill-trainer's exit code when --max-steps ends it with a checkpoint


def nermill(args, steps):
    with tempfile.TemporaryDirectory() as out:
        command = [args.program, "train", "--model", args.model, "--train", args.train, "--out", out,
                   "--max-steps", str(steps), "--threads", str(args.threads)]
        result = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if result.returncode != STOPPED:
            sys.exit(f"train.py: {' '.join(command)}: exit code {result.returncode}: {result.stderr[-500:]}")
        state = json.loads((pathlib.Path(out) / "checkpoint.json").read_text())
    return state["tokens"], state["seconds"]


def transformers(args, steps, *flags):
    # Its threads spin while they wait; on a machine that does anything else that costs up to 90 % of the rate, so
    # they get the setting that nermill-trainer gives itself.
    command = [sys.executable, str(PEER), "--model", args.model, "--train", args.train, "--gold", args.gold,
               "--max-steps", str(steps), "--threads", str(args.threads), *flags]
    environment = {"GOMP_SPINCOUNT": "10000", **os.environ}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if result.returncode != 0:
        sys.exit(f"train.py: {' '.join(command)}: {result.stderr[-500:]}")
    done = json.loads(result.stdout.strip().split("\n")[-1])
    return done["train_tokens_per_s"] * done["train_seconds"], done["train_seconds"]


RUNS = [
    ("nermill, fp32", lambda a, n: nermill(a, n)),
    ("transformers, default padding, fp32", lambda a, n: transformers(a, n, "--mode", "default")),
    ("transformers, length-grouped + fused AdamW, fp32", lambda a, n: transformers(a, n, "--mode", "grouped")),
    ("transformers, the same, bf16 autocast", lambda a, n: transformers(a, n, "--mode", "grouped", "--bf16")),
]
METRICS = ["ratio_vs_transformers_default_fp32", "ratio_vs_transformers_grouped_fp32",
           "fp32_ratio_vs_transformers_grouped_bf16"]


def main():
    p = argparse.ArgumentParser()
    for name in ["--program", "--model", "--train", "--gold"]:
        p.add_argument(name, required=True)
    p.add_argument("--steps", type=int, default=40)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    args = p.parse_args()
    load = os.getloadavg()[0]
    tokens, seconds = [0.0] * len(RUNS), [0.0] * len(RUNS)
    rounds = [[] for _ in RUNS]
    for _ in range(args.rounds):
        for i, (_, run) in enumerate(RUNS):
            n, s = run(args, args.steps)
            tokens[i] += n
            seconds[i] += s
            rounds[i].append(n / s)
    rates = [n / s for n, s in zip(tokens, seconds)]
    print(f"MiniLM-L6, BC5CDR, batch 32, {args.threads} threads, {args.rounds} rounds of {args.steps} steps; "
          f"load average {load:.1f} at the start\n")
    print(f"{'':50} {'tokens/s':>9}  nermill is  each round")
    for (name, _), rate, each in zip(RUNS, rates, rounds):
        print(f"{name:50} {rate:9.0f}  {rates[0] / rate:8.2f} x  {' '.join(f'{r:.0f}' for r in each)}")
    for metric, rate in zip(METRICS, rates[1:]):
        print(json.dumps({"bench": "train", "metric": metric, "value": round(rates[0] / rate, 3), "unit": "x"}))


if __name__ == "__main__":
    main()
