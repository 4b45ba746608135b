"""The small corpora of tests/corpora, and data sets as what the tests compare: sentences of (text, type) mentions."""

import json

import harness

CORPORA = harness.ROOT / "tests" / "corpora"


def read_jsonl(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]  # not splitlines: U+2028 may stand in a text


def mentions(sample):
    return [(sample["text"][e["start"]:e["end"]], e["type"]) for e in sample["entities"]]


def spans(sample):
    return [(e["start"], e["end"], e["type"]) for e in sample["entities"]]
