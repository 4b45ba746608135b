"""nermill experiment with real processes, a scripted LLM and a tiny BERT: the grid, its results, kills, what is wrong in a file."""

import csv
import gzip
import json
import random
import re
import signal
import subprocess
import time
import unittest
import xml.dom.minidom

import harness
from experiment_case import UNUSED, WORDS, ExperimentCase
from fake_llm import FakeLLM
from harness import EXIT_FAILURE, EXIT_INPUT


class Grid(ExperimentCase):
    def test_every_arm_once(self):
        arms = "[gold, replacement, synthetic, then, joint, dictionary, union]"
        with FakeLLM(WORDS) as llm:
            path = self.file(llm.url, arms, draws=1, more="ablations:\n  - {name: more_negatives, arms: [synthetic, gold], gold: [10], "
                                                          "set: {seed: 6, generation: {negatives: 0.5}}}\n")
            listed = self.run_whole(path, "--list")
            self.assertEqual(listed.count("\nleft  "), 13, listed)
            self.run_whole(path)
            bought, cells = len(llm.bodies), self.cells()
            self.assertEqual(len(cells), 12)  # gold alone is the same for the ablation
            self.assertEqual(set(self.done().values()), {1})
            self.run_whole(path)
            self.assertEqual((len(llm.bodies), self.cells()), (bought, cells))
        self.assertEqual(llm.bought_again(), 0)
        self.check_results(self.dir / "tiny.run" / "devel")
        self.assertEqual([p for p in (self.dir / "tiny.run" / "models").iterdir() if p.is_dir()], [])
        listed = self.run_whole(path, "--list")
        self.assertEqual((listed.count("\ndone  "), listed.count("\nleft  ")), (13, 0))

    def check_results(self, results):
        rows = list(csv.DictReader((results / "results.csv").read_text().splitlines()))
        whole = json.loads((results / "results.json").read_text())
        self.assertEqual(len(rows), 13)
        self.assertEqual(len(whole["cells"]), 13)
        for row, cell in zip(rows, whole["cells"]):
            self.assertAlmostEqual(float(row["f1"]), cell["scores"]["f1"], places=5)
            self.assertEqual((row["arm"], row["key"]), (cell["arm"], cell["key"]))
        groups = {(g["variant"], g["arm"], g["gold"]): g for g in whole["groups"]}
        joint = groups["base", "joint", 10]
        difference = joint["f1"]["mean"] - groups["base", "gold", 10]["f1"]["mean"]
        self.assertAlmostEqual(joint["against_gold"]["difference"], difference, places=6)
        self.assertLessEqual(joint["against_gold"]["low"], joint["against_gold"]["high"])
        self.assertGreater(groups["base", "dictionary", None]["f1"]["mean"], 0.99)
        self.assertEqual(len(whole["generations"]), 2)
        table = (results / "tables.md").read_text()
        self.assertEqual(len(re.findall(r"^\| (?:base|more_negatives) \| \w", table, re.M)), 13 + 2)  # groups, generations
        for name in ("learning-curve", "saving", "ablations"):
            svg = xml.dom.minidom.parse(str(results / "figures" / f"{name}.svg"))
            self.assertEqual(svg.documentElement.tagName, "svg")

    def test_answers_replayed_give_the_same_numbers(self):
        with FakeLLM(WORDS) as llm:
            path = self.file(llm.url, "[synthetic, then]", draws=1)
            self.run_whole(path)
        calls = len(llm.bodies)
        again = ["--state", self.dir / "again", "--replay", self.dir / "tiny.run" / "responses"]
        self.run_whole(path, *again)
        self.assertEqual(len(llm.bodies), calls)
        scores = [{c["key"]: c["scores"] for c in json.loads((self.dir / d / "devel" / "results.json").read_text())["cells"]}
                  for d in ("tiny.run", "again")]
        self.assertEqual(scores[0], scores[1])
        sharing = self.file(UNUSED, "[synthetic]", draws=1, name="sharing.yaml", more="ablations:\n  - {name: no_dedup, "
                            "answers_of: base, set: {dedup: {exact: false, near: 0}}}\n")
        said = self.run_whole(sharing, "--state", self.dir / "tiny.run", "--only", "no_dedup *")
        self.assertIn("cell synthetic no_dedup", said)
        self.assertEqual(len(llm.bodies), calls)
        other = self.file(UNUSED, "[synthetic]", more="ablations:\n  - {name: other, set: {seed: 6}}\n", name="other.yaml")
        self.assert_fails(self.experiment(other, *again), EXIT_FAILURE, "no answers are recorded")
        # A gap is no matter of size: later tasks would fill it, and the data set would be another one.
        (file,) = (self.dir / "tiny.run" / "responses").glob("*.gz")
        lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
        file.write_bytes(gzip.compress(b"".join(lines[:3] + lines[4:])))
        part = ["--state", self.dir / "part", *again[2:]]
        fewer = self.write("fewer.yaml", path.read_text().replace("samples: [24]", "samples: [12]"))
        self.assert_fails(self.experiment(fewer, *part), EXIT_FAILURE, "requests without an answer in", ": 1;")


    def test_augmented_sentences(self):
        """Copies of the same answers: an ablation without them, and one with other asides, ask for nothing."""
        self.write("asides.txt", "# none of these is an entity\n(n = 12)\nMetal: * salts\n")
        self.write("other.txt", "at 10 mg/kg\n")
        more = ("  augmentation: {copies: 2, asides: asides.txt, aside: 0.5}\n"
                "ablations:\n  - {name: no_augmentation, answers_of: base, unset: [augmentation]}\n")
        with FakeLLM(WORDS) as llm:
            path = self.file(llm.url, "[gold, synthetic, then, joint, union]", draws=1, more=more)
            self.run_whole(path)
        data = {file.stem: file.read_text() for file in (self.dir / "tiny.run" / "data").glob("*.conll")}
        (plain, with_copies) = sorted(data.values(), key=len)
        self.assertEqual(len(plain.strip().split("\n\n")), 24)
        self.assertGreater(len(with_copies.strip().split("\n\n")), 48)
        self.assertTrue(with_copies.startswith(plain))
        self.assertRegex(with_copies, r"\(\tO\nn\tO\n=\tO\n\d+\tO\n\)\tO\n")
        self.assertRegex(with_copies, r"-Metal\nsalts\tO\n")
        self.assertEqual(len(list((self.dir / "tiny.run" / "generations").glob("*-24.json"))), 1)
        cells = json.loads((self.dir / "tiny.run" / "devel" / "results.json").read_text())["cells"]
        keys = {(c["variant"], c["arm"], c.get("gold")): c["key"] for c in cells}
        for (variant, arm, gold), key in keys.items():
            self.assertEqual(key == keys["base", arm, gold], variant == "base" or arm == "gold", (variant, arm))
        bought = len(llm.bodies)
        sure = self.write("sure.yaml", path.read_text() + "  - {name: sure, arms: [gold, synthetic], set: {trainer: {min_score: 1}}}\n")
        self.run_whole(sure, "--state", self.dir / "tiny.run", "--keep-models")
        cells = json.loads((self.dir / "tiny.run" / "devel" / "results.json").read_text())["cells"]
        self.assertEqual([c["scores"]["f1"] for c in cells if (c["variant"], c["arm"]) == ("sure", "synthetic")], [0])
        gold = lambda variant: {c["key"] for c in cells if (c["variant"], c["arm"]) == (variant, "gold")}
        self.assertEqual(gold("sure"), gold("base"))  # which has not learnt from synthetic sentences
        path.write_text(path.read_text().replace("asides: asides.txt", "asides: other.txt"))
        self.assertEqual(self.run_whole(path, "--only", "base synthetic*").count("cell synthetic"), 1)
        self.assertEqual(len(llm.bodies), bought)
        self.assertEqual(len(list((self.dir / "tiny.run" / "data").glob("*.conll"))), 3)


