"""A broker that ended leaves its port to whoever wants one, another run's broker too.  A command for the one run is none
for the other, whatever listens where the run's own broker did.
"""

import json
import os
import signal
import unittest

from fake_llm import FakeLLM
from harness import EXIT_ENDPOINT, EXIT_INPUT
from test_generation import GenerationCase
from test_run import FRUIT, TOWNS, children, is_alive


class OtherRun(GenerationCase):
    def finished(self, llm, name, samples=3):
        """A project of that name whose run is complete."""
        project = self.make(llm, samples=samples)
        project = project.rename(project.with_name(name))
        self.change(project, "name: test", f"name: {name}")
        self.finish(self.start(project))
        return project

    def endpoints(self, project):
        path = project / "run" / "broker" / "endpoints.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def start_at(self, project, stats):
        """A broker of project that listens for commands at stats, and does so."""
        process = self.start_broker(project, "--stats", stats)
        self.wait_for(lambda: self.endpoints(project).get("pid") == process.pid, process)
        return process

    def test_commands_are_for_their_own_run(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            mine, other = self.finished(llm, "mine"), self.finished(llm, "other")
        stats = self.endpoints(mine)["stats"]
        broker = self.start_at(other, stats)
        before = self.nermill("peek", other, 0, "--json").stdout
        for command in (["status"], ["status", "--json"], ["peek", 0], ["peek", 0, "--body", 1], ["dead"], ["workers"], ["coverage"],
                        ["pause"], ["resume"], ["drain"], ["limit", "--samples", 7], ["kick", "all"], ["bury", 0]):
            with self.subTest(command):
                name, *more = command
                self.assert_fails(self.nermill(name, mine, *more), EXIT_ENDPOINT, "another run", "project other", stats)
        now = self.stats(other)
        self.assertEqual((now["state"], now["goal"], now["project"]), ("complete", 3, "other"))
        self.assertEqual(self.nermill("peek", other, 0, "--json").stdout, before)
        # Whoever names no run means whichever is there.
        self.assertEqual(json.loads(self.nermill("status", "--stats", stats, "--json").stdout)["project"], "other")
        self.assert_fails(self.nermill("bury", "--stats", stats, 0), EXIT_INPUT, "not open")
        # And beside it, its own broker is found where it listens now.
        own = self.start_broker(mine)
        self.wait_for(lambda: self.stats(mine).get("project") == "mine", own)
        self.assertNotEqual(self.endpoints(mine)["stats"], stats)
        for task in range(3):
            peek = json.loads(self.nermill("peek", mine, task, "--json").stdout)
            self.assertTrue(peek["responses"][-1]["accepted"], peek)
        self.assertIsNone(broker.poll())

    def test_a_run_counts_by_its_own_broker(self):
        """Its broker is killed, and one that has reached its goal takes the port before it is started again."""
        with FakeLLM(FRUIT + TOWNS) as llm:
            other = self.finished(llm, "other")
        with FakeLLM(FRUIT + TOWNS) as llm:
            llm.gate.clear()
            project = self.make(llm, samples=12)
            process = self.start(project)
            self.wait_for(lambda: llm.in_flight > 0, process)
            process.send_signal(signal.SIGSTOP)
            killed, stats = children(process.pid)["broker"], self.endpoints(project)["stats"]
            os.kill(killed, signal.SIGKILL)
            self.wait_for(lambda: not is_alive(killed), process)
            broker = self.start_at(other, stats)
            process.send_signal(signal.SIGCONT)
            log = project / "run" / "logs" / "run.log"
            self.wait_for(lambda: log.read_text().count("could not start yet") > 1, process)
            broker.send_signal(signal.SIGTERM)
            broker.wait()
            llm.gate.set()
            self.finish(process)
            self.check_data(project, 12)
            self.assertEqual(llm.bought_again(), 0)


if __name__ == "__main__":
    unittest.main()
