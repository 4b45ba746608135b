"""nermill experiment with real processes, a scripted LLM and a tiny BERT: cells, kills, the guard."""

import json
import unittest

import harness
import tiny_bert
from fake_llm import FakeLLM
from harness import EXIT_OK

WORDS = ["zinc", "iron", "fever", "cough"]
PROJECT = """project:
  seed: 5
  endpoints:
    - {{name: fake, url: '{url}', model: fake, concurrency: 4, timeout_s: 20}}
  generation: {{constrain: never, words: {{min: 4, max: 40}}, negatives: 0.1}}
  dedup: {{near: 0}}
  trainer: {{model: base, epochs: 10, gold_epochs: 10, batch: 8, learning_rate: 0.01, precision: fp32}}
"""


class ExperimentCase(harness.Case):
    def setUp(self):
        super().setUp()
        for name in ("broker", "generator", "aligner", "trainer"):
            harness.program(f"nermill-{name}")
        tiny_bert.write(self.dir / "base")
        self.write("train.conll", tiny_bert.corpus(60))
        self.write("devel.conll", tiny_bert.corpus(30, seed=3))
        self.write("test.conll", tiny_bert.corpus(30, seed=4))
        self.write("metals.txt", "zinc\niron\n")
        self.write("ills.txt", "fever\ncough\n")

    def file(self, url="http://127.0.0.1:9/v1", arms="[gold, synthetic, then]", grid="", more="", corpus="", project="",
             name="tiny.yaml"):
        return self.write(name, f"""version: 1
name: tiny
corpus: {{train: train.conll, devel: devel.conll, test: test.conll, guard_words: 8{corpus}}}
types:
  - {{type: Metal, file: metals.txt}}
  - {{type: Ill, file: ills.txt}}
grid:
  arms: {arms}
  gold: [10, 20]
  samples: [24]
  draws: 2
  seeds: [1]
{grid}""" + PROJECT.format(url=url) + project + more)

    def experiment(self, path, *args, **more):
        return self.nermill("experiment", path, *args, **more)

    def cells(self, state="tiny.run"):
        return {p.stem: json.loads(p.read_text()) for p in (self.dir / state / "cells").glob("*.json")}


class Whole(ExperimentCase):
    def test_grid(self):
        with FakeLLM(WORDS) as llm:
            path = self.file(llm.url)
            result = self.experiment(path, "--list")
            self.assertEqual(result.returncode, EXIT_OK, result.stderr)
            self.assertEqual(result.stdout.count("\nleft  "), 9, result.stdout)
            result = self.experiment(path)
            self.assertEqual(result.returncode, EXIT_OK, result.stderr + result.stdout)
            bought = len(llm.bodies)
            again = self.experiment(path)
            self.assertEqual(again.returncode, EXIT_OK, again.stderr)
            self.assertEqual(len(llm.bodies), bought)
        self.assertEqual(len(self.cells()), 9)


if __name__ == "__main__":
    unittest.main()