class Kills(ExperimentCase):
    def test_files_count_by_what_they_hold(self):
        """Template, decoys and exemplars, in other words or in the same in another place: another key, or the same."""
        texts = {"prompt.txt": "%user\nWrite of {{terms}}.\n", "decoys.txt": "lamp\nhouse\n",
                 "few.conll": "Zinc\tB-Metal\nrusts\tO\n"}

        def key(**other):
            for name, text in texts.items():
                self.write(name, other.get(name.split(".")[0], text))
            said = self.run_whole(self.file(generation=", template: prompt.txt, decoys: {file: decoys.txt}, "
                                                       "exemplars: {file: few.conll}"), "--list")
            return re.search(r"^left +(\w+) +base synthetic ", said, re.M)[1]

        first = key()
        self.assertEqual(key(), first)
        others = {key(**{name.split(".")[0]: text + "\n# more\n" if name != "few.conll" else text * 2 + "\n" + text})
                  for name, text in texts.items()}
        self.assertEqual((len(others), first in others), (3, False))

    def test_killed_anywhere_it_goes_on(self):
        """No step is done twice, no call is made twice."""
        rng = random.Random(7)
        with FakeLLM(WORDS, delay=0.05) as llm:
            path = self.file(llm.url, draws=1)
            for _ in range(6):
                before = len(self.log())
                with subprocess.Popen([harness.program("nermill"), "experiment", str(path)], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL) as process:
                    end = time.monotonic() + 60
                    while process.poll() is None and len(self.log()) == before and time.monotonic() < end:
                        time.sleep(0.005)
                    time.sleep(rng.random() * 0.7)
                    process.kill()
            self.run_whole(path)
            self.assertEqual(llm.bought_again(), 0)
        self.assertEqual({key: n for key, n in self.done().items() if n > 1 and key in self.cells()}, {})
        self.assertEqual(len(self.cells()), 5)

    def test_stopped_by_a_signal(self):
        with FakeLLM(WORDS, delay=0.3) as llm:
            path = self.file(llm.url, "[synthetic]")
            with subprocess.Popen([harness.program("nermill"), "experiment", str(path)], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True) as process:
                end = time.monotonic() + 60
                while not llm.bodies and time.monotonic() < end:
                    time.sleep(0.01)
                process.send_signal(signal.SIGTERM)
                _, said = process.communicate(timeout=60)
            self.assertEqual(process.returncode, harness.EXIT_SIGNAL, said)
            self.assertIn("run the same command again", said)
            self.run_whole(path)
            self.assertEqual(llm.bought_again(), 0)


