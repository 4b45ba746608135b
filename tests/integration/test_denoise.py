"""Labels judged by taggers that have not seen them: planted noise is found, nothing else is touched."""

import json
import random
import shutil

import tiny_bert
from fake_llm import FakeLLM
from harness import EXIT_OK, EXIT_USAGE, program
import test_run


class Tagged(test_run.WithTraining):
    """Its encoder and its project, not its tests."""

    test_model_and_scores = test_evaluate = None


class Planted(Tagged):
    """Noise in a corpus that a tiny model learns to the last word."""

    def plant(self, sentences):
        """noisy.conll and the places (sentence, word) of labels that are missing and of those that are false."""
        rng, missing, false, out = random.Random(5), set(), set(), []
        for i, sentence in enumerate(tiny_bert.corpus(sentences).strip().split("\n\n")):
            rows = [line.split("\t") for line in sentence.split("\n")]
            for k, row in enumerate(rows):
                if row[1].startswith("B-") and rng.random() < 0.08:
                    row[1] = "O"
                    missing.add((i, k))
                elif row[0] == "red" and rng.random() < 0.1:
                    row[1] = "B-Metal"
                    false.add((i, k))
            out.append("\n".join("\t".join(row) for row in rows))
        return self.write("noisy.conll", "\n\n".join(out) + "\n"), missing, false

    def read(self, path):
        return [[line.split("\t") for line in s.split("\n")] for s in path.read_text().strip().split("\n\n")]

    def test_what_was_planted_is_found(self):
        noisy, missing, false = self.plant(1500)
        out = self.dir / "out.conll"
        args = ["denoise", noisy, "--model", self.encoder, "--format", "conll", "--out", out, "--epochs", 10, "--lr", "0.01"]
        result = self.nermill(*args)
        self.assertEqual(result.returncode, EXIT_OK, result.stderr)
        before, after = self.read(noisy), self.read(out)
        self.assertEqual([[w for w, _ in s] for s in before], [[w for w, _ in s] for s in after])
        changed = {(i, k): (b[1], a[1]) for i, (x, y) in enumerate(zip(before, after)) for k, (b, a) in enumerate(zip(x, y))
                   if b != a}
        for place, (was, now) in changed.items():
            self.assertEqual(now, "-" if was == "O" else "O", place)
        found = {p for p, (was, _) in changed.items() if was == "O"}
        dropped = {p for p, (was, _) in changed.items() if was != "O"}
        # Of what was planted nearly all; of all else nearly nothing.
        self.assertGreater(len(found & missing), 0.9 * len(missing))
        self.assertGreater(len(dropped & false), 0.9 * len(false))
        self.assertLess(len(found - missing) + len(dropped - false), 0.1 * len(missing | false))
        # Again, without the view: the models are there, and it comes out the same.
        text = out.read_bytes()
        out.unlink()
        self.assertEqual(self.nermill(*args).returncode, EXIT_OK)
        self.assertEqual(out.read_bytes(), text)

    def test_models_that_have_learnt_nothing_judge_nothing(self):
        noisy, _, _ = self.plant(60)
        out = self.dir / "out.jsonl"
        result = self.nermill("denoise", noisy, "--model", self.encoder, "--out", out, "--epochs", 1, "--lr", "1e-9")
        self.assertNotEqual(result.returncode, EXIT_OK)
        self.assertIn("learnt too little", result.stderr)
        self.assertFalse(out.exists())

    def test_command_line(self):
        noisy, _, _ = self.plant(20)
        self.assertEqual(self.nermill("denoise", noisy, "--model", "m", "--out", "o", "--format", "brat").returncode, EXIT_USAGE)
        self.assertIn("--model", self.nermill("denoise", noisy, "--out", self.dir / "o").stderr)
        self.assertIn("--out", self.nermill("denoise", noisy, "--model", self.encoder).stderr)


class InARun(Tagged):
    def test_the_tagger_is_trained_on_the_view(self):
        program("nermill-trainer")
        with FakeLLM(sum(self.LISTS.values(), [])) as llm:
            project = self.make_trained(llm, 60)
            path = project / "project.yaml"
            path.write_text(path.read_text().replace("epochs: 2, batch: 8", "epochs: 30, batch: 4, learning_rate: 0.01")
                            + "denoise: {folds: 2, train_folds: 1, rejected: mask}\n")
            self.run_it(project)
            data = project / "run" / "data"
            words = lambda name: [line.split("\t")[0] for line in (data / name).read_text().splitlines()]
            self.assertEqual(words("denoised.conll"), words("train.conll"))
            record = json.loads((project / "run" / "model" / "nermill.json").read_text())
            self.assertEqual(record["data"]["sentences"], 60)


class LostStore(Tagged):
    def test_a_run_whose_store_is_gone_makes_it_again(self):
        """The aligner's directory is deleted between two runs: its samples come back, and no call is made."""
        with FakeLLM(sum(self.LISTS.values(), [])) as llm:
            project = self.make_trained(llm, 40)
            self.finish(self.start(project))
            text = (project / "run" / "data" / "train.jsonl").read_bytes()
            bought = len(llm.bodies)
            shutil.rmtree(project / "run" / "aligner-1")
            (project / "run" / "data" / "train.jsonl").unlink()
            self.finish(self.start(project))
            self.assertEqual((project / "run" / "data" / "train.jsonl").read_bytes(), text)
            self.assertEqual(len(llm.bodies), bought)


if __name__ == "__main__":
    import unittest

    unittest.main()
