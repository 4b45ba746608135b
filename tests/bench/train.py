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

# ratios: metric, row, the row that it is compared with
MINILM = {"name": "MiniLM-L6, BC5CDR, batch 32", "layers": 6, "hidden": 384, "inner": 1536, "prefix": "", "ratios": [
    ("ratio_vs_transformers_default_fp32", 0, 2), ("ratio_vs_transformers_grouped_fp32", 0, 3),
    ("fp32_ratio_vs_transformers_grouped_bf16", 0, 4), ("ratio_vs_transformers_grouped_bf16", 1, 4)]}
BASE = {"name": "BERT-base's shape, random weights, 32 x 36 tokens", "layers": 12, "hidden": 768, "inner": 3072,
        "prefix": "bert_base_", "ratios": [("bert_base_ratio_vs_transformers_fp32", 0, 2),
                                           ("bert_base_ratio_vs_transformers_bf16", 1, 3)]}


def run(command, ok=0, environment=None):
    """Output, CPU seconds, and the most memory that the process had in MB."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        if process.returncode != ok:
            sys.exit(f"train.py: {' '.join(command)}: exit code {process.returncode}: {err.read()[-500:]}")
        return out.read(), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def nermill(precision):
    def measure(args):
        with tempfile.TemporaryDirectory() as out:
            _, cpu, memory = run([args.program, "train", "--model", args.model, "--train", args.train, "--out", out,
                             "--batch", "32", "--lr", "5e-4", "--max-steps", str(args.steps), "--threads", str(args.threads),
                             "--precision", precision], STOPPED)
            state = json.loads((pathlib.Path(out) / "checkpoint.json").read_text())
        return state["tokens"], state["seconds"], cpu, memory
    return measure


def nermill_base(precision):
    def measure(args):
        out, cpu, memory = run([args.train_step, "base", str(args.base_steps), "32", "=36", str(args.threads), precision])
        done = json.loads(out.strip().split("\n")[-1])
        return done["tokens"], done["seconds"], cpu, memory
    return measure


def transformers(*flags):
    # Its threads spin while they wait; on a machine that does anything else that costs up to 90 % of the rate, so
    # they get the setting that nermill-trainer gives itself.
    def measure(args):
        steps = args.base_steps if "--shape" in flags else args.steps
        out, _, memory = run([sys.executable, str(PEER), "--model", args.model, "--train", args.train, "--gold", args.gold,
                           "--max-steps", str(steps), "--untimed", str(args.untimed), "--threads",
                           str(args.threads), *flags],
                          environment={"GOMP_SPINCOUNT": "10000", **os.environ})
        done = json.loads(out.strip().split("\n")[-1])
        return (done["train_tokens_per_s"] * done["train_seconds"], done["train_seconds"], done["train_cpu_seconds"],
                memory)
    return measure


GROUPED = "transformers, length-grouped + fused AdamW, "
SETS = [  # nermill's two rows first
    (MINILM, [("nermill, fp32", nermill("fp32")),
              ("nermill, bf16", nermill("bf16")),
              ("transformers, default padding, fp32", transformers("--mode", "default")),
              (GROUPED + "fp32", transformers("--mode", "grouped")),
              (GROUPED + "bf16 autocast", transformers("--mode", "grouped", "--bf16"))]),
    (BASE, [("nermill, fp32", nermill_base("fp32")),
            ("nermill, bf16", nermill_base("bf16")),
            ("transformers, fused AdamW, fp32", transformers("--mode", "grouped", "--shape", "base")),
            ("transformers, fused AdamW, bf16 autocast", transformers("--mode", "grouped", "--shape", "base", "--bf16"))]),
]


def sgemm_peak(args, shape, rows):
    out, _, _ = run([args.train_step, "sgemm", str(shape["hidden"]), str(shape["inner"]), str(rows), str(args.threads)])
    return json.loads(out)["gflops"]


def flops_per_token(shape):
    h, m = shape["hidden"], shape["inner"]
    return 6 * shape["layers"] * (4 * h * h + 2 * h * m)


def metric(name, value, unit):
    print(json.dumps({"bench": "train", "metric": name, "value": round(value, 3), "unit": unit}))


def measure(args, shape, rows):
    """Rates of all rounds together, by the clock and by CPU time, each round's, memory, and the best rate of plain matrix
    products."""
    tokens, seconds, cpu = [0.0] * len(rows), [0.0] * len(rows), [0.0] * len(rows)
    rounds, memory, peak = [[] for _ in rows], [0.0] * len(rows), 0.0
    for _ in range(args.rounds):
        for i, (_, one) in enumerate(rows):
            n, s, c, mb = one(args)
            tokens[i] += n
            seconds[i] += s
            cpu[i] += c
            rounds[i].append(n / s)
            memory[i] = max(memory[i], mb)
        peak = max(peak, sgemm_peak(args, shape, round(tokens[0] / len(rounds[0]) / (
            args.base_steps if shape is BASE else args.steps))))
    by_cpu = [n / c for n, c in zip(tokens, cpu)]
    return [n / s for n, s in zip(tokens, seconds)], by_cpu, rounds, memory, peak


def report(args, shape, rows):
    rates, by_cpu, rounds, memory, peak = measure(args, shape, rows)
    share = rates[0] * flops_per_token(shape) / (peak * 1e9)
    fp32, bf16 = rates[:2]
    print(f"{shape['name']}: {args.threads} threads, {args.rounds} rounds\n")
    print(f"{'':58} {'tokens/s':>9} {'fp32 is':>9} {'bf16 is':>9} {'memory':>9} {'a CPU s':>8}  each round")
    for (name, _), rate, each, mb, c in zip(rows, rates, rounds, memory, by_cpu):
        print(f"{name:58} {rate:9.0f} {fp32 / rate:7.2f} x {bf16 / rate:7.2f} x {mb:6.0f} MB {c:8.0f}  "
              f"{' '.join(f'{r:.0f}' for r in each)}")
    print("\na CPU s: tokens a second of CPU time, of all threads together; nermill's with loading model and data")
    print(f"OpenBLAS's sgemm at these shapes: {peak:.0f} GFLOP/s; fp32 training is {share:.0%} of it\n")
    prefix = shape["prefix"]
    lines = [(name, rates[a] / rates[b], "x") for name, a, b in shape["ratios"]]
    lines += [(prefix + "share_of_sgemm_peak", share, "x"), (prefix + "memory_mb", memory[0], "MB"),
              (prefix + "memory_ratio_vs_transformers", memory[0] / min(memory[2:]), "x")]
    return lines


def main():
    p = argparse.ArgumentParser()
    for name in ["--program", "--train-step", "--model", "--train", "--gold"]:
        p.add_argument(name, required=True)
    p.add_argument("--steps", type=int, default=30)
    p.add_argument("--untimed", type=int, default=3, help="steps of transformers before its clock starts")
    p.add_argument("--base-steps", type=int, default=4)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--quick", action="store_true", help="one round of a few steps: does it run?")
    args = p.parse_args()
    if args.quick:
        args.steps, args.base_steps, args.rounds, args.untimed = 6, 1, 1, 0
    print(f"load average {os.getloadavg()[0]:.1f} at the start\n")
    lines = [line for shape, rows in SETS for line in report(args, shape, rows)]
    print(f"load average {os.getloadavg()[0]:.1f} at the end\n")
    for line in lines:
        metric(*line)


if __name__ == "__main__":
    main()
