"""nermill split: nothing lost, nothing twice, the same for the same seed, and what stays together does."""

import json
import random
import unittest

import harness
from corpora import mentions, read_jsonl

PARTS = ("train", "dev", "test")


class Split(harness.Case):
    def data(self, n=600, entities=150):
        """Samples of 0 to 3 entities, three a document, every tenth text twice."""
        rng = random.Random(5)
        rows = []
        for i in range(n):
            names = [f"Gene{rng.randrange(entities)}" for _ in range(rng.choice((0, 1, 1, 2, 3)))]
            text = f"Case {i - i % 10 if i % 10 == 1 else i}:"
            marks = []
            for name in names:
                name = name.upper() if rng.random() < 0.3 else name
                marks.append([len(text) + 1, len(text) + 1 + len(name), "Gene"])
                text += f" {name}"
            rows.append({"text": text, "entities": marks, "document": f"doc-{i // 3}"})
        raw = self.write("raw.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        self.assertEqual(self.nermill("import", raw, "--out", self.dir / "data.jsonl").returncode, 0)
        return self.dir / "data.jsonl"

    def split(self, data, name, *args):
        result = self.nermill("split", data, "--out", self.dir / name, *args)
        self.assertEqual(result.returncode, 0, result.stderr)
        found = {path.stem: read_jsonl(path) for path in (self.dir / name).glob("*.jsonl")}
        for part in PARTS:
            found.setdefault(part, [])
            self.assertIn(f"{part} {len(found[part])}", result.stdout)
        return found

    def assert_whole(self, found, data):
        """Each sample of data is in one part, as it was, and in the order that it had."""
        order = {sample["id"]: i for i, sample in enumerate(read_jsonl(data))}
        for part in found.values():
            places = [order[sample["id"]] for sample in part]
            self.assertEqual(places, sorted(places))
        everything = sorted((s for part in found.values() for s in part), key=lambda s: order[s["id"]])
        self.assertEqual(everything, read_jsonl(data))

    def test_document(self):
        data = self.data()
        found = self.split(data, "a")
        self.assert_whole(found, data)
        documents = [{s["document"] for s in found[part]} for part in PARTS]
        self.assertFalse(documents[0] & documents[1] or documents[0] & documents[2] or documents[1] & documents[2])
        self.assertEqual([len(found[part]) for part in PARTS], [480, 60, 60])

    def test_seed(self):
        data = self.data()
        first = self.split(data, "a", "--seed", 7)
        self.assertEqual(self.split(data, "b", "--seed", 7), first)
        self.assertNotEqual(self.split(data, "b", "--seed", 8), first)

    def test_sample(self):
        data = self.data()
        found = self.split(data, "a", "--by", "sample", "--ratio", "1:1:2")
        self.assert_whole(found, data)
        texts = [{s["text"].lower() for s in found[part]} for part in PARTS]
        self.assertFalse(texts[0] & texts[1] or texts[0] & texts[2] or texts[1] & texts[2])
        for part, share in zip(PARTS, (0.25, 0.25, 0.5)):
            self.assertAlmostEqual(len(found[part]) / 600, share, delta=0.01)

    def test_entity(self):
        for entities in (150, 2000):  # most hang together; few do
            data = self.data(entities=entities)
            found = self.split(data, f"e{entities}", "--by", "entity")
            self.assert_whole(found, data)
            known = [{text.lower() for s in found[part] for text, _ in mentions(s)} for part in PARTS]
            self.assertFalse(known[0] & known[1] or known[0] & known[2] or known[1] & known[2])
            for part in PARTS:
                self.assertGreater(len(found[part]), 20, part)
            for sample in found.get("left-out", []):
                parts = {i for text, _ in mentions(sample) for i in range(3) if text.lower() in known[i]}
                self.assertNotEqual(parts, {0}, "could have stayed in train")
        self.assertLess(len(found.get("left-out", [])), 60)

    def test_no_such_part(self):
        data = self.data()
        self.split(data, "a")
        found = self.split(data, "a", "--ratio", "9:0:1")  # what was there of the first split is gone
        self.assertEqual(found["dev"], [])
        self.assert_whole(found, data)
        self.assertEqual(sorted(path.name for path in (self.dir / "a").iterdir()), ["test.jsonl", "train.jsonl"])

    def test_conll(self):
        data = self.data()
        result = self.nermill("split", data, "--out", self.dir / "c", "--format", "conll")
        self.assertEqual(result.returncode, 0, result.stderr)
        blocks = [b for part in PARTS for b in (self.dir / "c" / f"{part}.conll").read_text().split("\n\n") if b.strip()]
        self.assertEqual(len(blocks), 600)

    def test_wrong(self):
        data = self.data(20)
        for args, word in ((("--by", "x"), "--by"), (("--ratio", "8:1"), "--ratio"), (("--ratio", "0:0:0"), "--ratio"),
                           (("--format", "brat"), "--format"), (("--ratio", "8:1:-1"), "--ratio")):
            self.assert_fails(self.nermill("split", data, "--out", self.dir / "w", *args), harness.EXIT_USAGE, word)
        self.assert_fails(self.nermill("split", data), harness.EXIT_USAGE, "--out")
        self.assert_fails(self.nermill("split", "-", "--out", self.dir / "w"), harness.EXIT_INPUT, "several times")


if __name__ == "__main__":
    unittest.main()
