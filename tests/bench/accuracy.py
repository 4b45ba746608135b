"""The driver of accuracy.sh, which says what it needs: one recipe, several seeds, nermill and transformers."""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

PEER = pathlib.Path(__file__).parent / "transformers_train.py"
ROWS = {"nermill_fp32": "nermill, fp32", "nermill_bf16": "nermill, bf16", "transformers_fp32": "transformers, fp32, length-grouped"}
COLOURS = {"nermill_fp32": "#2563eb", "nermill_bf16": "#16a34a", "transformers_fp32": "#d97706"}
STRETCH = 20  # steps whose mean loss is a point of the curve


def nermill(args, seed, precision, out):
    subprocess.run([args.program, "train", "--model", args.model, "--train", args.train, "--gold", args.gold, "--out", str(out),
                    "--batch", "32", "--lr", "5e-4", "--precision", precision, "--seed", str(seed), "--threads", str(args.threads)],
                   check=True, stdout=subprocess.DEVNULL)
    card = json.loads((out / "nermill.json").read_text())
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    points = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    return {**{k: card["scores"][k] for k in ("precision", "recall", "f1")}, "losses": card["training"]["losses"],
            "curve": means(points)}


def means(points):
    """Of each STRETCH steps the mean; a point of a log may stand for several steps already."""
    parts = {}
    for step, loss in points:
        parts.setdefault(-(-step // STRETCH), []).append(loss)
    return [(part * STRETCH, statistics.mean(losses)) for part, losses in sorted(parts.items())]


def transformers(args, seed):
    done = subprocess.run([sys.executable, str(PEER), "--model", args.model, "--train", args.train, "--gold", args.gold,
                           "--mode", "grouped", "--seed", str(seed), "--threads", str(args.threads)], check=True,
                          capture_output=True, text=True, env={"GOMP_SPINCOUNT": "10000", **os.environ})
    result = json.loads(done.stdout.splitlines()[-1])
    curve = [(int(step), float(loss)) for step, loss in re.findall(r"(?m)^step (\d+)/\d+ loss ([\d.]+)", done.stderr)]
    return {**{k: result[k] for k in ("precision", "recall", "f1", "losses")}, "curve": curve}


def measure(args, row, seed):
    kept = args.dir / f"{row}-{seed}.json"
    if not kept.exists():
        result = (transformers(args, seed) if row == "transformers_fp32" else
                  nermill(args, seed, row.rpartition("_")[2], args.dir / f"{row}-{seed}"))
        part = kept.with_suffix(".part")
        part.write_text(json.dumps(result))
        part.rename(kept)
    result = json.loads(kept.read_text())
    print(f"{row} {seed}: F1 {result['f1']:.4f}", file=sys.stderr)
    return result


def draw(curves, path):
    """Curves {row: [(step, loss)]} as an SVG that stands by itself."""
    width, height, left, bottom, top = 720, 360, 56, 40, 16
    x_max = max(x for c in curves.values() for x, _ in c)
    y_max = max(y for c in curves.values() for _, y in c)
    place = lambda x, y: (left + x / x_max * (width - left - 16), top + (1 - y / y_max) * (height - bottom - top))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for i in range(6):
        (x, y), base = place(i / 5 * x_max, i / 5 * y_max), height - bottom
        parts += [f'<path stroke="#ddd" d="M{left} {y:.1f}H{width - 16}"/>',
                  f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{i / 5 * y_max:.2f}</text>',
                  f'<text x="{x:.1f}" y="{base + 18}" text-anchor="middle">{i / 5 * x_max:.0f}</text>']
    for i, (row, curve) in enumerate(curves.items()):
        points = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in curve)
        parts += [f'<polyline fill="none" stroke="{COLOURS[row]}" stroke-width="1.5" points="{points}"/>',
                  f'<text x="{width - 240}" y="{top + 18 + 18 * i}" fill="{COLOURS[row]}">{ROWS[row]}</text>']
    parts.append(f'<text x="{width / 2}" y="{height - 4}" text-anchor="middle">step (mean loss of {STRETCH})</text></svg>')
    path.write_text("\n".join(parts) + "\n")


def spread(values):
    """Mean and its standard error."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0
    return statistics.mean(values), error


def main():
    p = argparse.ArgumentParser()
    for name in ("program", "model", "train", "gold"):
        p.add_argument(f"--{name}", required=True)
    p.add_argument("--dir", type=pathlib.Path, required=True)
    p.add_argument("--seeds", nargs="+", type=str, required=True)
    p.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="these alone")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    args = p.parse_args()
    seeds = [int(seed) for text in args.seeds for seed in text.split()]
    results = {row: [measure(args, row, seed) for seed in seeds] for row in args.rows}
    draw({row: of_seeds[0]["curve"] for row, of_seeds in results.items()}, args.dir / "curves.svg")
    print("| | " + " | ".join(str(seed) for seed in seeds) + " | mean F1 ± its standard error | mean P | mean R |")
    print("| --- |" + " --- |" * (len(seeds) + 3))
    for row, of_seeds in results.items():
        f1, error = spread([r["f1"] for r in of_seeds])
        print(f"| {ROWS[row]} | " + " | ".join(f"{r['f1']:.4f}" for r in of_seeds) + f" | {f1:.4f} ± {error:.4f} | " +
              " | ".join(f"{statistics.mean(r[k] for r in of_seeds):.4f}" for k in ("precision", "recall")) + " |")
    for row, of_seeds in results.items():
        f1, error = spread([r["f1"] for r in of_seeds])
        print(json.dumps({"bench": "accuracy", "metric": f"{row}_f1", "value": round(f1, 4), "error": round(error, 4), "unit": "F1"}))


if __name__ == "__main__":
    main()
