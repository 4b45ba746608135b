"""nermill entities, match and augment: lists out of a corpus, a corpus tagged by them, and its mentions replaced by them."""

import json
import os
import pathlib
import unittest

import harness
from corpora import CORPORA

TRAIN = """Propylthio	B-Chemical
-	I-Chemical
uracil	I-Chemical
(	O
PTU	B-Chemical
)	O
caused	O
fever	B-Disease
.	O

Fever	B-Disease
and	O
NO	B-Chemical
,	O
no	O
no	O
chills	B-Disease

"""
TEST = """PTU	B-Chemical
and	O
propylthio	B-Chemical
-	I-Chemical
uracil	I-Chemical
gave	O
no	O
chills	B-Disease
,	O
fever	B-Disease
"""


class Entities(harness.Case):
    def entities(self, *args, code=0):
        out = self.dir / "lists"
        result = self.nermill("entities", *args, "--out", out)
        self.assertEqual(result.returncode, code, result.stderr)
        return {file.stem: file.read_text().splitlines() for file in out.glob("*.txt")}, json.loads((out / "entities.json").read_text())

    def lists(self):
        return [f"--entities={kind}={self.dir / 'lists' / kind}.txt" for kind in ("Chemical", "Disease")]

    def test_lists(self):
        train, test = self.write("train.tsv", TRAIN), self.write("test.tsv", TEST)
        lists, report = self.entities(train, "--not", test)
        self.assertEqual(lists, {"Chemical": ["NO", "PTU", "Propylthio-uracil"], "Disease": ["fever", "chills"]})
        self.assertEqual(report["source"]["mentions"], 6)
        self.assertEqual(report["types"]["Disease"]["names"], 2)
        self.assertEqual(report["spellings"], {"different": 6, "folded": 1, "unlistable_mentions": 0})
        self.assertEqual(report["ambiguous"], {"dropped": False, "names": [
            {"name": "NO", "type": "Chemical", "labelled": 1, "unlabelled": 0, "unlabelled_any_case": 2, "why": "word"}]})
        again, _ = self.entities(train)
        self.assertEqual(again, lists)
        clean, report = self.entities(train, "--hygiene", "--type", "Chemical")
        self.assertEqual(clean["Chemical"], ["PTU", "Propylthio-uracil"])
        self.assertEqual(list(report["types"]), ["Chemical"])
        self.assertTrue(report["ambiguous"]["dropped"])
        few, report = self.entities(train, "--budget", "2", "--seed", "3")
        self.assertEqual([len(few["Chemical"]), len(few["Disease"])], [1, 1])
        self.assertEqual([report["budget"], report["seed"]], [2, 3])
        result = self.nermill("entities", train, "--out", self.dir / "lists", "--budget", "9")
        self.assertIn("no more than 5 names", result.stderr)

    def test_other_forms(self):
        lists, _ = self.entities(CORPORA / "pubtator.txt", "--format", "pubtator")
        self.assertEqual(lists, {"Chemical": ["Zarapam", "β-blocker"], "Disease": ["severe sleep loss", "sleep loss"]})
        lists, _ = self.entities(CORPORA / "bc4chemd_abstracts.tsv", "--format", "bc4chemd", "--annotations", CORPORA / "bc4chemd_annotations.tsv")
        self.assertEqual(lists["Chemical"], ["CH3-ZRP", "ZRP", "Zarapam", "nor-2,3-dol", "olest", "α-zarapam"])

    def test_a_project_of_them(self):
        """The lists are such as a project takes."""
        self.entities(self.write("train.tsv", TRAIN))
        project = self.project(Chemical=(self.dir / "lists" / "Chemical.txt").read_text(),
                               Disease=(self.dir / "lists" / "Disease.txt").read_text())
        result = self.nermill("validate", project)
        self.assertIn("Chemical 3, Disease 2", result.stdout + result.stderr)

    def test_unseen(self):
        """The test part is refused, whatever it is called and in whichever form it stands."""
        train, test = self.write("train.tsv", TRAIN), self.write("test.tsv", TEST)
        copy = self.dir / "train.jsonl"
        self.assertEqual(self.nermill("import", test, "--out", copy).returncode, 0)
        for corpus in (test, copy, self.write("both.tsv", TRAIN + TEST)):
            with self.subTest(corpus=corpus):
                result = self.nermill("entities", corpus, "--not", train, "--not", test, "--out", self.dir / "none")
                self.assert_fails(result, harness.EXIT_INPUT, "has to stay unseen", "test.tsv" if corpus != self.dir / "both.tsv" else "")
                self.assertFalse((self.dir / "none").exists())

    def test_match(self):
        train, test = self.write("train.tsv", TRAIN), self.write("test.tsv", TEST)
        self.entities(train)
        found = self.dir / "found.conll"
        result = self.nermill("match", test, *self.lists(), "-o", found)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("1 sentences, 4 spans", result.stderr)
        self.assertEqual(found.read_text(), TEST + "\n")
        score = json.loads(self.nermill("evaluate", "--tagged", found, "--gold", test, "--json").stdout)
        self.assertEqual(score["f1"], 1)
        text = self.write("notes.txt", "PTU? Propylthio-uracil.\n")
        self.assertEqual(self.nermill("match", text, *self.lists()).stdout,
                         "PTU\tB-Chemical\n?\tO\nPropylthio\tB-Chemical\n-\tI-Chemical\nuracil\tI-Chemical\n.\tO\n\n")
        spans = [json.loads(line) for line in self.nermill("match", text, *self.lists(), "--to", "jsonl").stdout.splitlines()]
        self.assertEqual([e["text"] for e in spans[0]["entities"]], ["PTU", "Propylthio-uracil"])

    def test_union(self):
        test = self.write("test.tsv", TEST)
        self.entities(self.write("train.tsv", TRAIN))
        words = [line.split("\t")[0] for line in TEST.splitlines()]
        tagged = self.write("tagged.conll", "".join(
            f"{word}\t{'B-Disease' if word in ('gave', 'and') else 'O'}\t{0.4 if word == 'gave' else 0.9}\n" for word in words))
        longer = self.write("longer.conll", "".join(  # over a name of the list: that stays, if not said otherwise
            f"{word}\t{dict(gave='B-Disease', no='I-Disease', chills='I-Disease').get(word, 'O')}\t0.9\n" for word in words))
        for prefer, said in (((), TEST), (("--prefer", "tagger"), TEST.replace("gave\tO\nno\tO\nchills\tB", "gave\tB-Disease\nno\tI-Disease\nchills\tI"))):
            result = self.nermill("match", test, *self.lists(), "--with", longer, *prefer)
            self.assertEqual(result.stdout, said + "\n", result.stderr)
        result = self.nermill("match", test, *self.lists(), "--with", tagged, "--sure", "0.5", "-o", self.dir / "union.conll")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("4 of the lists, 1 of the tagger (1 less sure), 0 of both, 0 gave way", result.stderr)
        self.assertEqual((self.dir / "union.conll").read_text(), TEST.replace("and\tO", "and\tB-Disease") + "\n")

    def test_augment(self):
        train = self.write("train.tsv", TRAIN)
        self.entities(train)
        out = [self.dir / f"{name}.conll" for name in "abc"]
        for file, seed in zip(out, "112"):
            result = self.nermill("augment", train, *self.lists(), "--copies", "2", "--share", "0.9", "--seed", seed, "-o", file)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("2 sentences and 4 copies", result.stderr)
        a, b, c = (file.read_text() for file in out)
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)
        self.assertTrue(a.startswith(TRAIN))
        again, _ = self.entities(out[0])  # every mention is a name of the lists, cut as the corpus is
        self.assertLessEqual({name.lower() for names in again.values() for name in names},
                             {"no", "ptu", "propylthio-uracil", "fever", "chills"})

    def test_bc5cdr(self):
        """Of the full training list, on the part that it is tuned on: the yardstick of every tagger."""
        if "NERMILL_DATA" not in os.environ:
            self.skipTest("NERMILL_DATA is not set: no corpora here")
        data = pathlib.Path(os.environ["NERMILL_DATA"]) / "bc5cdr"
        lists, _ = self.entities(data / "train.tsv", "--not", data / "test.tsv", "--not", data / "devel.tsv")
        self.assertFalse([name for names in lists.values() for name in names if " - " in name or "( " in name])
        found = self.dir / "found.conll"
        self.assertEqual(self.nermill("match", data / "devel.tsv", *self.lists(), "-o", found).returncode, 0)
        score = json.loads(self.nermill("evaluate", "--tagged", found, "--gold", data / "devel.tsv", "--json").stdout)
        self.assertGreater(score["f1"], 0.72)
        self.assertGreater(score["precision"], 0.87)

    def test_wrong_options(self):
        file, names = self.write("train.tsv", TRAIN), self.write("names.txt", "PTU\n")
        for args, code, *words in (
            (("entities", file), harness.EXIT_USAGE, "--out"),
            (("entities", file, "--out", self.dir / "x", "--type", "Gene"), harness.EXIT_INPUT, "Gene"),
            (("entities", "-", "--out", self.dir / "x"), harness.EXIT_INPUT, "read twice"),
            (("entities", self.write("plain.tsv", "word\tO\n"), "--out", self.dir / "x"), harness.EXIT_INPUT, "nothing in it has a label"),
            (("match", file), harness.EXIT_USAGE, "TYPE=LIST"),
            (("match", file, "--entities", names), harness.EXIT_USAGE, "TYPE=LIST"),
            (("match", file, "--entities", f"Chemical={self.dir / 'none'}"), harness.EXIT_INPUT, "none"),
            (("match", file, "--entities", f"Chemical={names}", "--sure", "0.5"), harness.EXIT_USAGE, "--with"),
            (("match", file, "--entities", f"Chemical={names}", "--with", file, "--sure", "2"), harness.EXIT_USAGE, "from 0 to 1"),
            (("match", file, "--entities", f"Chemical={names}", "--with", file, "--sure", "0.5"), harness.EXIT_INPUT, "--scores"),
            (("match", file, "--entities", f"Chemical={names}", "--prefer", "me"), harness.EXIT_USAGE, "lists, longest or tagger"),
            (("match", file, "--entities", f"Chemical={names}", "--to", "brat"), harness.EXIT_USAGE, "--to"),
            (("augment", file), harness.EXIT_USAGE, "TYPE=LIST"),
            (("augment", file, "--entities", f"Chemical={names}", "--share", "half"), harness.EXIT_USAGE, "from 0 to 1"),
            (("evaluate", "--tagged", names, "--gold", file), harness.EXIT_INPUT, "names.txt"),
            (("evaluate", "--tagged", file, "--dictionary", self.dir, "--gold", file), harness.EXIT_USAGE, "one of"),
        ):
            with self.subTest(args=args):
                self.assert_fails(self.nermill(*args), code, *words)


if __name__ == "__main__":
    unittest.main()
