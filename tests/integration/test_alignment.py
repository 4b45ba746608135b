"""The section alignment of project.yaml, from the file to the samples: a tokeniser learnt from a file that only the broker
has, marks that the lists do not know, and what the statistics count."""

import json
import signal
import subprocess
import unittest

from fake_llm import FakeLLM
from harness import EXIT_INPUT, program
from test_run import FRUIT, TOWNS, RunCase

LABELS = {**{word: "Fruit" for word in FRUIT}, **{word: "Town" for word in TOWNS}}
# As its file cuts: the last word of a sentence keeps its period.
GOLD = "The\tO\nold\tO\nmango\tB-Fruit\nwas\tO\nsold.\tO\n\nIt\tO\ncame\tO\nlater.\tO\n"


class Alignment(RunCase):
    def statistics(self, project):
        broker = subprocess.Popen([program("nermill-broker"), str(project), "--state", str(project / "run" / "broker")],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.running.append(broker)
        spans = self.wait_for(lambda: self.stats(project).get("spans"), broker)
        broker.send_signal(signal.SIGTERM)
        broker.wait()
        return spans

    def samples(self, project):
        return [json.loads(line) for line in (project / "run/data/train.jsonl").read_text().splitlines()]

    def test_learned_tokenizer(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=12, more="alignment: {tokenizer: learned, learn_from: gold.conll}\n")
            (project / "gold.conll").write_text(GOLD)
            self.finish(self.start(project))
            samples = self.samples(project)
            self.assertEqual(len(samples), 12)
            for sample in samples:
                self.assertTrue(sample["tokens"][-1].endswith("later."), sample["tokens"])
                for token, (start, end) in zip(sample["tokens"], sample["offsets"]):
                    self.assertEqual(sample["text"][start:end], token)
            # Another file is another way to cut: the run does not go on with it by itself.
            (project / "gold.conll").write_text(GOLD.replace("sold.\tO", "sold\tO\n.\tO"))
            _, err = self.finish(self.start(project), EXIT_INPUT)
            self.assertIn("alignment", err)

    def test_a_file_that_is_not_there(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=4, more="alignment: {tokenizer: learned, learn_from: none.conll}\n")
            process = self.start(project)
            out, err = process.communicate(timeout=60)
            self.assertNotEqual(process.returncode, 0)
            self.assertIn("none.conll", out + err)

    def test_marks_that_no_list_holds(self):
        # The model marks "part", which is in every sentence and on no list, as a town.
        with FakeLLM(FRUIT + TOWNS, labels={**LABELS, "part": "Town"}) as llm:
            project = self.make(llm, samples=12, more="generation: {mode: markup, negatives: 0.0}\n")
            self.finish(self.start(project))
            samples = self.samples(project)
            for sample in samples:
                masked = [e for e in sample["entities"] if e["type"] is None]
                self.assertEqual([(e["text"], e["note"], e["index"]) for e in masked], [("part", "unlisted", None)])
                self.assertEqual(sample["tags"][sample["tokens"].index("part")], "-")
                self.assertTrue(any(e["type"] and "note" not in e for e in sample["entities"]))
            spans = self.statistics(project)
            self.assertEqual((spans["masked"], spans["unlisted"]), (len(samples), len(samples)))
            self.assertEqual(spans["all"], sum(len(sample["entities"]) for sample in samples))


if __name__ == "__main__":
    unittest.main()
