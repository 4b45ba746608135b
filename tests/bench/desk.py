"""How long the operator's commands take to act; started by desk.sh, which says how."""

import argparse
import json
import os
import statistics
import time

from desk_case import FRUIT, TOWNS, DeskCase
from fake_llm import FakeLLM

LIMIT = 30  # seconds after which something is wrong
SETTLED = 0.3  # seconds without a new call: none comes any more


def note(times, label, seconds):
    times.setdefault(label, []).append(seconds * 1000)


class Watched(FakeLLM):
    """Knows when its last call began."""

    def chat(self, handler):
        self.last_call = time.monotonic()
        super().chat(handler)


class Bench(DeskCase):
    """The set-up of the integration test, and a stop-watch."""

    def runTest(self):
        """Not a test: only its set-up and clean-up are used."""

    def until(self, what):
        """The moment when what() became true."""
        end = time.monotonic() + LIMIT
        while not what():
            if time.monotonic() > end:
                self.fail(f"no effect within {LIMIT} s\n{self.log('nermill-broker')[-2000:]}")
            time.sleep(0.001)
        return time.monotonic()

    def timed(self, name, effect, *command):
        """One command; effect() is when it acted, None: with its answer."""
        start = time.monotonic()
        self.desk(name, *command)
        answered = time.monotonic()
        acted = max(answered, effect()) if effect else answered
        return acted - start

    def next_call(self):
        bought = len(self.llm.bodies)
        return self.until(lambda: len(self.llm.bodies) > bought)

    def last_call(self):
        """When the last call before a pause began."""
        self.until(lambda: time.monotonic() - self.llm.last_call > SETTLED)
        return self.llm.last_call

    def in_state(self, state):
        return lambda: self.until(lambda: self.state() == state)

    def one_round(self, times):
        note(times, "workers: answered", self.timed("workers", None))
        note(times, "pause: the last call begins", self.timed("pause", self.last_call))
        note(times, "resume: the first call begins", self.timed("resume", self.next_call))
        note(times, "pause --endpoint: the last call begins", self.timed("pause", self.last_call, "--endpoint", "fake"))
        note(times, "resume --endpoint: the first call begins", self.timed("resume", self.next_call, "--endpoint", "fake"))
        note(times, "limit --concurrency 1: no more than one call under way",
             self.timed("limit", lambda: self.until(lambda: self.llm.in_flight <= 1),
                        "--endpoint", "fake", "--concurrency", 1))
        self.timed("limit", None, "--endpoint", "fake", "--concurrency", 4)
        note(times, "limit --samples, reached: complete", self.timed("limit", self.in_state("complete"), "--samples", 1))
        note(times, "limit --samples, raised: the first call begins", self.timed("limit", self.next_call, "--samples", 90000))
        note(times, "limit --budget-requests, used up: no call granted",
             self.timed("limit", self.in_state("budget"), "--budget-requests", 1))
        note(times, "limit --budget-requests, lifted: the first call begins",
             self.timed("limit", self.next_call, "--budget-requests", 0))
        note(times, "drain: answered, nothing is opened", self.timed("drain", None))
        self.timed("resume", None)
        self.dead_letter(times)

    def dead_letter(self, times):
        """A task buried, looked at, kicked; then the same just after a kill -9 of the broker."""
        for after in ("", " after a kill -9"):
            self.desk("pause")
            self.until(lambda: self.under_way("fake") == 0)
            self.desk("resume")
            self.llm.gate.clear()
            self.next_call()
            task = self.status()["tasks"]["opened"] - 1
            note(times, "bury: answered", self.timed("bury", None, task))
            self.llm.gate.set()
            note(times, "dead: answered", self.timed("dead", None))
            note(times, "peek: answered", self.timed("peek", None, task))
            self.until(lambda: self.desk("peek", task)["responses"])  # its call was under way
            if after:
                self.crash()
                self.until(lambda: self.status()["workers"] and all(w["connected"] for w in self.status()["workers"]))
            note(times, f"kick{after}: its sample is done",
                 self.timed("kick", lambda: self.until(lambda: self.desk("peek", task)["state"] == "done"), task))

    def reconnect(self, times):
        """How soon a broker that was killed has its fleet again."""
        self.server.kill()
        self.server.wait()
        (self.dir / "broker" / "endpoints.json").unlink()
        self.server = self.broker(self.project_dir, self.port)
        listening = self.until(lambda: (self.dir / "broker" / "endpoints.json").exists())
        known = self.until(lambda: all(w["connected"] for w in self.status()["workers"]))
        note(times, "kill -9 and start: listening -> all workers are back", known - listening)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    bench, times = Bench(), {}
    bench.setUp()
    try:
        with Watched(FRUIT + TOWNS, delay=0.02) as bench.llm:
            bench.begin(bench.llm, aligner=True)
            bench.next_call()
            for _ in range(args.rounds):
                bench.one_round(times)
                bench.reconnect(times)
    finally:
        bench.doCleanups()
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}; {args.rounds} rounds\n")
    print(f"{'ms from the start of the command':64}{'median':>8}{'max':>8}")
    for label, values in times.items():
        print(f"{label:64}{statistics.median(values):>8.0f}{max(values):>8.0f}")
    print()
    for metric, value in (("median_ms", max(statistics.median(v) for v in times.values())),
                          ("max_ms", max(max(v) for v in times.values()))):
        print(json.dumps({"bench": "desk", "metric": f"slowest_command_{metric}", "value": round(value, 1), "unit": "ms"}))


if __name__ == "__main__":
    main()