class Files(ExperimentCase):
    def test_what_is_wrong_is_said_with_its_line(self):
        text = self.file().read_text()
        line = lambda part: f"tiny.yaml:{text[:text.index(part)].count(chr(10)) + 1}"
        for old, new, words in [
            ("draws: 2", "drawss: 2", [line("draws"), "did you mean 'draws'"]),
            ("draws: 2", "draws: 0", [line("draws"), "grid.draws"]),
            ("synthetic, then", "syntetic", [line("arms"), "syntetic"]),
            ("[10, 20]", "[10, ten]", [line("gold:"), "ten"]),
            ("negatives: 0.1", "negatives: 7", [line("project:"), "negatives"]),
            ("learning_rate: 0.01", "seed: 3", [line("trainer:"), "grid: seeds"]),
            ("devel: devel.conll, ", "", [line("corpus"), "devel_share"]),
            ("  - {type: Ill}\n", "", ["train.conll", "the type Ill"]),
            ("train: train.conll", "train: nix.conll", ["nix.conll"]),
            ("train: train.conll", "train: '${NO_SUCH_VARIABLE}'", ["NO_SUCH_VARIABLE"]),
            ("grid:", "ablations:\n  - {name: x, unset: [nothing]}\ngrid:", [line("grid:"), "nothing"]),
        ]:
            self.assertIn(old, text)
            path = self.write("tiny.yaml", text.replace(old, new, 1))
            self.assert_fails(self.experiment(path, "--list"), EXIT_INPUT, *words)

    def test_devel_out_of_train_and_documents(self):
        sentences = (self.dir / "train.conll").read_text().strip().split("\n\n")
        parts = ["-DOCSTART-\tO\n\n" + "\n\n".join(sentences[i:i + 6]) for i in range(0, 60, 6)]
        self.write("train.conll", "\n\n".join(parts) + "\n")
        text = self.file(arms="[gold]").read_text().replace("devel: devel.conll", "level: document, devel_share: 0.2")
        self.run_whole(self.write("tiny.yaml", text))
        state = self.dir / "tiny.run"
        count = lambda path: path.read_text().strip().count("\n\n") + 1
        self.assertEqual((count(state / "corpus" / "train.conll"), count(state / "corpus" / "devel.conll")), (48, 12))
        draws = sorted((count(p), set(p.read_text().strip().split("\n\n"))) for p in (state / "gold").glob("*.conll"))
        self.assertEqual([n for n, _ in draws], [10, 10, 20, 20])
        for small in draws[:2]:
            self.assertTrue(any(small[1] <= large[1] for large in draws[2:]), "a smaller draw lies in a larger one")


if __name__ == "__main__":
    unittest.main()
