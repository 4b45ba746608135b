"""The operator and single tasks, entities and workers: dead letters, kicks, burials, and what can be looked at."""

import json
import signal
import socket
import unittest

from desk_case import FRUIT, TOWNS, DeskCase
from fake_llm import FakeLLM
from harness import EXIT_INPUT


class Letters(DeskCase):
    def test_dead_letters(self):
        """Given up after two answers: why, with what text; kicked, each is accepted with the attempts that follow."""
        with FakeLLM(FRUIT + TOWNS, reject_share=1.0) as llm:
            self.begin(llm, samples=6, more="generation: {attempts: 2, negatives: 0}\n", aligner=True)
            self.wait_for(lambda: self.state() == "stuck")
            first = self.desk("dead", "-n", 5)
            total = self.status()["dead"]
            self.assertEqual(first["total"], total)
            self.assertEqual([letter["task"] for letter in first["dead"]], [0, 1, 2, 3, 4])
            rest = self.desk("dead", "--from", first["next"], "-n", 200)
            self.assertEqual(len(rest["dead"]), total - 5)
            self.assertIsNone(rest["next"])
            for letter in first["dead"]:
                self.assertEqual(letter["rule"], "entity_missing")
                self.assertEqual(letter["attempts"], 2)
                self.assertFalse(letter["by_hand"])
                self.assertRegex(letter["prompt_hash"], r"^[0-9a-f]{32}$")
                self.assertTrue(letter["text"] and letter["detail"] and letter["entities"])
                self.assertRegex(letter["prompt"], r"(?s)^system> .*\nuser> .*" + letter["entities"][0]["text"])
            shown = self.desk("peek", 3)
            self.assertEqual((shown["state"], shown["attempt"]), ("dead", 2))
            self.assertEqual([r["attempt"] for r in shown["responses"]], [1, 2])
            self.assertEqual([r["prompt"] for r in shown["responses"]], ["", first["dead"][3]["prompt"]])
            stats = json.loads((self.dir / "broker" / "endpoints.json").read_text())["stats"]
            body = json.loads(self.nermill("peek", 3, "--body", 2, "--stats", stats).stdout)
            self.assertEqual(body["choices"][0]["message"]["content"], shown["responses"][1]["text"])
            self.assertIn("dead letters", self.nermill("dead", "--stats", stats).stdout)
            words = self.nermill("peek", 3, "--stats", stats).stdout
            self.assertIn("attempt 2: rejected, entity_missing", words)
            self.assertRegex(words, r"(?m)^  prompt +system> ")
            self.crash()
            self.assertEqual(self.desk("dead", "-n", 5), first)
            llm.reject_share = 0.0
            self.wait_for(lambda: self.status()["workers"][0]["connected"])
            self.assertEqual(self.desk("kick", 3)["kicked"], 1)
            self.wait_for(lambda: self.desk("peek", 3)["state"] == "done")
            shown = self.desk("peek", 3)
            self.assertEqual([r["attempt"] for r in shown["responses"]], [1, 2, 3])
            self.assertTrue(shown["responses"][2]["accepted"])
            self.assertIn("no dead letter", self.desk("kick", 3, code=EXIT_INPUT))
            self.assertEqual(self.desk("kick", "-n", 2)["kicked"], 2)
            self.assertEqual(self.desk("kick", "all")["kicked"], total - 3)
            self.crash()
            self.wait_for(lambda: self.state() == "complete")
            status = self.status()
            self.assertEqual((status["aligned"], status["dead"]), (6, 0))  # no more calls than the goal needs
            self.assertEqual(llm.bought_again(), 0)

    def test_coverage(self):
        """Entity by entity, page by page; the sums are the run's own."""
        with FakeLLM(FRUIT + TOWNS, reject_share=0.4) as llm:
            self.begin(llm, samples=40, more="generation: {attempts: 9, negatives: 0, entities: {min: 1, max: 2}}\n", aligner=True)
            self.wait_for(lambda: self.state() == "complete")
            first = self.desk("coverage", "-n", 7)
            rest = self.desk("coverage", "--from", first["next"], "-n", 1000)
            entities = first["entities"] + rest["entities"]
            self.assertEqual((first["total"], len(first["entities"]), rest["next"]), (12, 7, None))
            self.assertEqual(sorted(e["text"] for e in entities), sorted(FRUIT + TOWNS))
            self.assertEqual([e["entity"] for e in entities], list(range(12)))
            status = self.status()
            self.assertEqual(sum(e["asked"] for e in entities), status["coverage"]["asked"])
            self.assertEqual(sum(e["accepted"] for e in entities), round(12 * status["coverage"]["mean"]))
            for e in entities:
                self.assertEqual(sum(e["rejected_by_rule"].values()), e["rejected"])
                self.assertEqual(e["accepted"], e["asked"])  # every task was answered in the end
            self.assertEqual(set().union(*(e["rejected_by_rule"] for e in entities)), set(status["rejected_by_rule"]))
            only = self.desk("coverage", "--rejected", "-n", 1000)["entities"]
            self.assertEqual(only, [e for e in entities if e["rejected"]])
            self.assertTrue(only)
            self.crash()
            self.assertEqual(self.desk("coverage", "-n", 1000)["entities"], entities)
            self.assertEqual(self.desk("coverage", "--from", 12)["entities"], [])
            stats = json.loads((self.dir / "broker" / "endpoints.json").read_text())["stats"]
            shown = self.nermill("coverage", "--stats", stats, "-n", 3).stdout
            self.assertRegex(shown, r"(?m)^ +\d+ +\d+ +\d+  \w+ \((Fruit|Town)\)")
            self.assertIn("more: --from 3", shown)

    def test_delayed_tasks(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            self.begin(llm)
            self.wait_for(lambda: self.status()["accepted"] > 0)
            llm.steady, llm.retry_after = "429", 4
            self.wait_for(lambda: self.status()["tasks"]["delayed"] > 0)
            opened = self.status()["tasks"]["opened"]
            shown = next(peeked for peeked in (self.desk("peek", task) for task in range(opened - 1, -1, -1))
                         if peeked["state"] == "delayed")
            self.assertEqual((shown["failed_calls"][0]["kind"], shown["failed_calls"][0]["status"]), ("http", 429))
            self.assertEqual(shown["failures"], shown["failed_calls"][0]["count"])
            self.assertGreaterEqual(shown["failures"], 1)
            self.crash()
            self.wait_for(lambda: self.status()["workers"][0]["connected"])
            self.wait_for(lambda: self.status()["tasks"]["delayed"] > 0)
            llm.steady = None
            self.assertGreater(self.desk("kick", "all")["kicked"], 0)
            self.wait_for(lambda: self.status()["tasks"]["delayed"] == 0)
            accepted = self.status()["accepted"]
            self.wait_for(lambda: self.status()["accepted"] > accepted)

    def test_bury(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.02) as llm:
            llm.gate.clear()
            # No canary, which would take the first task's place: its own call is the one under way.
            self.begin(llm, aligner=True, more="generation: {constrain: never}\n")
            self.wait_for(lambda: len(llm.bodies) == 1)
            self.assertEqual(self.desk("peek", 0)["state"], "leased")
            self.assertEqual(self.desk("bury", 0, "--why", "Oslo is no fruit")["was"], "leased")
            letter = self.desk("dead")["dead"][0]
            self.assertEqual((letter["task"], letter["rule"], letter["why"]), (0, "buried", "Oslo is no fruit"))
            self.assertEqual((letter["by_hand"], letter["attempts"]), (True, 0))
            self.assertIn("not open", self.desk("bury", 0, code=EXIT_INPUT))
            self.assertIn("not open", self.desk("bury", 10 ** 12, code=EXIT_INPUT))
            self.crash()
            self.assertEqual(self.desk("peek", 0)["state"], "dead")
            # Its call was paid for: the answer that comes is in the log.
            llm.gate.set()
            self.wait_for(lambda: len(self.desk("peek", 0)["responses"]) == 1)
            self.assertEqual(self.desk("peek", 0)["state"], "dead")
            self.assertEqual(self.desk("kick", 0)["kicked"], 1)
            self.wait_for(lambda: self.desk("peek", 0)["state"] == "done")
            self.assertEqual(self.desk("peek", 0)["attempt"], 2)

    def test_an_earlier_generation(self):
        """A text of an earlier generation can be buried; kicked, it would ask for what is no longer planned."""
        with FakeLLM(FRUIT + TOWNS) as llm:
            self.begin(llm, samples=20)
            self.wait_for(lambda: self.status()["tasks"]["accepted"] == 20)
            path = self.project_dir / "project.yaml"
            path.write_text(path.read_text() + "generation: {domain: cooking}\n")
            self.crash("--new-generation", "keep")
            self.assertEqual(self.desk("bury", 7)["was"], "accepted")
            self.assertIn("generation 0 of the run, which is at 1", self.desk("kick", 7, code=EXIT_INPUT))
            self.assertEqual(self.desk("kick", "all")["kicked"], 0)
            self.assertEqual(self.desk("peek", 7)["state"], "dead")

    def test_workers(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.3) as llm:
            self.begin(llm, aligner=True)
            self.wait_for(lambda: len(self.desk("workers")["workers"]) == 2)
            self.assertEqual(self.worker("generator")["pid"], self.maker.pid)
            self.assertEqual(self.worker("generator")["host"], socket.gethostname())
            self.wait_for(lambda: self.worker("generator")["in_flight"] >= 4)
            self.maker.send_signal(signal.SIGTERM)
            self.wait_for(lambda: not self.worker("generator")["connected"])
            self.wait_for(lambda: self.worker("generator")["in_flight"] == 0)
            self.assertTrue(self.worker("aligner")["connected"])

    def test_idle_workers_come_back(self):
        """To a broker that was killed, by themselves: their next heartbeat is an hour away, and they have nothing to say."""
        with FakeLLM(FRUIT + TOWNS) as llm:
            self.begin(llm, samples=5, aligner=True, times="heartbeat_s: 3600, lease_s: 86400, ")
            self.wait_for(lambda: self.state() == "complete")
            for _ in range(2):
                self.crash()
                self.wait_for(lambda: all(w["connected"] for w in self.desk("workers")["workers"]))
            self.desk("limit", "--samples", 9)
            self.wait_for(lambda: self.status()["aligned"] == 9)

    def worker(self, role):
        return next(w for w in self.desk("workers")["workers"] if w["role"] == role)

if __name__ == "__main__":
    unittest.main()
