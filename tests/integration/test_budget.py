"""Eight generators, one endpoint that counts, and a broker that is killed again and again: neither the budget nor any
limit a minute is exceeded, as the endpoint itself counts.

NERMILL_BUDGET_SECONDS makes each part longer (6 unless set) and the kills more.
"""

import json
import os
import random
import subprocess
import time
import unittest

import harness
from fake_llm import FakeLLM

FRUIT = [f"fruit{i}" for i in range(40)]
SECONDS = float(os.environ.get("NERMILL_BUDGET_SECONDS", 6))
GENERATORS = 8
PRICE_IN, PRICE_OUT = 1.5, 6.0  # money for a million tokens


class CountingLLM(FakeLLM):
    """Counts what it sells, canaries too: every request that it read, and the tokens that it would bill."""

    def __init__(self, words, **more):
        super().__init__(words, **more)
        self.rng = random.Random(5)
        self.calls = []  # (time, tokens in, tokens out)
        self.most_in_flight = 0

    def chat(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        request = json.loads(body)
        tokens_in = sum(len(m["content"]) for m in request["messages"]) // 3
        with self.lock:
            tokens_out = self.rng.randrange(5, request["max_tokens"] + 1)
            fault = self.rng.random()
            self.calls.append((time.monotonic(), tokens_in, tokens_out))
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            time.sleep(self.delay)
            if fault < 0.03:  # billed, and the answer is lost
                handler.close_connection = True
                return
            text = self.sentence(request["messages"][-1]["content"], random.Random(tokens_out + tokens_in))
            if fault > 0.8:
                text = "No."
            self.send(handler, 200, {
                "model": "fake",
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
                "usage": {"prompt_tokens": tokens_in, "completion_tokens": tokens_out},
            })
        finally:
            with self.lock:
                self.in_flight -= 1

    def money(self):
        """In millionths, each call rounded up as a bill would."""
        return sum(-(-(i * PRICE_IN + o * PRICE_OUT) // 1) for _, i, o in self.calls)

    def tokens(self):
        return sum(i + o for _, i, o in self.calls)

    def worst_minute(self, span=60.0):
        """The most requests, and the most tokens, of any span."""
        calls, start, tokens, most, most_tokens = sorted(self.calls), 0, 0, 0, 0
        for end, call in enumerate(calls):
            tokens += call[1] + call[2]
            while calls[start][0] <= call[0] - span:
                tokens -= calls[start][1] + calls[start][2]
                start += 1
            most, most_tokens = max(most, end - start + 1), max(most_tokens, tokens)
        return most, most_tokens


class Budget(harness.Case):
    def setUp(self):
        super().setUp()
        for name in ("nermill-broker", "nermill-generator", "nermill-aligner"):
            harness.program(name)
        self.processes = []
        self.addCleanup(self.kill_all)
        self.kills = 0

    def kill_all(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def start(self, label, name, *args):
        with open(self.dir / f"{label}.log", "a", encoding="utf-8") as log:
            process = subprocess.Popen([harness.program(name), *map(str, args)], stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def broker(self):
        return self.start("broker", "nermill-broker", self.dir / "project", "--state", self.dir / "broker")

    def set_project(self, url, endpoint, budget):
        self.project(url=url, samples=100000, more=f"generation: {{attempts: 3}}\nbudget: {{{budget}}}\n" if budget else "",
                     Fruit="\n".join(FRUIT) + "\n")
        path = self.dir / "project" / "project.yaml"
        text = path.read_text().replace("concurrency: 4", "concurrency: 24\n    max_tokens: 60\n" + endpoint)
        text = text.replace("bind: 'tcp://127.0.0.1:*'", f"lease_s: 4, heartbeat_s: 1, bind: 'tcp://127.0.0.1:{self.port}'")
        path.write_text(text)

    def play(self, llm, seconds, kill_every):
        """Until seconds are over, with the broker killed every now and then."""
        broker = self.broker()
        generators = [self.start(f"generator{i}", "nermill-generator", "--broker", f"tcp://127.0.0.1:{self.port}",
                                 "--state", self.dir / f"state{i}", "--join", 20) for i in range(GENERATORS)]
        rng, end = random.Random(9), time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(rng.uniform(0.5, 1.5) * kill_every)
            broker.kill()
            broker.wait()
            self.kills += 1
            if rng.random() < 0.3:  # a generator as well, with what it has in flight
                i = rng.randrange(GENERATORS)
                generators[i].kill()
                generators[i].wait()
                generators[i] = self.start(f"generator{i}", "nermill-generator", "--broker",
                                           f"tcp://127.0.0.1:{self.port}", "--state", self.dir / f"state{i}",
                                           "--join", 20)
            broker = self.broker()
        return broker

    def log(self, label):
        return (self.dir / f"{label}.log").read_text(encoding="utf-8", errors="replace")

    def wait_for_the_end(self, broker, llm, seconds=60):
        """The broker says that the budget is used up, and the endpoint hears nothing more."""
        end = time.monotonic() + seconds
        while "the budget is used up" not in self.log("broker").rsplit("listening on", 1)[-1]:
            self.assertLess(time.monotonic(), end, self.log("broker")[-3000:])
            time.sleep(0.1)
        sold = len(llm.calls)
        time.sleep(2)
        self.assertEqual(len(llm.calls), sold)
        self.assertIsNone(broker.poll())

    def check_budget(self, budget, spent, limit, share):
        """Never over it, and not far below it: what crashes left uncertain was counted as spent."""
        self.port = harness.free_port()
        with CountingLLM(FRUIT, delay=0.15) as llm:
            self.set_project(llm.url, f"    price_in: {PRICE_IN}\n    price_out: {PRICE_OUT}", budget)
            broker = self.play(llm, SECONDS, 1.5)
            self.wait_for_the_end(broker, llm)
            used = spent(llm)
            print(f"{budget}: {used:.0f} of {limit} used as the endpoint counts, in {len(llm.calls)} calls, at most "
                  f"{llm.most_in_flight} in flight; broker killed {self.kills} times", flush=True)
            self.assertLessEqual(used, limit)
            self.assertGreater(used, share * limit)

    def test_requests(self):
        limit = int(SECONDS * 60)
        self.check_budget(f"requests: {limit}", lambda llm: len(llm.calls), limit, 0.4)

    def test_tokens(self):
        limit = int(SECONDS * 20000)
        self.check_budget(f"tokens: {limit}", lambda llm: llm.tokens(), limit, 0.1)

    def test_money(self):
        limit = int(SECONDS * 60000)
        self.check_budget(f"money: {limit / 1e6}", lambda llm: llm.money(), limit, 0.1)

    def test_a_minute(self):
        """Limits a minute, over a broker killed with -9; a fifth of them is used up in the first seconds."""
        self.port = harness.free_port()
        requests, tokens = 240, 150000
        with CountingLLM(FRUIT, delay=0.05) as llm:
            self.set_project(llm.url, f"    requests_per_minute: {requests}\n    tokens_per_minute: {tokens}", "")
            broker = self.play(llm, SECONDS * 2, 4)
            while len(llm.calls) <= 20:
                self.assertIsNone(broker.poll())
                time.sleep(0.1)
            most, most_tokens = llm.worst_minute()
            print(f"worst minute: {most} of {requests} requests, {most_tokens} of {tokens} tokens; broker killed "
                  f"{self.kills} times", flush=True)
            self.assertLessEqual(most, requests)
            self.assertLessEqual(most_tokens, tokens)


if __name__ == "__main__":
    unittest.main()
