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

IN_FLIGHT, LATENCY_MS = 1000, 500
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

    def __enter__(self):
        return self

    def __exit__(self, *_args):
        for process in (self.generator, self.sink, self.broker):
            if process.poll() is None:
                process.kill()
            process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bin")
    args = parser.parse_args()
    with Endpoint(os.path.join(args.bin, "bench_endpoint")) as e, Nermill(args.bin, e.url, IN_FLIGHT) as n:
        time.sleep(3)
        c0, b0 = cpu_s(n.generator.pid), cpu_s(n.broker.pid)
        e0 = cpu_s(e.process.pid)
        k0 = e.count()["calls"]
        rate = e.rate(8)
        k = e.count()["calls"] - k0
        print("rate", rate, "us: gen", (cpu_s(n.generator.pid) - c0) / k * 1e6, "broker", (cpu_s(n.broker.pid) - b0) / k * 1e6,
              "ep", (cpu_s(e.process.pid) - e0) / k * 1e6)
        print(memory_mb(n.generator.pid, "VmHWM"), memory_mb(n.generator.pid, "RssAnon"))
        print(json.dumps(n.stats(), indent=1)[:6000])
        print(e.count())
        end(n.generator)
        print((n.dir / "log").read_text()[-2000:])


if __name__ == "__main__":
    main()
