"""What sentences_per_call does with a real model (tests/bench/sentences.sh): sentences.py BIN SAMPLES."""

import json
import os
import pathlib
import sys
import tempfile

import strategies

COUNTS = (1, 3, 5)
ARMS = (("free", "attempts: 1, constrain: never"), ("constrained", "attempts: 1, constrain: always"))


def main():
    bin_dir, samples = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    model = pathlib.Path(os.environ["NERMILL_GGUF"]).stem
    with tempfile.TemporaryDirectory(prefix="nermill-bench-") as name:
        directory = pathlib.Path(name)
        strategies.lists(bin_dir, directory)
        server, url = strategies.start_llm(directory)
        rows = []
        try:
            for arm, keys in ARMS:
                for count in COUNTS:
                    path = strategies.project(directory, url, f"{arm}-{count}", f"{keys}, sentences_per_call: {count}",
                                              120 * count)
                    accepted, calls, seconds, rules = strategies.measure(bin_dir, path, samples)
                    print(f"{arm}, {count} a call: {accepted} of {samples} in {seconds:.0f} s, {calls} calls, {rules}", flush=True)
                    rows.append((arm, count, accepted, calls, seconds))
        finally:
            server.terminate()
            server.wait()
    print(f"\n{model}, {samples} sentences each, one attempt, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("| | sentences a call | accepted share | calls an accepted sample | samples/min |")
    print("| --- | --- | --- | --- | --- |")
    figures = []
    for arm, count, accepted, calls, seconds in rows:
        each = calls / accepted if accepted else float("inf")
        print(f"| {arm} | {count} | {accepted / samples:.2f} | {each:.2f} | {60 * accepted / seconds:.1f} |")
        figures += [(f"{arm}_{count}_accepted_share", accepted / samples), (f"{arm}_{count}_samples_per_min", 60 * accepted / seconds)]
    for metric, value in figures:
        print(json.dumps({"bench": "sentences", "metric": f"{model}_{metric}", "value": round(value, 3),
                          "unit": "1/min" if metric.endswith("per_min") else "1"}))


if __name__ == "__main__":
    main()
