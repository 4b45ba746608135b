"""Each strategy on the same tasks (tests/bench/strategies.sh): strategies.py BIN SAMPLES."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
STRATEGIES = [
    # name, generation keys, what is shown
    ("free", "attempts: 1, constrain: never", "asked freely, one attempt"),
    ("corrective", "attempts: 3, constrain: never", "free, then two corrective retries"),
    ("last", "attempts: 3, constrain: last", "free, corrective, constrained"),
    ("constrained", "attempts: 3, constrain: always", "constrained at once (grammar)"),
    ("markup", "attempts: 3, constrain: always, mode: markup", "the same in markup mode"),
]
SEED = 13


def lists(bin_dir, directory):
    """The entity lists of BC5CDR's train part, in natural text."""
    corpus = pathlib.Path(os.environ["NERMILL_DATA"]) / "bc5cdr" / "train.tsv"
    done = subprocess.run([f"{bin_dir}/nermill", "import", str(corpus), "--format", "conll"], capture_output=True, text=True,
                          check=True)
    found = {"Chemical": {}, "Disease": {}}
    for line in done.stdout.splitlines():
        sample = json.loads(line)
        for entity in sample["entities"]:
            found[entity["type"]].setdefault(sample["text"][entity["start"]:entity["end"]].casefold(),
                                             sample["text"][entity["start"]:entity["end"]])
    both = set(found["Chemical"]) & set(found["Disease"])  # an entity has one type
    for kind, names in found.items():
        kept = [name for key, name in names.items() if key not in both]
        (directory / f"{kind}.txt").write_text("\n".join(kept) + "\n", encoding="utf-8")
        print(f"{len(kept)} names of type {kind}")


def start_llm(directory):
    port_file = directory / "llm.port"
    server = subprocess.Popen([os.environ["NERMILL_PYTHON"], str(ROOT / "deploy" / "llm_server.py"), "--model",
                               os.environ["NERMILL_GGUF"], "--port-file", str(port_file), "--log", str(directory / "llm.log")])
    while not port_file.exists():
        if server.poll() is not None:
            sys.exit("strategies.py: the LLM server ended")
        time.sleep(0.1)
    return server, f"http://127.0.0.1:{port_file.read_text().split()[0]}/v1"


def project(directory, url, name, keys, max_tokens=120):
    path = directory / f"{name}.yaml"
    path.write_text(
        "version: 1\nname: strategies\nentities:\n  - {type: Chemical, file: Chemical.txt}\n"
        "  - {type: Disease, file: Disease.txt}\nendpoints:\n"
        f"  - {{name: smollm2, url: '{url}', model: smollm2, concurrency: 16, max_tokens: {max_tokens}, timeout_s: 300}}\n"
        f"generation: {{{keys}}}\n")
    return path


def measure(bin_dir, path, samples):
    """(accepted, calls, seconds, the rules that rejected) of one preview."""
    begin = time.monotonic()
    done = subprocess.run([str(bin_dir / "nermill-generator"), "preview", str(path), "-n", str(samples), "--seed", str(SEED)],
                          capture_output=True, text=True, check=True)
    accepted, _, calls = map(int, re.findall(r"(?m)^(\d+) of (\d+) samples accepted, (\d+) calls$", done.stdout)[-1])
    rules = re.findall(r"(?m)^  rejected, (\w+):", done.stdout)
    return accepted, calls, time.monotonic() - begin, {rule: rules.count(rule) for rule in sorted(set(rules))}


def main():
    bin_dir, samples = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="nermill-bench-") as name:
        directory = pathlib.Path(name)
        lists(bin_dir, directory)
        server, url = start_llm(directory)
        rows = []
        try:
            for strategy, keys, words in STRATEGIES:
                accepted, calls, seconds, _ = measure(bin_dir, project(directory, url, strategy, keys), samples)
                print(f"{strategy}: {accepted} of {samples} in {seconds:.0f} s, {calls} calls", flush=True)
                rows.append((strategy, words, accepted, calls, seconds))
        finally:
            server.terminate()
            server.wait()
        print(f"\nSmolLM2-135M, {samples} tasks each, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print("| strategy | samples | calls | accepted share of calls | calls an accepted sample | samples/min |")
        print("| --- | --- | --- | --- | --- | --- |")
        figures = []
        for strategy, words, accepted, calls, seconds in rows:
            each = calls / accepted if accepted else float("inf")
            print(f"| {words} | {accepted} | {calls} | {accepted / calls:.2f} | {each:.2f} | {60 * accepted / seconds:.1f} |")
            figures += [(f"{strategy}_accepted_share", accepted / calls, "1"), (f"{strategy}_calls_per_accepted", each, "1"),
                        (f"{strategy}_samples_per_min", 60 * accepted / seconds, "1/min")]
        for metric, value, unit in figures:
            print(json.dumps({"bench": "strategies", "metric": metric, "value": round(value, 3), "unit": unit}))


if __name__ == "__main__":
    main()
