"""A live broker's statistics against stats.schema.json, field by field, before, while and after it works."""

import json
import re
import subprocess
import time
import unittest

import harness
from fake_llm import FakeLLM

SCHEMA = json.loads((harness.ROOT / "schemas" / "stats.schema.json").read_text())
KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float), "null": type(None)}
KNOWN = {"$schema", "$defs", "title", "description", "$ref", "type", "const", "enum", "minimum", "maximum", "pattern",
         "required", "properties", "additionalProperties", "items"}
FRUIT = ["apple", "banana", "cherry", "lemon", "mango", "papaya", "quince", "walnut"]


def is_kind(value, kind):
    return isinstance(value, KINDS[kind]) and (kind in ("boolean",) or not isinstance(value, bool))


def errors(value, schema, path="$"):
    """What of value does not fit; the words of JSON Schema that stats.schema.json uses, and no others."""
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        return errors(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], path)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(is_kind(value, kind) for kind in kinds):
        return [f"{path}: {value!r} is no {kinds}"]
    found = []
    if "const" in schema and value != schema["const"] or "enum" in schema and value not in schema["enum"]:
        found.append(f"{path}: {value!r}")
    if value is not None and not schema.get("minimum", float("-inf")) <= (value if is_kind(value, "number") else 0) <= schema.get("maximum", float("inf")):
        found.append(f"{path}: {value!r} is out of its range")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{path}: {value!r} is not like {schema['pattern']}")
    if isinstance(value, list):
        for i, item in enumerate(value):
            found += errors(item, schema.get("items", {}), f"{path}[{i}]")
    if isinstance(value, dict):
        found += [f"{path}.{key} is not there" for key in schema.get("required", []) if key not in value]
        for key, item in value.items():
            rule = schema.get("properties", {}).get(key, schema.get("additionalProperties", True))
            if rule is False:
                found.append(f"{path}.{key} is unknown")
            elif rule is not True:
                found += errors(item, rule, f"{path}.{key}")
    return found


class StatsSchema(harness.Case):
    def test_validator_finds(self):
        window = {"count": 1, "p50": 1, "p90": 1, "p99": 1, "p999": 1, "max": 1}
        self.assertEqual(errors(window, {"$ref": "#/$defs/histogram"}), [])
        for bad in ({**window, "p50": -1}, {**window, "p50": 1.5}, {**window, "p50": True}, {**window, "p51": 1}, {"count": 1}, []):
            self.assertTrue(errors(bad, {"$ref": "#/$defs/histogram"}), bad)
        self.assertTrue(errors("x", {"enum": ["y"]}))
        self.assertTrue(errors("x", {"type": ["object", "null"]}))
        self.assertTrue(errors([1, "x"], {"type": "array", "items": {"type": "integer"}}))

    def test_live(self):
        with FakeLLM(FRUIT, delay=0.05, reject_share=0.3) as llm:
            project = self.project(url=llm.url, samples=200, Fruit="\n".join(FRUIT) + "\n")
            run = subprocess.Popen([harness.program("nermill"), "run", "--no-train", str(project)],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            best = {"responses": 0}
            try:
                while run.poll() is None:
                    result = self.nermill("status", project, "--json")
                    if result.returncode == 0:
                        document = json.loads(result.stdout)
                        self.assertEqual(errors(document, SCHEMA), [])
                        unknown = set(document) - set(SCHEMA["properties"])
                        self.assertEqual(unknown, set(), "fields that the schema does not describe")
                        best = document if document["responses"] else best
                    time.sleep(0.1)
            finally:
                run.kill()
                run.wait()
        self.assertGreater(best["responses"], 0)
        latency, total = best["latency_us"], best["endpoints"][0]["latency_us"]["total"]
        self.assertGreater(latency["lease"]["total"]["count"], 0)
        self.assertGreater(latency["align"]["total"]["count"], 0)
        self.assertGreater(latency["fsync"]["total"]["count"], 0)
        self.assertGreater(total["count"], 0)
        self.assertEqual(sorted(total[k] for k in ("p50", "p90", "p99", "p999")), [total[k] for k in ("p50", "p90", "p99", "p999")])


if __name__ == "__main__":
    unittest.main()
