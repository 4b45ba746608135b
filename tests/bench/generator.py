"""One generator beside distilabel, data-designer and a plain load generator; started by generator.sh, which says how."""

import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

IN_FLIGHT, LATENCY_MS, PEER_PARALLEL = 1000, 500, 200
LLM_PARALLEL = 8  # of each server process, one a core
HERE = pathlib.Path(__file__).resolve().parent

PROJECT = """version: 1
name: bench
goal: {{samples: 1000000000}}
entities:
  - {{type: Chemical, file: {root}/examples/biomed/chemicals.txt}}
  - {{type: Disease, file: {root}/examples/biomed/diseases.txt}}
endpoints:
  - {{name: bench, url: '{url}', model: '{model}', concurrency: {concurrency}, constraint: {constraint}, timeout_s: 120}}
generation: {{constrain: {constrain}}}
broker: {{bind: 'tcp://127.0.0.1:*', stats: 'tcp://127.0.0.1:*', publish: 'tcp://127.0.0.1:*'}}
"""


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid, key):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def end(process):
    """SIGTERM, and SIGKILL to what does not hear it."""
    process.terminate()
    try:
        process.wait(timeout=90)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Endpoint:
    """bench_endpoint, and what it has counted."""

    def __init__(self, program, latency_ms=0, record=None):
        more = ["--record", str(record)] if record else []
        self.process = subprocess.Popen([program, "--latency-ms", str(latency_ms), *more], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def count(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/count", timeout=10) as answer:
            return json.load(answer)

    def rate(self, seconds):
        """Calls a second over that time from now."""
        before = self.count()
        time.sleep(seconds)
        after = self.count()
        return (after["calls"] - before["calls"]) * 1e6 / (after["at_us"] - before["at_us"])

    def __enter__(self):
        return self

    def __exit__(self, *_args):
        self.process.kill()
        self.process.wait()


class Nermill:
    """A broker and one generator for that endpoint, in a directory of their own: fsync everywhere, as by default."""

    def __init__(self, bin_dir, url, concurrency, model="fixed", constraint="none", constrain="never"):
        self.bin, self.dir = bin_dir, pathlib.Path(tempfile.mkdtemp(prefix="nermill-bench-"))
        (self.dir / "project.yaml").write_text(PROJECT.format(
            root=HERE.parents[1], url=url, model=model, concurrency=concurrency, constraint=constraint,
            constrain=constrain))
        self.log = open(self.dir / "log", "w", encoding="utf-8")
        self.broker = self.start("nermill-broker", self.dir, "--state", self.dir / "broker")
        endpoints = self.dir / "broker" / "endpoints.json"
        while not endpoints.exists():
            if self.broker.poll() is not None:
                sys.exit((self.dir / "log").read_text())
            time.sleep(0.02)
        self.endpoints = json.loads(endpoints.read_text())
        self.sink = self.start("bench_sink", self.endpoints["broker"], self.dir / "sink")
        self.generator = self.start("nermill-generator", "--broker", self.endpoints["broker"], "--state", self.dir / "state")

    def start(self, name, *args):
        return subprocess.Popen([os.path.join(self.bin, name), *map(str, args)], stdout=self.log, stderr=self.log)

    def stats(self):
        out = subprocess.run([os.path.join(self.bin, "nermill"), "status", "--stats", self.endpoints["stats"], "--json"],
                             check=True, stdout=subprocess.PIPE, timeout=30)
        return json.loads(out.stdout)

    def log_end(self):
        return (self.dir / "log").read_text()[-2000:]

    def __enter__(self):
        return self

    def __exit__(self, *_args):
        for process in (self.generator, self.sink, self.broker):
            if process.poll() is None:
                process.kill()
            process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Figures:
    """What a run of nermill showed, between its warm-up and its end."""

    def __init__(self, nermill, endpoint, seconds):
        watched = {"generator": nermill.generator, "broker": nermill.broker, "endpoint": endpoint.process}
        before = {name: cpu_s(process.pid) for name, process in watched.items()}
        calls = endpoint.count()["calls"]
        self.rate = endpoint.rate(seconds)
        calls = endpoint.count()["calls"] - calls
        self.cpu_us = {name: (cpu_s(process.pid) - before[name]) / calls * 1e6 for name, process in watched.items()}
        self.rss_mb = memory_mb(nermill.generator.pid, "VmHWM")
        self.window = nermill.stats()["endpoints"][0]["window"]
        self.check(nermill, endpoint)

    def check(self, nermill, endpoint):
        """Every call that the endpoint sold is an answer in the broker's log, and all but a few are accepted: a word that
        stands in three of the terms in a row is a repetition by the real rules."""
        end(nermill.generator)
        sold, stats = endpoint.count()["calls"], nermill.stats()
        if stats["responses"] != sold or stats["accepted"] < 0.999 * sold:
            sys.exit(f"{sold} calls were answered, {stats['responses']} are in the log, {stats['accepted']} accepted:\n"
                     f"{json.dumps(stats['rejected_by_rule'])} {nermill.log_end()}")


class Bench:
    def __init__(self, bin_dir, directory, quick):
        self.bin, self.dir, self.quick = bin_dir, directory, quick
        self.bodies = directory / "bodies.jsonl"

    def endpoint(self, latency_ms=0, record=None):
        return Endpoint(os.path.join(self.bin, "bench_endpoint"), latency_ms, record)

    def record_bodies(self, path, **project):
        """The first requests of a project, one a line."""
        raw = self.dir / "raw"
        with self.endpoint(record=raw) as e, Nermill(self.bin, e.url, **project):
            while e.count()["calls"] < 1000:
                time.sleep(0.1)
        path.write_bytes(b"".join(raw.read_bytes().splitlines(keepends=True)[:500]))

    def nermill(self, latency_ms, warm_up, seconds):
        with self.endpoint(latency_ms) as e, Nermill(self.bin, e.url, IN_FLIGHT) as n:
            time.sleep(warm_up)
            return Figures(n, e, seconds)

    def load(self, port, connections, warm_up, seconds, bodies):
        out = subprocess.run([os.path.join(self.bin, "bench_load"), str(port), str(connections), str(warm_up), str(seconds),
                              str(bodies)], check=True, stdout=subprocess.PIPE)
        figures = json.loads(out.stdout)
        if figures["failed"]:
            sys.exit(f"{figures['failed']} calls of the load generator failed")
        return figures

    def ceiling(self):
        with self.endpoint() as e:
            return self.load(e.port, IN_FLIGHT, 1, 3, self.bodies)["calls_per_s"]

    def peer(self, tool, rows, parallel, latency_ms=0):
        """Calls a second, from its first call to its last."""
        with self.endpoint(latency_ms) as e:
            done = subprocess.run([os.environ["NERMILL_GENERATORS_PYTHON"], HERE / "generator_peers.py", tool, e.url, str(rows),
                                   str(parallel)], capture_output=True, text=True, check=False)
            count = e.count()
        if done.returncode != 0:
            sys.exit(f"{tool}: {done.stderr[-3000:]}")
        return count["calls"] * 1e6 / (count["last_us"] - count["first_us"])


def print_at_once(ceiling, runs):
    best = sorted(runs, key=lambda run: run.rate)[len(runs) // 2]
    print(f"\nan endpoint that answers at once, {IN_FLIGHT} in flight\n")
    print(f"{'':52}{'calls/s':>10}   runs")
    print(f"{'the endpoint under a plain load generator':52}{ceiling:>10.0f}")
    print(f"{'nermill: one generator, answers really validated':52}{best.rate:>10.0f}   "
          + " ".join(f"{run.rate:.0f}" for run in runs))
    cpu = best.cpu_us
    print(f"\nnermill: CPU a call: generator {cpu['generator']:.0f} us, broker {cpu['broker']:.0f} us, the endpoint "
          f"{cpu['endpoint']:.0f} us; the generator's memory {max(run.rss_mb for run in runs):.0f} MB at most")
    return best


def with_latency(bench):
    """Warm: the window has opened and the first burst has spread."""
    run = bench.nermill(LATENCY_MS, 10 if bench.quick else 15, 6 if bench.quick else 20)
    ideal = IN_FLIGHT * 1000 / LATENCY_MS
    print(f"\n{LATENCY_MS} ms for each answer, {IN_FLIGHT} in flight: {ideal:.0f} calls/s are possible\n")
    print(f"{'nermill':52}{run.rate:>10.1f}   {100 * run.rate / ideal:.2f} %, window {run.window:.0f}")
    return run.rate / ideal


def peers(bench, best):
    rows = 400 if bench.quick else 1500
    print(f"\nthe same endpoint, {rows} rows each\n")
    rates = {}
    for tool in ("data-designer", "distilabel"):
        rates[tool] = bench.peer(tool, rows, PEER_PARALLEL)
        print(f"{tool + f', {PEER_PARALLEL} at once':52}{rates[tool]:>10.0f}   nermill is {best.rate / rates[tool]:.0f} x")
        if not bench.quick:
            rate = bench.peer(tool, rows, IN_FLIGHT, LATENCY_MS)
            print(f"{tool + f', {IN_FLIGHT} at once, {LATENCY_MS} ms':52}{rate:>10.0f}   "
                  f"{100 * rate / (IN_FLIGHT * 1000 / LATENCY_MS):.1f} % of what is possible")
    return rates


class LlamaServer:
    def __init__(self, directory):
        port_file = directory / "port"
        self.process = subprocess.Popen(
            [os.environ["NERMILL_PYTHON"], HERE.parents[1] / "deploy" / "llm_server.py", "--model", os.environ["NERMILL_GGUF"],
             "--parallel", str(LLM_PARALLEL), "--port-file", port_file], stdout=subprocess.DEVNULL)
        while not port_file.exists():
            if self.process.poll() is not None:
                sys.exit("the llama.cpp server ended at its start")
            time.sleep(0.1)
        self.port = int(port_file.read_text().split()[0])

    def __enter__(self):
        return self

    def __exit__(self, *_args):
        end(self.process)


def tokens_of_nermill(bench, server, project, warm_up, seconds):
    with Nermill(bench.bin, f"http://127.0.0.1:{server.port}/v1", **project) as n:
        time.sleep(warm_up)
        before, start = n.stats()["tokens_out"], time.monotonic()
        time.sleep(seconds)
        return (n.stats()["tokens_out"] - before) / (time.monotonic() - start)


def real_model(bench):
    """In turns, so that what the machine does besides falls on both."""
    rounds, warm_up, seconds = (1, 8, 20) if bench.quick else (2, 8, 32)
    calls = LLM_PARALLEL * len(os.sched_getaffinity(0))
    project = {"concurrency": calls, "model": "smollm2", "constraint": "grammar", "constrain": "always"}
    bodies = bench.dir / "llm.jsonl"
    bench.record_bodies(bodies, **project)
    plain, ours = [], []
    with LlamaServer(bench.dir) as server:
        for _ in range(rounds):
            plain.append(bench.load(server.port, calls, warm_up, seconds, bodies)["tokens_per_s"])
            ours.append(tokens_of_nermill(bench, server, project, warm_up, seconds))
    if not all(plain):
        print(f"\nllama.cpp's server answered nothing within {seconds} s: the machine is too busy, and that figure is left out")
        return None
    share = statistics.mean(ours) / statistics.mean(plain)
    print(f"\nllama.cpp's server, SmolLM2-135M, {calls} calls at once, the same requests in turns of {seconds} s\n")
    for name, runs in (("a plain load generator", plain), ("nermill", ours)):
        print(f"{name:52}{statistics.mean(runs):>10.1f}   tokens/s; runs " + " ".join(f"{run:.1f}" for run in runs))
    print(f"{'nermill is':52}{100 * share:>10.1f} %")
    return share


def emit(metric, value, unit):
    print(json.dumps({"bench": "generator", "metric": metric, "value": round(value, 4), "unit": unit}))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bin")
    parser.add_argument("--quick", action="store_true", help="short runs: to see that it works, not to quote")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nermill-bench-") as directory:
        bench = Bench(args.bin, pathlib.Path(directory), args.quick)
        print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
        bench.record_bodies(bench.bodies, concurrency=IN_FLIGHT)
        ceiling = bench.ceiling()
        runs = [bench.nermill(0, 3, 4 if args.quick else 8) for _ in range(1 if args.quick else 3)]
        best = print_at_once(ceiling, runs)
        share = with_latency(bench)
        rates = peers(bench, best)
        llm_share = real_model(bench)
    print(f"\nload average at the end {os.getloadavg()[0]:.1f}\n")
    emit("calls_per_s", best.rate, "1/s")
    emit("rss_mb", max(run.rss_mb for run in runs), "MB")
    emit("cpu_us_per_call", best.cpu_us["generator"], "us")
    emit("endpoint_calls_per_s", ceiling, "1/s")
    emit("share_of_ideal_at_500ms", share, "1")
    emit("ratio_vs_data_designer", best.rate / rates["data-designer"], "x")
    emit("ratio_vs_distilabel", best.rate / rates["distilabel"], "x")
    if llm_share is not None:
        emit("llm_tokens_share", llm_share, "1")


if __name__ == "__main__":
    main()
