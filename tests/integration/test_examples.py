"""examples/biomed is what it says: enough names, none twice, a gold file in valid BIO of the right types, decoys that are no names."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIOMED, TEMPLATE = ROOT / "examples" / "biomed", ROOT / "cli" / "templates" / "biomed"
TYPES = {"Chemical": "chemicals.txt", "Disease": "diseases.txt"}


def names(file, of=BIOMED):
    lines = (of / file).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def gold():
    """Sentences as lists of (token, tag)."""
    blocks = (BIOMED / "gold.conll").read_text(encoding="utf-8").rstrip("\n").split("\n\n")
    return [[tuple(line.split("\t")) for line in block.split("\n")] for block in blocks]


def mentions(sentence):
    """Lower-cased text of every mention with its type."""
    found = []
    for token, tag in sentence:
        if tag.startswith("B-"):
            found.append(([token.lower()], tag[2:]))
        elif tag.startswith("I-"):
            found[-1][0].append(token.lower())
    return [("".join(tokens), kind) for tokens, kind in found]


class Lists(unittest.TestCase):
    def test_enough_names_in_each(self):
        for file in TYPES.values():
            self.assertGreaterEqual(len(names(file)), 170, file)

    def test_no_name_twice(self):
        everything = [name.lower() for file in TYPES.values() for name in names(file)]
        twice = {name for name in everything if everything.count(name) > 1}
        self.assertEqual(twice, set())

    def test_names_are_clean_text(self):
        for file in TYPES.values():
            for name in names(file):
                self.assertEqual(name, " ".join(name.split()), f"{file}: stray white space")
                self.assertNotRegex(name, r" [-/',]|[-/',] ", f"{file}: tokenised, not natural text")


class Decoys(unittest.TestCase):
    def test_none_is_a_name(self):
        """On no list of the example or of the template, which has the same decoys, and labelled nowhere."""
        bare = lambda term: re.sub(r"\s", "", term.lower())
        known = {bare(name) for file in TYPES.values() for of in (BIOMED, TEMPLATE) for name in names(file, of)}
        known |= {text for sentence in gold() for text, _ in mentions(sentence)}
        self.assertEqual([term for term in names("decoys.txt") if bare(term) in known], [])

    def test_none_twice(self):
        terms = [term.lower() for term in names("decoys.txt")]
        self.assertEqual(len(terms), len(set(terms)))


class Gold(unittest.TestCase):
    def test_enough_sentences(self):
        self.assertGreaterEqual(len(gold()), 70)

    def test_two_columns(self):
        for sentence in gold():
            for row in sentence:
                self.assertEqual(len(row), 2, row)
                self.assertTrue(row[0], row)

    def test_tokens_as_in_bc5cdr(self):
        for sentence in gold():
            for token, _ in sentence:
                self.assertRegex(token, r"^(\w+|[^\w\s])$")

    def test_tags_are_bio_of_known_types(self):
        allowed = {"O"} | {f"{prefix}-{kind}" for prefix in "BI" for kind in TYPES}
        for sentence in gold():
            before = "O"
            for token, tag in sentence:
                self.assertIn(tag, allowed, token)
                if tag.startswith("I-"):
                    self.assertIn(before, (f"B-{tag[2:]}", tag), f"{token}: I- without a mention before it")
                before = tag

    def test_no_sentence_twice(self):
        texts = [" ".join(token.lower() for token, _ in sentence) for sentence in gold()]
        self.assertEqual(len(texts), len(set(texts)))

    def test_some_sentences_hold_no_entity(self):
        self.assertGreaterEqual(sum(not mentions(sentence) for sentence in gold()), 10)

    def test_one_text_has_one_type(self):
        kinds = {}
        for sentence in gold():
            for text, kind in mentions(sentence):
                self.assertEqual(kinds.setdefault(text, kind), kind, text)

    def test_about_half_of_the_mentions_are_listed(self):
        listed = {(re.sub(r"\s", "", name.lower()), kind) for kind, file in TYPES.items() for name in names(file)}
        found = [mention for sentence in gold() for mention in mentions(sentence)]
        share = sum(mention in listed for mention in found) / len(found)
        self.assertTrue(0.4 <= share <= 0.6, f"{share:.2f} of the mentions are in the lists")


if __name__ == "__main__":
    unittest.main()
