"""A live broker with a real generator and aligner beside the scripted LLM, and the operator's commands on it."""

import json
import time

import harness
from harness import EXIT_OK

FRUIT = ["apple", "banana", "cherry", "lemon", "mango", "papaya"]
TOWNS = ["Oslo", "Lima", "Cairo", "Quito", "Dakar", "Hanoi"]
ENDLESS = 100000
WATCHED = 0.7  # seconds in which nothing may happen


class DeskCase(harness.Live):
    def begin(self, llm, samples=ENDLESS, more="", generator=True, aligner=False, second=None,
              times="", **options):
        """Broker, generator and aligner of a new project; times: further keys of its broker section."""
        self.port, self.options = harness.free_port(), options
        self.project_dir = self.project(url=llm.url, samples=samples, more=more, Fruit="\n".join(FRUIT) + "\n",
                                        Town="\n".join(TOWNS) + "\n")
        path = self.project_dir / "project.yaml"
        text = path.read_text().replace("broker: {", f"broker: {{{times}")
        if second:
            text = text.replace("endpoints:\n", "endpoints:\n  - {name: other, model: fake, concurrency: 4, "
                                         f"timeout_s: 20, url: '{second.url}'}}\n")
        path.write_text(text)
        self.server = self.broker(self.project_dir, self.port, **options)
        if generator:
            self.maker = self.generator(self.port)
        if aligner:
            self.start("nermill-aligner", "--broker", f"tcp://127.0.0.1:{self.port}", "--state", self.dir / "aligner")
        self.wait_for(lambda: (self.dir / "broker" / "endpoints.json").exists())

    def desk(self, command, *args, code=EXIT_OK):
        stats = json.loads((self.dir / "broker" / "endpoints.json").read_text())["stats"]
        result = self.nermill(command, *args, "--stats", stats, "--json")
        self.assertEqual(result.returncode, code, result.stderr)
        return json.loads(result.stdout) if code == EXIT_OK else result.stderr

    def status(self):
        return self.desk("status")

    def state(self):
        return self.status()["state"]

    def crash(self, *args):
        """kill -9 of the broker, and its start."""
        self.server.kill()
        self.server.wait()
        (self.dir / "broker" / "endpoints.json").unlink()
        self.server = self.broker(self.project_dir, self.port, *args, **self.options)
        self.wait_for(lambda: (self.dir / "broker" / "endpoints.json").exists())

    def under_way(self, endpoint):
        """Calls that the broker has granted there and that have not ended."""
        return next(e["in_flight"] for e in self.status()["endpoints"] if e["name"] == endpoint)

    def assert_quiet(self, llm, endpoint="fake"):
        """What is under way ends, then no call begins."""
        self.wait_for(lambda: self.under_way(endpoint) == 0 and llm.in_flight == 0)
        bought = len(llm.bodies)
        time.sleep(WATCHED)
        self.assertEqual(len(llm.bodies), bought)

    def assert_busy(self, llm):
        bought = len(llm.bodies)
        self.wait_for(lambda: len(llm.bodies) > bought)
