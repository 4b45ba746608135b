"""Several sentences from one call: each is a task's of its own, judged and asked again on its own; the call is made and
paid for once, and its answer is in the log once, whatever is killed.
"""

import json
import math
import signal
import subprocess
import unittest

from fake_llm import FakeLLM
from harness import EXIT_FAILURE, EXIT_INPUT, program
from test_generation import GENERATION, GenerationCase
from test_run import CONCURRENCY, FRUIT, TOWNS

LABELS = {**{word: "Fruit" for word in FRUIT}, **{word: "Town" for word in TOWNS}}
TOKENS_IN = 100  # of each call, as the fake counts


class Several(GenerationCase):
    def several(self, llm, samples, count=3, more=""):
        return self.make(llm, samples=samples, more=f"generation: {{sentences_per_call: {count}{more}}}\n")

    def look(self, project, *commands):
        """The statistics, and the answers to commands, of a broker that is started alone for it."""
        broker = self.start_broker(project)
        stats = self.wait_for(lambda: self.stats(project), broker)
        answers = [self.nermill(*command, "--json") for command in commands]
        broker.send_signal(signal.SIGTERM)
        broker.wait()
        return stats, [json.loads(answer.stdout) for answer in answers]

    def check_ledger(self, project):
        done = self.nermill("check", project)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def check_calls(self, llm, stats):
        """Every call that was answered is in the log, once, with what it used."""
        self.assertEqual(stats["tokens_in"], TOKENS_IN * (stats["responses"] - stats["shared"]))
        self.assertEqual(len(llm.bodies), stats["responses"] - stats["shared"])

    def test_as_many_as_asked_for(self):
        for honours, constrain in ((None, "never"), ("structured_outputs", "always"), ("response_format", "always")):
            with self.subTest(honours), FakeLLM(FRUIT + TOWNS, honours=honours) as llm:
                project = self.several(llm, 18, more=f", constrain: {constrain}, negatives: {0.3 if honours is None else 0}")
                project = project.rename(project.with_name(f"of-{honours}"))
                self.finish(self.start(project))
                self.check_data(project, 18)
                stats, _ = self.look(project)
                # The fake repeats itself now and then: what is refused as a duplicate is asked again, alone.
                again = stats["rejected"]
                self.assertEqual(stats["shared"], 12)
                self.assertEqual(len(llm.bodies), 6 + again)
                self.check_calls(llm, stats)
                self.assertEqual(stats["accepted"], 18)
                self.check_ledger(project)

    def test_what_is_missing_or_bad_is_asked_again_alone(self):
        with FakeLLM(FRUIT + TOWNS, reject_share=0.3, skip_share=0.3) as llm:
            project = self.several(llm, 61, count=5)
            self.finish(self.start(project))
            self.check_data(project, 61)
            stats, _ = self.look(project)
            rules = stats["rejected_by_rule"]
            self.assertGreater(rules.get("line_missing", 0), 3)
            self.assertGreater(rules.get("entity_missing", 0), 3)
            self.assertEqual(llm.bought_again(), 0)
            self.check_calls(llm, stats)
            self.check_ledger(project)
            asked = [json.loads(body)["messages"][-1]["content"] for body in llm.bodies]
            self.assertTrue(any("it was left out" in text for text in asked), "the retry is not told of it")
            self.assertTrue(all("Not like your last answer" not in text for text in asked if "\n2. Terms:" in text))

    def test_the_log_has_the_answer_once(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.several(llm, 3)
            self.finish(self.start(project))
            self.check_data(project, 3)
            self.check_ledger(project)
            commands = [("peek", project, task) for task in range(3)]
            _, peeks = self.look(project, *commands)
            first = [peek["responses"][0] for peek in peeks]
            self.assertEqual([r["line"] for r in first], [1, 2, 3])
            self.assertEqual([r["body_bytes"] > 0 for r in first], [True, False, False])
            self.assertEqual([r.get("reused_from") for r in first[1:]], [0, 0])
            self.assertEqual([r["tokens_in"] for r in first], [TOKENS_IN, 0, 0])
            for name in ("prompt_hash", "seed", "model", "endpoint", "constraint"):
                self.assertEqual(len({r[name] for r in first}), 1, name)
            _, bodies = self.look(project, *(("peek", project, task, "--body", 1) for task in range(3)))
            self.assertEqual(len({str(body["body"]) for body in bodies}), 1)

    def test_marks_verification_and_provenance(self):
        with FakeLLM(FRUIT + TOWNS, labels=LABELS) as llm:
            project = self.make(llm, samples=24, more="generation: {sentences_per_call: 4, mode: markup, negatives: 0}\n"
                                                      "verification: {mode: mask}\n")
            self.finish(self.start(project))
            lines = self.check_data(project, 24)
            for line in lines:
                spans = {line["text"][e["start"]:e["end"]]: e["type"] for e in line["entities"]}
                for word in LABELS:
                    if word in line["text"].split():
                        self.assertEqual(spans.get(word), LABELS[word], line)
            self.assertGreaterEqual(len(llm.looks), 24)
            self.check_ledger(project)

    def test_an_answer_without_sentences(self):
        """Nothing to read in it for anybody: the others of the call burn no attempt, and ask alone."""
        with FakeLLM(FRUIT + TOWNS) as llm:
            llm.faults = ["empty", "500", "429", "null"]
            project = self.several(llm, 24, count=4, more=", attempts: 2")
            self.finish(self.start(project))
            self.check_data(project, 24)
            stats, _ = self.look(project)
            self.assertEqual(stats["dead"], 0)
            self.check_ledger(project)

    def test_kill_each_in_turn(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.1, reject_share=0.1, skip_share=0.1) as llm:
            project = self.several(llm, 100)
            process = self.start(project)
            self.kill_each_in_turn(project, process, 8)
            self.finish(process)
            self.check_data(project, 100)
            self.assertLessEqual(llm.bought_again(), 2 * CONCURRENCY, "more than was on the wire at two kills")
            self.check_ledger(project)

    def test_the_generator_is_lost_with_its_disk(self):
        """What the broker has acknowledged it has whole: the others' sentences are found in it by another generator."""
        with FakeLLM(FRUIT + TOWNS, delay=0.02) as llm:
            project = self.several(llm, 60, count=5)
            process = self.start(project, start_new_session=True)
            self.wait_accepted(project, process, 12)
            self.kill_group(process)
            for state in (project / "run").glob("generator*"):
                subprocess.run(["rm", "-r", str(state)], check=True)
            self.finish(self.start(project))
            self.check_data(project, 60)
            self.assertLessEqual(llm.bought_again(), 2 * CONCURRENCY)  # on the wire, or in the spool that is gone
            self.check_ledger(project)

    def test_the_budget_is_of_calls(self):
        """Ten calls make fifty texts, and those that wait for no call are not held up when nothing is left."""
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=200, more="generation: {sentences_per_call: 5, constrain: never}\n"
                                                       "dedup: {exact: false, near: 0}\nbudget: {requests: 10}\n")
            process = self.start(project)
            _, said = process.communicate(timeout=60)  # it ends by itself when what was bought is aligned
            self.assertEqual(process.returncode, EXIT_FAILURE, said)
            self.assertIn("the budget is used up, with 50 of 200 samples there", said)
            self.assertEqual(len(llm.bodies), 10)
            stats, _ = self.look(project)
            self.assertEqual((stats["accepted"], stats["aligned"]), (50, 50))
            self.assertEqual(stats["budget"]["spent"]["requests"], 10)

    def test_a_changed_number_is_another_prompt(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.several(llm, 24, count=4)
            self.run_it(project)
            self.change(project, "sentences_per_call: 4", "sentences_per_call: 2")
            self.refused(project, "sentences_per_call")
            self.run_it(project, "--new-generation", "fresh")
            self.check_data(project, 24)
            bought = len(llm.bodies)
            self.change(project, "sentences_per_call: 2", "sentences_per_call: 4")
            self.run_it(project, "--new-generation", "fresh")
            lines = self.check_data(project, 24)
            self.assertTrue(all(line["provenance"]["task"] >= 2 * GENERATION for line in lines))
            self.assertLessEqual(len(llm.bodies) - bought, 2, "answers of the first generation were bought again")
            self.assertEqual(llm.bought_again(), 0)
            self.check_ledger(project)

    def test_a_batch_asks_for_one_at_a_time(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.several(llm, 12, count=4)
            out = self.dir / "requests.jsonl"
            done = self.nermill("batch", "export", project, "--out", out, "-n", 6)
            self.assertEqual(done.returncode, 0, done.stderr)
            requests = [json.loads(line) for line in out.read_text().splitlines()]
            self.assertEqual(len(requests), 6)
            for request in requests:
                self.assertNotIn("Answer each of these", request["body"]["messages"][-1]["content"])

    def test_no_room_for_so_many(self):
        project = self.project(more="generation: {sentences_per_call: 20, words: {min: 12, max: 30}}\n")
        for command in (["validate", "--offline"], ["run", "--no-train"]):
            self.assert_fails(self.nermill(*command, project), EXIT_INPUT, "project.yaml:", "sentences_per_call", "max_tokens",
                              "endpoint fake")

    def test_preview(self):
        with FakeLLM(FRUIT + TOWNS, skip_share=0.2) as llm:
            project = self.several(llm, 12, count=4)
            done = subprocess.run([program("nermill-generator"), "preview", str(project), "-n", "10", "-v"],
                                  capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("10 of 10 samples accepted", done.stdout)
            self.assertLess(len(llm.bodies), 10)
            self.assertGreaterEqual(len(llm.bodies), math.ceil(10 / 4))


if __name__ == "__main__":
    unittest.main()
