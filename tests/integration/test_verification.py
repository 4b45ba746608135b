"""A second look at each text: what both looks saw is labelled, what only one saw is masked, or the text dropped; and the
look is a call like any other: never made twice, whatever is killed.  Markup: the model's own marks become the labels.
"""

import json
import signal
import subprocess
import unittest

from fake_llm import FakeLLM
from harness import program
from test_run import CONCURRENCY, FRUIT, TOWNS, RunCase

LABELS = {**{word: "Fruit" for word in FRUIT}, **{word: "Town" for word in TOWNS}}
TYPES = ("Fruit", "Town")
BLIND = ("apple", "Lima", "lemon", "Quito")


class Verified(RunCase):
    def words(self, text):
        return [word for word in LABELS if word in text.replace(".", " ").split()]

    def answers(self, project, tasks):
        """The last answer to each task, out of the response log; a broker is started alone for it."""
        broker = subprocess.Popen([program("nermill-broker"), str(project), "--state", str(project / "run" / "broker")],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.running.append(broker)
        self.wait_for(lambda: self.stats(project), broker)
        found = []
        for task in tasks:
            result = self.nermill("peek", project, task, "--json")
            self.assertEqual(result.returncode, 0, result.stderr)
            found.append(json.loads(result.stdout)["responses"][-1])
        broker.send_signal(signal.SIGTERM)
        broker.wait()
        return found

    def check_mentions(self, project, lines, masked):
        """Each listed word is a mention; those that the second look misses are masked, and no others."""
        seen = 0
        for answer in self.answers(project, [line["provenance"]["task"] for line in lines[:12]]):
            self.assertTrue(answer["verifies"] and answer["accepted"], answer)
            states = {answer["text"][start:end]: (TYPES[kind], state) for start, end, kind, state in answer["mentions"]}
            self.assertEqual(states, {word: (LABELS[word], int(word in masked)) for word in self.words(answer["text"])})
            seen += len(states)
        self.assertTrue(seen)

    def check_data(self, project, samples, masked=()):
        """And each listed word is a span of the data set: of its type, or masked."""
        lines = super().check_data(project, samples)
        for line in lines:
            spans = {line["text"][e["start"]:e["end"]]: e["type"] for e in line["entities"]}
            for word in self.words(line["text"]):
                self.assertEqual(spans.get(word, "absent"), None if word in masked else LABELS[word], line)
        return lines

    def test_mask(self):
        with FakeLLM(FRUIT + TOWNS, reject_share=0.2, labels=LABELS, blind=BLIND) as llm:
            project = self.make(llm, samples=40, more="verification: {mode: mask}\n")
            process = self.start(project)
            self.finish(process)
            lines = self.check_data(project, 40, BLIND)
            self.check_mentions(project, lines, BLIND)
            self.assertTrue(any(word in line["text"] for line in lines for word in BLIND))
            self.assertEqual(llm.bought_again(), 0)
            self.assertEqual(len(llm.looks), 40, "one look for each text that passed")
            for body in llm.looks:
                self.assertIn(b'"temperature":0,', body)
            # Provenance is of the call that made the text.
            self.assertTrue(all(line["provenance"]["attempt"] >= 2 for line in lines))
            done = self.nermill("check", project)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.finish(self.start(project))  # and nothing is left to do

    def test_drop(self):
        with FakeLLM(FRUIT + TOWNS, labels=LABELS, blind=BLIND) as llm:
            project = self.make(llm, samples=30, more="verification: {mode: drop}\ngeneration: {attempts: 2}\n")
            self.finish(self.start(project))
            lines = self.check_data(project, 30)
            self.assertFalse([line for line in lines for word in BLIND if word in line["text"].split()])
            self.check_mentions(project, lines, ())
            self.assertEqual(llm.bought_again(), 0)

    def test_an_endpoint_of_its_own(self):
        with FakeLLM(FRUIT + TOWNS) as maker, FakeLLM(FRUIT + TOWNS, labels=LABELS) as judge:
            project = self.make(maker, samples=30, more="verification: {mode: mask, endpoint: judge}\n"
                                                        "generation: {constrain: never}\n")
            path = project / "project.yaml"
            path.write_text(path.read_text().replace(
                "endpoints:\n", f"endpoints:\n  - {{name: judge, url: '{judge.url}', model: judge, concurrency: 2}}\n"))
            self.finish(self.start(project))
            lines = self.check_data(project, 30)
            self.check_mentions(project, lines, ())
            self.assertEqual(maker.looks, [])
            self.assertEqual(len(judge.looks), len(judge.bodies), "the judge made texts")
            self.assertEqual({line["provenance"]["model"] for line in lines}, {"fake"})

    def test_kill_each_in_turn(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.03, reject_share=0.1, labels=LABELS) as llm:
            project = self.make(llm, samples=120, more="verification: {mode: mask}\n")
            process = self.start(project)
            self.kill_each_in_turn(project, process, 12)
            self.finish(process)
            self.check_data(project, 120)
            self.assertLessEqual(llm.bought_again(), 2 * CONCURRENCY, "more than was on the wire at two kills")
            done = self.nermill("check", project)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Marked(RunCase):
    def test_markup(self):
        """Every mention that the model marks is a label, and nothing else is; with and without a constraint."""
        for constrain in ("never", "always"):
            with self.subTest(constrain), FakeLLM(FRUIT + TOWNS, labels=LABELS, honours="structured_outputs") as llm:
                project = self.project(
                    name=constrain, url=llm.url, samples=30, Fruit="\n".join(FRUIT) + "\n", Town="\n".join(TOWNS) + "\n",
                    more=f"generation: {{mode: markup, constrain: {constrain}, negatives: 0}}\n")
                self.finish(self.start(project))
                lines = self.check_data(project, 30)
                for line in lines:
                    self.assertNotIn("[[", line["text"])
                    spans = {line["text"][e["start"]:e["end"]]: e["type"] for e in line["entities"]}
                    for word in LABELS:
                        if word in line["text"].split():
                            self.assertEqual(spans[word], LABELS[word])
                self.assertTrue(any(line["entities"] for line in lines))


if __name__ == "__main__":
    unittest.main()
