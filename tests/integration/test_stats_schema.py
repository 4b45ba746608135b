"""A live broker's statistics against stats.schema.json, field by field, before, while and after it works."""

import json
import unittest

import harness
from desk_case import ENDLESS
from fake_llm import FakeLLM
from json_schema import errors
from test_generation import GenerationCase

SCHEMA = json.loads((harness.ROOT / "schemas" / "stats.schema.json").read_text())
FRUIT = ["apple", "banana", "cherry", "lemon", "mango", "papaya", "quince", "walnut"]


class StatsSchema(GenerationCase):
    def test_validator_finds(self):
        window = {"count": 1, "p50": 1, "p90": 1, "p99": 1, "p999": 1, "max": 1}
        self.assertEqual(errors(window, {"$ref": "#/$defs/histogram"}, SCHEMA), [])
        for bad in ({**window, "p50": -1}, {**window, "p50": 1.5}, {**window, "p50": True}, {**window, "p51": 1}, {"count": 1}, []):
            self.assertTrue(errors(bad, {"$ref": "#/$defs/histogram"}, SCHEMA), bad)
        self.assertTrue(errors("x", {"enum": ["y"]}, SCHEMA))
        self.assertTrue(errors("x", {"type": ["object", "null"]}, SCHEMA))
        self.assertTrue(errors([1, "x"], {"type": "array", "items": {"type": "integer"}}, SCHEMA))
        self.assertTrue(errors([], {"type": "array", "minItems": 1}, SCHEMA))
        self.assertTrue(errors("", {"type": "string", "minLength": 1}, SCHEMA))

    def document(self, project):
        """The statistics, held against the schema; {} while no broker answers."""
        document = self.stats(project)
        if document:
            self.assertEqual(errors(document, SCHEMA, SCHEMA), [])
            unknown = set(document) - set(SCHEMA["properties"])
            self.assertEqual(unknown, set(), "fields that the schema does not describe")
        return document

    def working(self, project):
        """The same, once there is a sample."""
        document = self.document(project)
        return document if document.get("aligned") else {}

    def test_live(self):
        with FakeLLM(FRUIT, delay=0.05, reject_share=0.3) as llm:
            project = self.project(url=llm.url, samples=ENDLESS, Fruit="\n".join(FRUIT) + "\n")
            run = self.start(project)
            self.wait_for(lambda: self.document(project), run)
            best = self.wait_for(lambda: self.working(project), run)
            self.assertEqual(self.nermill("limit", project, "--samples", 1).returncode, harness.EXIT_OK)
            self.finish(run)
        broker = self.start_broker(project)
        after = self.wait_for(lambda: self.document(project), broker)
        self.assertEqual((after["state"], after["goal"]), ("complete", 1))
        latency, total = best["latency_us"], best["endpoints"][0]["latency_us"]["total"]
        self.assertGreater(latency["lease"]["total"]["count"], 0)
        self.assertGreater(latency["align"]["total"]["count"], 0)
        self.assertGreater(latency["fsync"]["total"]["count"], 0)
        self.assertGreater(total["count"], 0)
        self.assertEqual(sorted(total[k] for k in ("p50", "p90", "p99", "p999")), [total[k] for k in ("p50", "p90", "p99", "p999")])


if __name__ == "__main__":
    unittest.main()
