"""The broker beside beanstalkd and Redis, and against the plan's size; started by broker.sh, which says how."""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

CLIENTS, WINDOW, HALF_OF_GOAL = 8, 512, 50000


def run_json(*command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None:
                sys.exit(f"{process.args[0]} ended at its start")
            time.sleep(0.05)
    sys.exit(f"{process.args[0]} does not listen")


class Bench:
    def __init__(self, bin_dir, seconds):
        self.bin, self.seconds = bin_dir, seconds
        self.broker = os.path.join(bin_dir, "nermill-broker")

    def ours(self, **options):
        """CLIENTS connections: half of them generators, half aligners."""
        options = {"seconds": self.seconds, "processes": CLIENTS // 2, "credit": WINDOW} | options
        flags = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        return run_json(os.path.join(self.bin, "bench_broker"), *flags, self.broker)

    def queue(self, kind, port, window):
        return run_json(os.path.join(self.bin, "bench_queues"), kind, str(port), "--seconds",
                        str(max(2, self.seconds // 2)), "--clients", str(CLIENTS), "--window", str(window))

    def peer(self, kind, command):
        """The best of what the peer does one by one, and with as much in flight as ours; each on an empty directory."""
        runs = [self.peer_once(kind, command, window) for window in (1, 64, WINDOW)]
        return {key: max(run[key] for run in runs) for key in runs[0]}

    def peer_once(self, kind, command, window):
        port = free_port()
        with tempfile.TemporaryDirectory() as directory:
            process = subprocess.Popen(command(port, directory), stdout=subprocess.DEVNULL, cwd=directory)
            try:
                wait_for(port, process)
                return self.queue(kind, port, window)
            finally:
                process.kill()
                process.wait()

    def beanstalkd(self):
        return self.peer("beanstalkd", lambda port, directory: [
            "beanstalkd", "-l", "127.0.0.1", "-p", str(port), "-b", directory, "-f0"])

    def redis(self):
        return self.peer("redis", lambda port, directory: [
            "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", directory, "--appendonly", "yes",
            "--appendfsync", "always", "--save", ""])


def flush_ms():
    """What one flush of 64 KiB takes here: the floor of every durable answer."""
    times = []
    with tempfile.NamedTemporaryFile() as f:
        for _ in range(100):
            f.write(b"x" * 65536)
            f.flush()
            start = time.monotonic()
            os.fdatasync(f.fileno())
            times.append((time.monotonic() - start) * 1000)
    return statistics.median(times), sorted(times)[98]


def emit(metric, value, unit):
    print(json.dumps({"bench": "broker", "metric": metric, "value": round(value, 3), "unit": unit}))


def throughput(bench, rounds):
    """Ours and the peers in turns; the median of each."""
    have = {name: shutil.which(name) for name in ("beanstalkd", "redis-server")}
    for name, path in have.items():
        if not path:
            print(f"{name} is not installed and left out: deploy/install-deps.sh --bench")
    ours, governed, beanstalkd, redis = [], [], [], []
    for _ in range(rounds):
        ours.append(bench.ours())
        governed.append(bench.ours(limits=1))
        if have["beanstalkd"]:
            beanstalkd.append(bench.beanstalkd())
        if have["redis-server"]:
            redis.append(bench.redis())
    return ours, governed, beanstalkd, redis


def median_of(runs, key):
    return statistics.median(run[key] for run in runs)


def print_throughput(ours, governed, beanstalkd, redis):
    best = sorted(ours, key=lambda run: run["completions_per_s"])[len(ours) // 2]
    print(f"\n{CLIENTS} connections, {WINDOW} in flight each, records of 512 bytes, every one on the disk before its answer\n")
    print(f"{'':44}{'1/s':>10}{'runs':>32}")

    def row(name, runs, key):
        values = " ".join(f"{run[key]:.0f}" for run in runs)
        print(f"{name:44}{median_of(runs, key):>10.0f}{values:>32}")

    row("nermill: answers and samples completed", ours, "completions_per_s")
    row("  with limits a minute, prices and a budget", governed, "completions_per_s")
    if beanstalkd:
        row("beanstalkd -b -f0: put", beanstalkd, "put")
        row("beanstalkd -b -f0: reserve + delete", beanstalkd, "reserve_delete")
    if redis:
        row("redis appendfsync always: XADD alone", redis, "xadd")
        row("  XREADGROUP, XADD of the answer, XACK", redis, "cycle")
    print(f"\nnermill: {best['commits_per_s']:.0f} commits/s; CPU a completion: broker {best['broker_cpu_us']:.1f} us, "
          f"clients {best['clients_cpu_us']:.1f} us; memory {best['anon_mb']:.0f} MB of its own, "
          f"{best['resident_mb']:.0f} MB with the ledger's pages")


def print_leases(run):
    print(f"\nat {run['completions_per_s']:.0f} completions/s ({run['commits_per_s']:.0f} commits/s), ms:\n")
    print(f"{'':56}{'p50':>8}{'p99':>8}{'p99.9':>8}")
    for key, name in (("lease", "answer sent -> answer durable, next task leased, here"),
                      ("align", "answer sent -> its text durable, leased to an aligner")):
        t = run[key]
        print(f"{name:56}{t['p50_ms']:>8.2f}{t['p99_ms']:>8.2f}{t['p999_ms']:>8.2f}")


def print_sizes(bench, quick):
    """Paced, so that the smallest plan lasts; the last rows as fast as it goes."""
    sizes = [(10**n, 500) for n in range(4, 9)] + [(10**8, 10**6)]
    print("\ncost against the plan's size, at 4,000 completions/s\n")
    print(f"{'tasks':>12}{'entities':>11}{'open ms':>10}{'CPU us each':>13}{'own MB':>9}{'resident MB':>13}")
    rows = []
    for tasks, entities in sizes:
        r = bench.ours(samples=tasks, entities=entities, rate=4000, credit=64, seconds=2 if quick else 3)
        rows.append(r)
        print(f"{tasks:>12}{entities:>11}{r['open_ms']:>10.0f}{r['broker_cpu_us']:>13.1f}{r['anon_mb']:>9.0f}"
              f"{r['resident_mb']:>13.0f}")
    full = bench.ours(samples=10**8, entities=10**6)
    print(f"{10**8:>12}{10**6:>11}{full['open_ms']:>10.0f}{full['broker_cpu_us']:>13.1f}{full['anon_mb']:>9.0f}"
          f"{full['resident_mb']:>13.0f}   at full speed, {full['completions_per_s']:.0f}/s")
    return rows[-1], full


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bin")
    parser.add_argument("--quick", action="store_true", help="short runs: to see that it works, not to quote")
    args = parser.parse_args()
    bench = Bench(args.bin, 2 if args.quick else 5)
    median, p99 = flush_ms()
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}; "
          f"a flush of 64 KiB takes {median:.2f} ms, p99 {p99:.2f} ms")
    ours, governed, beanstalkd, redis = throughput(bench, 1 if args.quick else 3)
    print_throughput(ours, governed, beanstalkd, redis)
    paced = sorted((bench.ours(rate=HALF_OF_GOAL) for _ in range(1 if args.quick else 3)),
                   key=lambda run: run["lease"]["p99_ms"])
    paced = paced[len(paced) // 2]
    print_leases(paced)
    opened, full = print_sizes(bench, args.quick)
    print(f"\nload average at the end {os.getloadavg()[0]:.1f}\n")
    rate = median_of(ours, "completions_per_s")
    emit("completions_per_s", rate, "1/s")
    emit("completions_per_s_governed", median_of(governed, "completions_per_s"), "1/s")
    if beanstalkd:
        emit("ratio_vs_beanstalkd", rate / max(median_of(beanstalkd, "put"), median_of(beanstalkd, "reserve_delete")), "x")
    if redis:
        emit("ratio_vs_redis", rate / median_of(redis, "xadd"), "x")
        emit("ratio_vs_redis_lease_and_answer", rate / median_of(redis, "cycle"), "x")
    emit("lease_p50_ms", paced["lease"]["p50_ms"], "ms")
    emit("lease_p99_ms", paced["lease"]["p99_ms"], "ms")
    emit("flush_p99_ms", p99, "ms")
    emit("open_1e8_tasks_1e6_entities_s", opened["open_ms"] / 1000, "s")
    emit("memory_1e8_tasks_1e6_entities_mb", full["resident_mb"], "MB")


if __name__ == "__main__":
    main()
