"""nermill export in every form that needs no tool to be looked at: what is labelled, what is masked, where it is."""

import json
import os
import re
import unittest

import harness
from corpora import CORPORA, mentions, read_jsonl, spans

TEXTS = [  # marks beyond the basic plane, line separators, quotes, a line end: what offsets and quoting break on
    ("Zarapam 💊 helps sleep loss.", [(0, 7, "DRUG"), (16, 26, "DISEASE")]),
    ("💊💊Norlex, maybe nausea\nor \"worse\"", [(2, 8, "DRUG"), (16, 22, None)]),
    ("Nothing \u2028 at <b>all</b> & more.", []),
    ("Novelia's α-Zarapam", [(0, 7, "ORG"), (10, 19, "DRUG")]),
]


class Export(harness.Case):
    def data(self, texts=TEXTS, name="data.jsonl", **more):
        rows = [{"text": text, "entities": [{"start": a, "end": b, "type": kind} for a, b, kind in marks], **more}
                for text, marks in texts]
        self.raw = self.write("raw.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        result = self.nermill("import", self.raw, "--out", self.dir / name)
        self.assertEqual(result.returncode, 0, result.stderr)
        return self.dir / name

    def export(self, form, data=None, out=None):
        out = out or self.dir / f"out.{form}"
        result = self.nermill("export", data or self.data(), "--format", form, "--out", out)
        self.assertEqual(result.returncode, 0, result.stderr)
        return out

    def test_conll(self):
        data = self.data()
        samples = read_jsonl(data)
        blocks = self.export("conll", data).read_text(encoding="utf-8").rstrip("\n").split("\n\n")
        rows = [[tuple(line.split("\t")) for line in block.split("\n")] for block in blocks]
        self.assertEqual(rows, [list(zip(s["tokens"], s["tags"], strict=True)) for s in samples])
        self.assertIn(("nausea", "-"), rows[1])

    def test_conll2003(self):
        data = self.data()
        lines = self.export("conll2003", data).read_text(encoding="utf-8").split("\n")
        self.assertEqual(lines[:2], ["-DOCSTART- -X- -X- O", ""])
        rows = [line.split(" ") for line in lines[2:] if line]
        self.assertTrue(all(len(row) == 4 for row in rows))
        samples = read_jsonl(data)
        self.assertEqual([(row[0], row[3]) for row in rows],
                         [pair for s in samples for pair in zip(s["tokens"], s["tags"], strict=True)])
        again = self.dir / "again.jsonl"
        self.nermill("import", self.export("conll2003", CORPORA / "conll2003.txt"), "--out", again)
        self.assertEqual([s["document"] for s in read_jsonl(again)], ["document-1", "document-1", "document-2"])

    def test_conll2003_blank(self):
        data = self.write("blank.conll", "New York\tB-TOWN\n")
        result = self.nermill("export", data, "--format", "conll2003")
        self.assert_fails(result, harness.EXIT_INPUT, "blank.conll:1", "holds a blank")

    def test_conll_tab(self):
        data = self.write("tab.jsonl", '{"tokens": ["a\\tb", "c"], "tags": ["O", "O"]}\n')
        self.assert_fails(self.nermill("export", data, "--format", "conll"), harness.EXIT_INPUT, "task 1", "holds a tab")

    def test_jsonl_is_what_it_was(self):
        data = self.data(document="d")
        self.assertEqual(self.export("jsonl", data).read_bytes(), data.read_bytes())
        self.assertEqual(read_jsonl(data)[0]["document"], "d")

    def test_spacy(self):
        data = self.data()
        documents = json.loads(self.export("spacy", data).read_text(encoding="utf-8"))
        for document, sample in zip(documents, read_jsonl(data), strict=True):
            (part,) = document["paragraphs"]
            self.assertEqual(part["raw"], sample["text"])
            (sentence,) = part["sentences"]
            made = "".join(token["orth"] + " " * token["space"] for token in sentence["tokens"])
            self.assertEqual(made, sample["text"])
            words = [token for token in sentence["tokens"] if token["orth"].strip()]
            self.assertEqual([token["orth"] for token in words], sample["tokens"])
            tags = [token["ner"] for token in words]
            self.assertEqual([re.sub("^L", "I", re.sub("^U", "B", tag)) for tag in tags], sample["tags"])
            for tag, following in zip(tags, [*tags[1:], "O"]):  # BILUO: what begins ends
                self.assertEqual(tag[0] in "BI", following[0] in "IL", tags)

    def test_spacy_gaps(self):
        """Text that is in no token of ours is in one of spaCy's, within a mention too."""
        data = self.data([("  Zarapam \u200b forte\n\n is  old. ", [(2, 17, "DRUG")])])
        (document,) = json.loads(self.export("spacy", data).read_text(encoding="utf-8"))
        tokens = document["paragraphs"][0]["sentences"][0]["tokens"]
        self.assertEqual([(t["orth"], t["ner"], t["space"]) for t in tokens], [
            ("  ", "O", False), ("Zarapam", "B-DRUG", True), ("\u200b ", "I-DRUG", False), ("forte", "L-DRUG", False),
            ("\n\n ", "O", False), ("is", "O", True), (" ", "O", False), ("old", "O", False), (".", "O", True)])

    def test_labelstudio(self):
        data = self.data()
        tasks = json.loads(self.export("labelstudio", data).read_text(encoding="utf-8"))
        for task, sample in zip(tasks, read_jsonl(data), strict=True):
            self.assertEqual(task["data"], {"text": sample["text"]})
            (prediction,) = task["predictions"]
            found = []
            for region in prediction["result"]:
                self.assertEqual((region["from_name"], region["to_name"], region["type"]), ("label", "text", "labels"))
                value = region["value"]
                self.assertEqual(sample["text"][value["start"]:value["end"]], value["text"])
                found.append((value["start"], value["end"], *value["labels"]))
            self.assertEqual(found, [(a, b, kind or "MASKED") for a, b, kind in spans(sample)])
            self.assertEqual(len({region["id"] for region in prediction["result"]}), len(found))

    def test_doccano(self):
        data = self.data()
        rows = read_jsonl(self.export("doccano", data))
        self.assertEqual([(row["text"], [tuple(mark) for mark in row["label"]]) for row in rows],
                         [(s["text"], [(a, b, kind or "MASKED") for a, b, kind in spans(s)]) for s in read_jsonl(data)])

    def brat_pairs(self, directory):
        """What brat sees: of each document its text, and its marks by their offsets into it."""
        found = []
        for path in sorted(directory.glob("*.txt")):
            text = path.read_text(encoding="utf-8")
            marks = []
            for line in path.with_suffix(".ann").read_text(encoding="utf-8").splitlines():
                key, place, covered = line.split("\t")
                kind, start, end = place.split(" ")
                self.assertEqual(key, f"T{len(marks) + 1}")
                self.assertEqual(text[int(start):int(end)], covered)
                marks.append((covered, kind))
            found.append((path.stem, text, marks))
        return found

    def test_brat(self):
        data = self.data()
        out = self.export("brat", data)
        self.assertEqual(sorted(path.name for path in out.iterdir()),
                         ["annotation.conf", "samples-000001.ann", "samples-000001.txt"])
        conf = (out / "annotation.conf").read_text()
        self.assertEqual(conf.split("\n\n")[0].split("\n"), ["[entities]", "DISEASE", "DRUG", "ORG", "MASKED"])
        for section in ("[relations]", "[events]", "[attributes]"):
            self.assertIn(section, conf)
        ((_, text, marks),) = self.brat_pairs(out)
        self.assertEqual(text.split("\n"), [t.replace("\n", " ") for t, _ in TEXTS] + [""])
        self.assertEqual(marks, [(covered, kind or "MASKED") for s in read_jsonl(data) for covered, kind in mentions(s)])

    def test_brat_documents(self):
        """A document is a file; many samples of none are cut into several; a name that comes again is not lost."""
        out = self.export("brat", self.nermill_import("pubtator.txt", "--format", "pubtator"))
        self.assertEqual([name for name, _, _ in self.brat_pairs(out)], ["9001", "9002"])
        many = self.export("brat", self.data([TEXTS[0]] * 120), self.dir / "many")
        self.assertEqual([len(marks) for _, _, marks in self.brat_pairs(many)], [100, 100, 40])
        rows = [{"text": "a", "document": name} for name in ("x/1", "y", "x/1", "x_1")]
        twice = self.export("brat", self.write("t.jsonl", "".join(json.dumps(r) + "\n" for r in rows)), self.dir / "twice")
        self.assertEqual(sorted(text for _, text, _ in self.brat_pairs(twice)), ["a\n"] * 4)

    def nermill_import(self, name, *args):
        out = self.dir / "imported.jsonl"
        result = self.nermill("import", CORPORA / name, *args, "--out", out)
        self.assertEqual(result.returncode, 0, result.stderr)
        return out

    def test_brat_types(self):
        texts = [("a b", [(0, 1, "Cell line"), (2, 3, "Gene/protein")])]
        ((_, _, marks),) = self.brat_pairs(self.export("brat", self.data(texts)))
        self.assertEqual(marks, [("a", "Cell_line"), ("b", "Gene_protein")])
        texts = [("a b", [(0, 1, "Cell line"), (2, 3, "Cell_line")])]
        result = self.nermill("export", self.data(texts), "--format", "brat", "--out", self.dir / "no")
        self.assert_fails(result, harness.EXIT_INPUT, "Cell line", "Cell_line")
        self.assertFalse((self.dir / "no").exists())
        self.assertEqual([path.name for path in self.dir.iterdir() if ".tmp." in path.name], [])

    def test_directories(self):
        full = self.write("full/file", "x").parent
        data = self.data()
        self.assert_fails(self.nermill("export", data, "--format", "brat", "--out", full), harness.EXIT_FAILURE, "already")
        self.assert_fails(self.nermill("export", data, "--format", "brat"), harness.EXIT_USAGE, "--out")
        self.assert_fails(self.nermill("export", data, "--format", "parquet"), harness.EXIT_USAGE, "--out")

    def test_no_pyarrow(self):
        env = {"NERMILL_EXPORT_PYTHON": os.path.join(os.sep, "usr", "bin", "python3"), "PYTHONPATH": str(self.write("pyarrow.py", "raise ImportError").parent)}
        if not os.path.exists(env["NERMILL_EXPORT_PYTHON"]):
            self.skipTest(f"there is no {env['NERMILL_EXPORT_PYTHON']}")
        result = self.nermill("export", self.data(), "--format", "parquet", "--out", self.dir / "hf", env=env)
        self.assert_fails(result, harness.EXIT_FAILURE, "pyarrow", "setup-export.sh")
        self.assertFalse((self.dir / "hf").exists())

    def test_unknown(self):
        self.assert_fails(self.nermill("export", self.data(), "--format", "spaci"), harness.EXIT_USAGE, "did you mean 'spacy'")
        self.assert_fails(self.nermill("export", self.dir / "none"), harness.EXIT_INPUT, "no data set here")


if __name__ == "__main__":
    unittest.main()
