"""A goal of coverage: entities with too few texts are asked for again, and those that always fail are given up.

The scripted LLM writes only the words of its vocabulary: an entity that is not in it is refused for ever.
"""

import collections
import json
import os
import signal

from fake_llm import FakeLLM
from harness import EXIT_OK, EXIT_SIGNAL
from test_run import FRUIT, TOWNS, RunCase

REFUSED = ["quince", "Dakar"]
WORDS = [w for w in FRUIT + TOWNS if w not in REFUSED]


class Coverage(RunCase):
    def make_goal(self, llm, goal, more=""):
        project = self.make(llm, samples=1, more=more)
        path = project / "project.yaml"
        path.write_text(path.read_text().replace("goal: {samples: 1}", f"goal: {goal}"))
        return project

    def uses(self, project):
        """How many samples ask for each entity, by what is exported."""
        found = collections.Counter()
        tasks = collections.Counter()
        for line in (project / "run/data/train.jsonl").read_text().splitlines():
            sample = json.loads(line)
            tasks[sample["provenance"]["task"]] += 1
            found.update({w for w in FRUIT + TOWNS if w in sample["text"]})
        self.assertEqual([t for t, n in tasks.items() if n > 1], [], "tasks that are there twice")
        return found

    def last_stats(self, process, project):
        """The broker's statistics shortly before the run ends."""
        last = {}
        while process.poll() is None:
            last = self.stats(project) or last
        return last

    def test_under_covered_are_asked_again_and_the_hopeless_given_up(self):
        with FakeLLM(WORDS, reject_share=0.2, delay=0.01) as llm:
            project = self.make_goal(llm, "{samples: 20, coverage: {min_per_entity: 6, give_up: 8}}")
            process = self.start(project)
            out, _ = self.finish(process)
            said = [line for line in out.splitlines() if "given up" in line]
            self.assertEqual(len(said), 1, out)
            for word in REFUSED:
                self.assertIn(f"{word} (0 of 6 texts", said[0])
            uses = self.uses(project)
            for word in WORDS:
                self.assertGreaterEqual(uses[word], 6, word)
            for word in REFUSED:
                self.assertEqual(uses[word], 0, word)
            self.assertEqual(llm.bought_again(), 0)
            # Complete, it buys nothing more: what is given up stays so.
            bought = len(llm.bodies)
            self.finish(self.start(project))
            self.assertEqual(len(llm.bodies), bought)
            # A higher goal goes on from there.
            path = project / "project.yaml"
            path.write_text(path.read_text().replace("min_per_entity: 6", "min_per_entity: 8"))
            self.finish(self.start(project))
            uses = self.uses(project)
            for word in WORDS:
                self.assertGreaterEqual(uses[word], 8, word)

    def test_coverage_alone(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make_goal(llm, "{coverage: {min_per_entity: 5}}")
            result = self.nermill("validate", "--offline", project)
            self.assertIn("at least 5 accepted texts of each entity", result.stdout + result.stderr)
            self.finish(self.start(project))
            uses = self.uses(project)
            for word in FRUIT + TOWNS:
                self.assertGreaterEqual(uses[word], 5, word)
            samples = len((project / "run/data/train.jsonl").read_text().splitlines())
            self.assertLess(samples, 5 * 16, "entities were asked for one by one")

    def test_killed_while_asking_again(self):
        """kill -9 of everything among the extra tasks: nothing twice, nothing forgotten, nothing bought again but what
        was on the wire."""
        kills = 3
        with FakeLLM(WORDS, reject_share=0.2, delay=0.2) as llm:
            project = self.make_goal(llm, "{samples: 10, coverage: {min_per_entity: 16, give_up: 10}}")
            asked = 0
            for _ in range(kills):
                process = self.start(project, start_new_session=True)
                coverage = self.wait_for(
                    lambda: (self.stats(project).get("coverage", {}).get("asked_again", 0) > asked + 4
                             and self.stats(project).get("coverage")), process)
                asked = coverage["asked_again"]
                self.kill_group(process)
            process = self.start(project)
            status = self.wait_for(lambda: self.nermill("status", project).stdout, process)
            self.assertRegex(status, r"coverage +\d+ entities have fewer than 16 texts; \d+ extra tasks")
            self.finish(process)
            uses = self.uses(project)
            for word in WORDS:
                self.assertGreaterEqual(uses[word], 16, word)
            self.assertLessEqual(llm.bought_again(), kills * 4)

    def kill_group(self, process):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def test_stopped_and_gone_on(self):
        with FakeLLM(WORDS, delay=0.02) as llm:
            project = self.make_goal(llm, "{samples: 5, coverage: {min_per_entity: 4, give_up: 4}}")
            process = self.start(project)
            self.wait_for(lambda: self.stats(project).get("coverage", {}).get("asked_again", 0) > 2, process)
            process.send_signal(signal.SIGTERM)
            self.finish(process, EXIT_SIGNAL)
            self.finish(self.start(project), EXIT_OK)
            self.assertEqual(llm.bought_again(), 0)
