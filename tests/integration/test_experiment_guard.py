"""No sentence of the test part comes into an experiment: each way in is refused; only what is sealed is scored on it."""

import json
import os
import re
import unittest

from experiment_case import WORDS, ExperimentCase
from fake_llm import FakeLLM
from harness import EXIT_FAILURE, EXIT_INPUT, EXIT_STORAGE


class Guard(ExperimentCase):
    """Each way in is refused, before anything is started."""

    def setUp(self):
        super().setUp()
        self.sentence = next(block for block in self.words_of("test.conll") if len(block) >= 10)

    def words_of(self, name):
        return [[line.split("\t")[0] for line in block.split("\n")] for block in
                (self.dir / name).read_text().strip().split("\n\n")]

    def refused(self, path, *words, code=EXIT_STORAGE):
        self.assert_fails(self.experiment(path), code, "test part", *words)
        self.assertNotIn(" run ", self.log())

    def test_train_is_the_test_file(self):
        self.refused(self.file(train="test.conll"), "corpus.train")
        os.link(self.dir / "test.conll", self.dir / "hard.conll")
        self.refused(self.file(train="hard.conll"), "corpus.train")
        os.symlink(self.dir / "test.conll", self.dir / "soft.conll")
        self.refused(self.file(train="soft.conll"), "corpus.train")
        self.write("copy.conll", (self.dir / "test.conll").read_bytes())
        self.refused(self.file(train="copy.conll"), "corpus.train")

    def test_train_holds_the_test_part_in_another_form(self):
        text = (self.dir / "test.conll").read_text().replace("\t", " X ").upper().replace("B-METAL", "B-Metal")
        self.write("disguised.conll", (self.dir / "train.conll").read_text() + "\n" + text.replace("B-ILL", "B-Ill"))
        self.refused(self.file(train="disguised.conll"), "corpus.train", "no accident")

    def test_devel_is_the_test_file(self):
        self.write("devel.conll", (self.dir / "test.conll").read_bytes())
        self.refused(self.file(), "corpus.devel")

    def test_a_sentence_in_both_is_left_out_and_said(self):
        shared = "\n".join(f"{word}\tO" for word in self.sentence)
        self.write("train.conll", (self.dir / "train.conll").read_text() + "\n" + shared + "\n")
        said = self.run_whole(self.file(), "--list")
        self.assertIn("1 sentences of train, 0 of devel", said)
        self.assertIn("drawn from 60 sentences", said)
        kept = self.words_of("tiny.run/corpus/train.conll")
        self.assertEqual((len(kept), self.sentence in kept), (60, False))

    def test_files_of_the_project(self):
        text = " ".join(self.sentence)
        self.write("prompt.txt", "%system\nWrite.\n%user\n" + text + "\n{{terms}}\n")
        self.refused(self.file(generation=", template: prompt.txt"), "generation.template")
        self.write("few.conll", "\n".join(f"{word}\tO" for word in self.sentence) + "\n")
        self.refused(self.file(generation=", exemplars: {file: few.conll}"), "generation.exemplars.file")
        self.write("answers.jsonl", json.dumps({"text": text}) + "\n")
        self.refused(self.file(generation=", replay: answers.jsonl"), "generation.replay")
        self.write("decoys.txt", text + "\n")
        self.refused(self.file(generation=", decoys: {file: decoys.txt}"), "generation.decoys.file")
        self.refused(self.file(more="  augmentation: {asides: decoys.txt}\n"), "augmentation.asides")
        self.refused(self.file(more="  augmentation: {decoys: decoys.txt}\n"), "augmentation.decoys")
        self.refused(self.file(more="  name: test.conll\n"), "name")  # whatever key it is
        self.refused(self.file(more="  leakage: {gold: [test.conll]}\n"), "leakage.gold")
        self.refused(self.file(more="  alignment: {tokenizer: learned, learn_from: test.conll}\n"), "alignment.learn_from")
        ablation = "ablations:\n  - {name: sly, set: {generation: {exemplars: {file: test.conll}}}}\n"
        self.refused(self.file(more=ablation), "of sly")

    def test_lists_and_encoder(self):
        self.write("metals.txt", "zinc\n" + " ".join(self.sentence) + "\n")
        self.write("ills.txt", "fever\n")
        self.refused(self.file(types="  - {type: Metal, file: metals.txt}\n  - {type: Ill, file: ills.txt}\n"), "Metal")
        (self.dir / "base" / "nermill.json").write_text("{}")
        self.assert_fails(self.experiment(self.file()), EXIT_STORAGE, "trainer.model", "nermill has trained")

    def test_what_is_trained_on(self):
        """A synthetic sentence that turns out to be one of the test part: no tagger is trained on it."""
        with FakeLLM(WORDS) as llm:
            path = self.file(llm.url, "[synthetic]")
            self.run_whole(path)
            made = next((self.dir / "tiny.run" / "data").glob("*.conll")).read_text().split("\n\n")[0]
            self.write("test.conll", (self.dir / "test.conll").read_text() + "\n" + made + "\n")
            result = self.experiment(path, "--state", self.dir / "second")
        self.assert_fails(result, EXIT_FAILURE, "training data", "test part")
        self.assertFalse(list((self.dir / "second" / "cells").iterdir()))

    def test_an_argument_that_has_become_it(self):
        """What a step before has made, and somebody has replaced since."""
        path = self.file(arms="[dictionary]")
        self.run_whole(path)
        state = self.dir / "tiny.run"
        cell, = (state / "cells").glob("*.json")
        cell.unlink()
        made, = (state / "lists").glob("*/Metal.txt")
        made.unlink()
        os.link(self.dir / "test.conll", made)
        self.assert_fails(self.experiment(path), EXIT_FAILURE, "would be given the test part")
        self.assertFalse(cell.exists())

    def test_no_program_is_given_it(self):
        with FakeLLM(WORDS) as llm:
            self.run_whole(self.file(llm.url, "[gold, synthetic, dictionary]", draws=1))
        started = re.findall(r"^\S+ run .*", self.log(), re.M)
        self.assertGreater(len(started), 8)
        for line in started:
            self.assertNotIn("test.conll", line)
            self.assertNotIn("corpus/test", line)
        self.assertFalse(list((self.dir / "tiny.run" / "corpus").glob("test*")))


