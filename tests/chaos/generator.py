"""A generator under SIGKILL: what the endpoint has answered is in the broker's log, once, and only what was on the wire at a
kill is bought again.

    generator.py [--kills N] [--seed N]

The endpoint keeps every request and counts its answers; the generator is killed at random moments after its start, so in the
middle of recovering as well.  Now and then the broker stands still first, until nothing is on the wire and all is in the spool:
then nothing may be bought again.  Now and then it is killed as well.  After the last kill the run goes on in peace for a moment,
and then the books are compared.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import harness  # noqa: E402
from fake_llm import FakeLLM  # noqa: E402

CONCURRENCY, DELAY = 24, 0.02
WORDS = [f"fruit{i}" for i in range(60)]


class Chaos(harness.Live):
    def runTest(self):
        self.rng = random.Random(OPTIONS.seed)
        self.port = harness.free_port()
        self.state = self.dir / "broker"
        self.kept = []  # from where to where in the endpoint's books one generator's calls were all answered at its kill
        self.counts = {"kills": 0, "broker stood still": 0, "broker killed": 0, "handed in again": 0}
        with FakeLLM(WORDS, delay=DELAY, reject_share=0.2) as llm:
            project = self.project(url=llm.url, samples=10**6, Fruit="\n".join(WORDS) + "\n")
            path = project / "project.yaml"
            path.write_text(path.read_text().replace("concurrency: 4", f"concurrency: {CONCURRENCY}\n    constraint: none"))
            self.server = self.broker(project, self.port)
            self.wait_for(lambda: (self.state / "endpoints.json").exists())
            most = self.kill_again_and_again(project, llm)
            self.end_in_peace(llm)
            self.compare(llm, most)

    def kill_again_and_again(self, project, llm):
        """How many calls can have been on the wire at the kills, all together."""
        most = 0
        while self.counts["kills"] < OPTIONS.kills:
            begun = len(llm.bodies)
            generator = self.generator(self.port)
            time.sleep(self.rng.choice((self.rng.uniform(0.02, 0.2), self.rng.uniform(0.2, 1.0))))
            dry = self.rng.random() < 0.35
            if dry:
                self.let_the_wire_run_dry(llm)
                self.kept.append((begun, len(llm.bodies)))
            else:
                most += CONCURRENCY
            self.assertIsNone(generator.poll(), self.log("nermill-generator")[-2000:])
            generator.kill()
            generator.wait()
            self.counts["kills"] += 1
            if self.rng.random() < 0.4:  # with what it had not read: the spool alone has the answers
                self.server.kill()
                self.server.wait()
                self.counts["broker killed"] += 1
                self.server = self.start("nermill-broker", project, "--state", self.state)
            elif dry:
                self.server.send_signal(signal.SIGCONT)
        return most

    def let_the_wire_run_dry(self, llm):
        """The broker stands still: what is out is answered, and then nothing is left but what is in the spool."""
        self.server.send_signal(signal.SIGSTOP)
        self.counts["broker stood still"] += 1
        for _ in range(2):
            self.wait_for(lambda: llm.in_flight == 0)
            time.sleep(0.4)

    def end_in_peace(self, llm):
        generator = self.generator(self.port)
        sold = len(llm.bodies)
        self.wait_for(lambda: len(llm.bodies) > sold + 4 * CONCURRENCY)
        generator.send_signal(signal.SIGTERM)
        self.finish(generator, harness.EXIT_SIGNAL)

    def compare(self, llm, most):
        stats = json.loads((self.state / "endpoints.json").read_text())["stats"]
        figures = json.loads(self.nermill("status", "--stats", stats, "--json").stdout)
        self.server.terminate()
        self.server.wait()
        check = self.nermill("check", self.state, name="nermill-broker")
        self.assertEqual(check.returncode, harness.EXIT_OK, check.stderr + check.stdout)
        sold, different, again = len(llm.bodies), len(set(llm.bodies)), llm.bought_again()
        self.counts["handed in again"] = self.log("nermill-generator").count("in the spool are handed in again")
        print(f"{json.dumps(self.counts)}: {sold} calls sold, {different} different ones, {figures['responses']} answers in the "
              f"log; {again} bought again, on the wire were at most {most}", file=sys.stderr)
        self.assertEqual(figures["responses"], different, "an answer was lost, or is there twice")
        self.assertLessEqual(again, most)
        for begun, ended in self.kept:
            twice = set(llm.bodies[begun:ended]) & set(llm.bodies[ended:])
            self.assertEqual(len(twice), 0, "bought again, though nothing was on the wire")
        self.assertEqual((figures["tasks"]["leased"], figures["foreign"]), (0, 0))
        self.assertGreater(self.counts["handed in again"], 0, "no kill has left answers in a spool: this shows nothing")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=int(os.environ.get("NERMILL_GENERATOR_KILLS", 12)))
    parser.add_argument("--seed", type=int, default=7)
    OPTIONS = parser.parse_args()
    result = harness.unittest.TextTestRunner(verbosity=2).run(Chaos())
    skipped = bool(result.skipped)
    sys.exit(0 if result.wasSuccessful() and not skipped else 77 if skipped else 1)
