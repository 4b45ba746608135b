"""Every export read back by the tool that it is for; skipped in words where tests/setup-formats.sh has not been run."""

import json
import os
import pathlib
import subprocess
import unittest

import harness
from corpora import CORPORA, read_jsonl, spans
from test_export import TEXTS as PLAIN

TEXTS = [*PLAIN, ("  Zarapam \n forte\n\n is  old. ", [(2, 17, "DRUG")])]  # spaCy makes tokens of such gaps
READER = pathlib.Path(__file__).with_name("read_back.py")


class ReadBack(harness.Case):
    def setUp(self):
        super().setUp()
        self.python = os.environ.get("NERMILL_FORMATS_PYTHON")
        if not self.python:
            self.skipTest('NERMILL_FORMATS_PYTHON is not set: eval "$(tests/setup-formats.sh)" gives the tools')
        rows = [{"text": text, "entities": [list(mark) for mark in marks]} for text, marks in TEXTS]
        raw = self.write("raw.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        self.data = self.dir / "data.jsonl"
        self.assertEqual(self.nermill("import", raw, "--out", self.data).returncode, 0)
        self.samples = read_jsonl(self.data)

    def read(self, tool, *paths):
        """What the tool reads in each of the exports."""
        done = subprocess.run([self.python, READER, tool, *map(str, paths)], capture_output=True, text=True, timeout=100,
                              check=False, env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(self.dir / "hf-home")})
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])
        return [json.loads(line) for line in done.stdout.splitlines()]

    def export(self, form, name, data=None):
        result = self.nermill("export", data or self.data, "--format", form, "--out", self.dir / name,
                              env={"NERMILL_EXPORT_PYTHON": self.python})
        self.assertEqual(result.returncode, 0, result.stderr)
        return self.dir / name

    def labelled(self, sample):
        return [list(span) for span in spans(sample) if span[2]]

    def corpus(self):
        """A data set of some size: TDMSci's where it is, or our samples many times."""
        data = self.dir / "corpus.jsonl"
        if "NERMILL_DATA" in os.environ:
            source = pathlib.Path(os.environ["NERMILL_DATA"]) / "tdmsci" / "test_500_v2.conll"
            self.nermill("import", source, "--format", "tdmsci", "--out", data)
        else:
            data.write_text(self.data.read_text(encoding="utf-8") * 100, encoding="utf-8")
        self.assertGreater(len(read_jsonl(data)), 400)
        return data

    def test_spacy(self):
        corpus = self.corpus()
        found, large = self.read("spacy", self.export("spacy", "train.json"), self.export("spacy", "corpus.json", corpus))
        for document, sample in zip(found, self.samples, strict=True):
            self.assertEqual(document["text"], sample["text"])
            words = [token for token in document["tokens"] if token.strip()]
            self.assertEqual(words, sample["tokens"])
            missing = [document["tokens"][i] for i in document["missing"] if document["tokens"][i].strip()]
            self.assertEqual(missing, [t for t, tag in zip(sample["tokens"], sample["tags"]) if tag == "-"])
        for documents, samples in ((found, self.samples), (large, read_jsonl(corpus))):
            self.assertEqual([document["spans"] for document in documents], [self.labelled(s) for s in samples])

    def test_datasets(self):
        parts = self.write("parts/train.jsonl", self.data.read_text(encoding="utf-8")).parent
        self.write("parts/test.jsonl", self.data.read_text(encoding="utf-8").split("\n")[0] + "\n")
        corpus = self.corpus()
        found, split, large = self.read("datasets", self.export("parquet", "hf"), self.export("parquet", "hf-parts", parts),
                                        self.export("parquet", "hf-corpus", corpus))
        for rows, samples in ((found, self.samples), (large, read_jsonl(corpus))):
            for row, sample in zip(rows, samples, strict=True):
                self.assertEqual((row["split"], row["text"], row["tokens"], row["tags"]),
                                 ("train", sample["text"], sample["tokens"], sample["tags"]))
                self.assertEqual(row["spans"], [list(span) for span in spans(sample)])
        self.assertEqual([row["split"] for row in split], ["train"] * len(self.samples) + ["test"])
        self.assertEqual(split[-1]["tags"], self.samples[0]["tags"])
        card = (self.dir / "hf" / "README.md").read_text(encoding="utf-8")
        self.assertIn(f"| train | {len(self.samples)} |", card)
        self.assertIn("Entity types: DISEASE, DRUG, ORG.", card)

    def test_seqeval(self):
        data = self.dir / "c.jsonl"
        self.nermill("import", CORPORA / "conll2003.txt", "--out", data)
        for read in self.read("seqeval", *(self.export(form, f"x.{form}", data) for form in ("conll", "conll2003"))):
            for found, sample in zip(read, read_jsonl(data), strict=True):
                starts, ends = zip(*sample["offsets"])
                self.assertEqual(found["entities"], [[e["type"], starts.index(e["start"]), ends.index(e["end"])]
                                                     for e in sample["entities"]])

    def test_labelstudio(self):
        (found,) = self.read("labelstudio", self.export("labelstudio", "tasks.json"))
        self.assertEqual(found, [{"task": True, "faults": []}] * len(self.samples))

    def test_jsonl(self):
        (found,) = self.read("jsonschema", self.export("jsonl", "again.jsonl"))
        self.assertEqual(found, [{"faults": []}] * len(self.samples))


if __name__ == "__main__":
    unittest.main()