class Seal(ExperimentCase):
    def test_only_what_is_sealed_is_scored_on_test(self):
        arms = "[gold, dictionary]"
        final = self.file(arms=arms, evaluate="test", draws=1)
        self.assert_fails(self.experiment(final), EXIT_STORAGE, "nothing is sealed")
        self.assertFalse(list((self.dir / "tiny.run" / "corpus").glob("test*")))
        self.assertIn("sealed as", self.run_whole(final, "--seal"))
        said = self.run_whole(final)
        self.assertIn("by seal 1", said)
        results = json.loads((self.dir / "tiny.run" / "test" / "results.json").read_text())
        self.assertEqual((len(results["cells"]), results["on"], results["seal"]["number"]), (3, "test", 1))
        self.assertNotIn(str(self.dir / "test.conll"), self.log())  # words, or columns, and those after the seal
        other = self.file(arms=arms, evaluate="test", draws=2)
        self.assert_fails(self.experiment(other), EXIT_STORAGE, "draw=2", "is not as it was sealed")
        self.run_whole(other, "--seal")
        self.assertIn("had been looked at", self.run_whole(other))
        seal = self.dir / "tiny.run" / "seals" / "2.json"
        seal.write_text(seal.read_text().replace("draw=2", "draw=9"))
        self.assert_fails(self.experiment(other), EXIT_INPUT, "hash differs")


if __name__ == "__main__":
    unittest.main()
