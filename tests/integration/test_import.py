"""nermill import: each form in its dialects, the labels exactly; what is wrong in a file is said with file and line."""

import json
import os
import pathlib
import unittest

import harness
from corpora import CORPORA, mentions, read_jsonl
from json_schema import errors

SCHEMA = json.loads((harness.ROOT / "schemas" / "sample.schema.json").read_text())


class Import(harness.Case):
    def take(self, name, *args):
        """The records of a corpus, each held against the schema; what was counted."""
        out = self.dir / "out.jsonl"
        result = self.nermill("import", CORPORA / name if isinstance(name, str) else name, *args, "--out", out)
        self.assertEqual(result.returncode, 0, result.stderr)
        samples = read_jsonl(out)
        for sample in samples:
            self.assertEqual(errors(sample, SCHEMA, SCHEMA), [])
            for (start, end), token in zip(sample["offsets"], sample["tokens"], strict=True):
                self.assertEqual(sample["text"][start:end], token)
            for entity in sample["entities"]:
                self.assertEqual(sample["text"][entity["start"]:entity["end"]], entity["text"])
        return samples, result.stderr

    def test_conll_2003(self):
        samples, said = self.take("conll2003.txt")
        self.assertEqual([s["text"] for s in samples], ["Novelia sells Zarapam.", "Patients with mild sleep loss improved.",
                                                        "Nothing happened."])
        self.assertEqual([mentions(s) for s in samples], [[("Novelia", "ORG"), ("Zarapam", "DRUG")],
                                                          [("mild sleep loss", "DISEASE")], []])
        self.assertEqual([s["document"] for s in samples], ["document-1", "document-1", "document-2"])
        self.assertTrue(samples[1]["source"].endswith("conll2003.txt:8"))
        self.assertIn("3 records, 3 mentions", said)

    def test_schemes(self):
        samples, _ = self.take("iob1.tsv")
        self.assertEqual([s["tags"] for s in samples], [["B-ORG", "B-DRUG", "B-DRUG", "O"],
                                                        ["B-DISEASE", "I-DISEASE", "I-DISEASE"]])
        samples, said = self.take("iobes_crlf_bom.tsv")
        self.assertEqual([s["tags"] for s in samples], [["B-ORG", "O", "B-DRUG", "I-DRUG", "B-DRUG"],
                                                        ["B-DISEASE", "I-DISEASE", "I-DISEASE", "-", "-"]])
        self.assertEqual(mentions(samples[1]), [("mild sleep loss", "DISEASE"), ("maybe nausea", None)])
        self.assertIn("1 masked", said)

    def test_three_columns(self):
        samples, _ = self.take("three_columns.conll")
        self.assertEqual(mentions(samples[0]), [("α-Zarapam", "DRUG")])
        self.assertEqual(samples[0]["document"], "note-7")

    def test_documents(self):
        """The ways in which a document says what it is."""
        marks = ("-DOCSTART- -X- O O", "-DOCSTART-\tO", "-DOCSTART- (123 testa)", "-DOCSTART- -X- -X- O\tnote-7", "-DOCSTART-\t(9001)\tO")
        file = self.write("documents.conll", "".join(f"{mark}\n\nword\tO\n\n" for mark in marks))
        self.assertEqual([s["document"] for s in self.take(file)[0]], ["document-1", "document-2", "123", "note-7", "9001"])

    def test_tdmsci(self):
        samples, _ = self.take("tdmsci.conll", "--format", "tdmsci")
        self.assertEqual(self.take("tdmsci.conll")[0], samples)  # offsets are seen as such
        self.assertEqual([s["text"] for s in samples], ["We use the Cedar-Bank (CB), F1.", "Question answering"])
        self.assertEqual(mentions(samples[0]), [("Cedar-Bank", "DATASET"), ("CB", "DATASET"), ("F1", "METRIC")])

    def test_pubtator(self):
        samples, said = self.take("pubtator.txt", "--format", "pubtator")
        self.assertEqual([mentions(s) for s in samples], [
            [("Zarapam", "Chemical"), ("sleep loss", "Disease")],
            [("Zarapam", "Chemical"), ("severe sleep loss", "Disease"), ("β-blocker", "Chemical"), ("norlexolol", None)],
            []])
        self.assertEqual([s["document"] for s in samples], ["9001", "9001", "9002"])
        self.assertIn("1 begin or end inside a token", said)
        self.assertIn("1 lay over a longer one", said)
        cut, _ = self.take("pubtator.txt", "--format", "pubtator", "--sentences")
        self.assertEqual([s["text"] for s in cut], [
            "Zarapam-induced naïve sleep loss", "Zarapam caused severe sleep loss in two of 20 cases.",
            "A β-blocker (norlexolol) helped.", "Long-term use was safe.", "Only a title"])
        self.assertEqual([m for s in cut for m in mentions(s)], [m for s in samples for m in mentions(s)])

    def test_bc4chemd(self):
        marks = ("--format", "bc4chemd", "--annotations", CORPORA / "bc4chemd_annotations.tsv")
        samples, _ = self.take("bc4chemd_abstracts.tsv", *marks)
        found = [[("α-zarapam", "Chemical")], [("Zarapam", "Chemical"), ("ZRP", "Chemical"), ("CH3-ZRP", "Chemical")], [], [],
                 [("olest", "Chemical")], [("nor-2,3-dol", "Chemical")]]
        self.assertEqual([mentions(s) for s in samples], found)
        classes, _ = self.take("bc4chemd_abstracts.tsv", *marks, "--classes")
        self.assertEqual(mentions(classes[1]), [("Zarapam", "TRIVIAL"), ("ZRP", "ABBREVIATION"), ("CH3-ZRP", "FORMULA")])
        self.assertEqual(mentions(classes[4]), [("olest", "NO_CLASS")])
        cut, _ = self.take("bc4chemd_abstracts.tsv", *marks, "--sentences")
        self.assertEqual([s["text"] for s in cut][1:4], [
            "Zarapam (ZRP) was given to 20 rats.", "It reduced sleep loss, e.g. in E. coli carriers.", "CH3-ZRP did not."])

    def test_bc4chemd_iob(self):
        """The same text as MTL-Bioinformatics-2016 has it, a sentence behind the other, as IOB and as IOBES."""
        cut, _ = self.take("bc4chemd_abstracts.tsv", "--format", "bc4chemd", "--annotations", CORPORA / "bc4chemd_annotations.tsv", "--sentences")
        samples, _ = self.take("bc4chemd_iob.tsv")
        self.assertEqual([(s["text"], s["tokens"], s["tags"]) for s in samples], [(s["text"], s["tokens"], s["tags"]) for s in cut])
        lines = (CORPORA / "bc4chemd_iob.tsv").read_text().split("\n")
        ends = [not after.endswith("\tI-Chemical") for after in lines[1:]] + [True]
        iobes = "\n".join(line.replace("\tB-", "\tS-").replace("\tI-", "\tE-") if end else line for line, end in zip(lines, ends))
        self.assertIn("CH3\tB-Chemical\n-\tI-Chemical\nZRP\tE-Chemical\n", iobes)
        self.assertIn("ZRP\tS-Chemical\n", iobes)
        again, _ = self.take(self.write("iobes.tsv", iobes))
        self.assertEqual([s["tags"] for s in again], [s["tags"] for s in samples])

    def test_spans(self):
        samples, _ = self.take("spans.jsonl")
        self.assertEqual([mentions(s) for s in samples], [
            [("Zarapam", "DRUG"), ("sleep loss", "DISEASE")], [("Norlex", "DRUG"), ("nausea", None)],
            [("Novelia", "ORG"), ("Norlex", "DRUG")], [], [("overlong sleep", None), ("was seen", None)]])
        self.assertEqual(samples[0]["id"], 7)
        self.assertEqual(samples[2]["document"], "d1")

    def test_again(self):
        """What was imported is read again without a change."""
        for name in ("spans.jsonl", "conll2003.txt"):
            first, _ = self.take(name)
            kept = self.write("first.jsonl", "".join(json.dumps(s, ensure_ascii=False) + "\n" for s in first))
            self.assertEqual(self.take(kept)[0], first)

    def test_corpora(self):
        """Every sentence of the public corpora comes out of import and export as it went in."""
        if "NERMILL_DATA" not in os.environ:
            self.skipTest("NERMILL_DATA is not set: no corpora here")
        data = pathlib.Path(os.environ["NERMILL_DATA"])
        for name in ("bc5cdr/train.tsv", "bc5cdr/devel.tsv", "bc5cdr/test.tsv", "tdmsci/train_1500_v2.conll", "tdmsci/test_500_v2.conll"):
            rows = [line.split("\t") for line in (data / name).read_text(encoding="utf-8").split("\n")]
            want = [f"{row[0]}\t{row[-1]}" if len(row) > 1 else "" for row in rows]
            for form in ("conll", "tdmsci") if name.startswith("tdmsci") else ("conll",):
                out = self.nermill("import", data / name, "--format", form, "--to", "conll").stdout.split("\n")
                self.assertEqual([line for line in out if line], [line for line in want if line], name)
                self.assertEqual(sum(not line for line in out[:-2]) + 1,
                                 len([1 for a, b in zip(want, want[1:]) if a and not b]), f"{name}: sentences")

    def test_wrong_files(self):
        for text, form, *words in (
            ("Novelia\tB-ORG\nsells\n", "conll", ":2:", "no tag"),
            ("Novelia\tB-ORG\nsells\tORG\n", "conll", ":2:", '"ORG" is no tag'),
            ("a\tO\n\n\tO\n", "conll", ":3:", "the word is missing"),
            (b"a\tO\n\xff\tO\n", "conll", ":2:", "not UTF-8"),
            ("", "conll", "no sentence"),
            ("We\tx\tO\n", "tdmsci", ":1:", "TDMSci"),
            ("1|t|T\n1|a|Some text\n1\t0\t1\tX\tChemical\tD1\n", "pubtator", ":3:", 'the text has "T" there'),
            ("1|t|T\n1|a|A\n1\t3\t99\tX\tChemical\tD1\n", "pubtator", ":3:", "not within"),
            ("1|t|T\n1|a|A\n2\t0\t1\tT\tChemical\tD1\n", "pubtator", ":3:", "title does not stand before"),
            ("hello\n", "pubtator", ":1:", "no line of PubTator"),
            ('{"text": "a"}\n{"text": 1}\n', "jsonl", ":2:", "needs"),
            ('{"text": "ab", "entities": [{"start": 1, "end": 3, "type": "X"}]}\n', "jsonl", ":1:", "within the text"),
            ('{"text": "ab", "entities": [{"start": 0, "end": 1}]}\n', "jsonl", ":1:", "needs a type"),
            ('{"tokens": ["a"], "tags": ["O", "O"]}\n', "jsonl", ":1:", "as many"),
            ('{"text": "a b", "tokens": ["a", "c"], "offsets": [[0, 1], [2, 3]], "tags": ["O", "O"]}\n', "jsonl", ":1:", "offsets"),
            ('{"text": \n', "jsonl", ":1:"),
        ):
            with self.subTest(text=text):
                file = self.write("wrong.txt", text)
                result = self.nermill("import", file, "--format", form, "--out", self.dir / "x")
                self.assert_fails(result, harness.EXIT_INPUT, "wrong.txt", *words)
                self.assertFalse((self.dir / "x").exists())

    def test_wrong_annotations(self):
        abstracts = self.write("a.tsv", "1\tT\tAn abstract\n")
        for text, *words in (("1\tT\t0\t1\tX\tTRIVIAL\n", "m.tsv:1:", 'has "T" there'),
                             ("1\tT\t0\tT\tTRIVIAL\n", "m.tsv:1:", "no annotation"),
                             ("1\tT\t0\t1\tT\tTRIVIAL\n2\tA\t0\t1\tA\tTRIVIAL\n", "m.tsv:2:", "no abstract 2")):
            marks = self.write("m.tsv", text)
            result = self.nermill("import", abstracts, "--format", "bc4chemd", "--annotations", marks)
            self.assert_fails(result, harness.EXIT_INPUT, *words)

    def test_wrong_options(self):
        file = CORPORA / "iob1.tsv"
        self.assert_fails(self.nermill("import", file, "--to", "conl"), harness.EXIT_USAGE, "did you mean 'conll'")
        self.assert_fails(self.nermill("import", file, "--sentences"), harness.EXIT_USAGE, "--sentences")
        self.assert_fails(self.nermill("import", file, "--format", "x"), harness.EXIT_USAGE, "no import format 'x'")
        self.assert_fails(self.nermill("import", file, "--format", "bc4chemd"), harness.EXIT_USAGE, "--annotations")
        self.assert_fails(self.nermill("import", self.dir / "none.txt"), harness.EXIT_INPUT, "none.txt")
        self.assert_fails(self.nermill("import", self.dir), harness.EXIT_USAGE, "directory")


if __name__ == "__main__":
    unittest.main()
