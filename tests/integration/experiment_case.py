"""An experiment on tiny data: what the tests of nermill experiment share."""

import collections
import re

import harness
import tiny_bert
from harness import EXIT_OK

WORDS = ["zinc", "iron", "fever", "cough"]
PROJECT = """project:
  seed: 5
  endpoints:
    - {{name: fake, url: '{url}', model: fake, concurrency: 4, timeout_s: 20}}
  generation: {{constrain: never, words: {{min: 4, max: 40}}, negatives: 0.1{generation}}}
  trainer: {{model: base, epochs: 10, gold_epochs: 10, gold_steps: 0, batch: 8, learning_rate: 0.01, precision: fp32}}
"""
UNUSED = "http://127.0.0.1:9/v1"


class ExperimentCase(harness.Case):
    def setUp(self):
        super().setUp()
        for name in ("broker", "generator", "aligner", "trainer"):
            harness.program(f"nermill-{name}")
        tiny_bert.write(self.dir / "base")
        self.write("train.conll", tiny_bert.corpus(60))
        self.write("devel.conll", tiny_bert.corpus(30, seed=3))
        self.write("test.conll", tiny_bert.corpus(30, seed=4))

    def file(self, url=UNUSED, arms="[gold, synthetic, then]", grid="", more="", train="train.conll", generation="", types="",
             name="tiny.yaml", evaluate="devel", draws=2):
        return self.write(name, f"""version: 1
name: tiny
evaluate: {evaluate}
corpus: {{train: {train}, devel: devel.conll, test: test.conll}}
types:
{types or "  - {type: Metal}" + chr(10) + "  - {type: Ill}" + chr(10)}grid:
  arms: {arms}
  gold: [10, 20]
  samples: [24]
  draws: {draws}
  seeds: [1]
{grid}{PROJECT.format(url=url, generation=generation)}{more}""")

    def experiment(self, path, *args, **more):
        return self.nermill("experiment", path, *args, **more)

    def run_whole(self, path, *args):
        result = self.experiment(path, *args)
        self.assertEqual(result.returncode, EXIT_OK, result.stderr + result.stdout)
        return result.stdout

    def log(self):
        path = self.dir / "tiny.run" / "experiment.log"
        return path.read_text() if path.exists() else ""

    def done(self):
        """How often each step was done, by its key."""
        return collections.Counter(re.findall(r"^\S+ done (\w+) ", self.log(), re.M))

    def cells(self):
        return {p.stem: p.stat().st_mtime_ns for p in (self.dir / "tiny.run" / "cells").glob("*.json")}
