"""experiment.schema.json has the keys that the loader reads, no more and no less; the examples name files that are there."""

import json
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECTIONS = {"raw_experiment": "", "raw_corpus": "corpus", "raw_grid": "grid", "raw_ablation": "ablations", "raw_union": "union",
            "raw_replacement": "replacement"}


def section(schema, name):
    node = schema["properties"][name] if name else schema
    return set(node.get("items", node)["properties"])


class ExperimentSchema(unittest.TestCase):
    def test_same_keys(self):
        schema = json.loads((ROOT / "schemas" / "experiment.schema.json").read_text())
        code = (ROOT / "schemas" / "experiment_yaml.c").read_text()
        for owner, name in SECTIONS.items():
            keys = set(re.findall(rf"(?:STRING|UINT|FLOAT|BOOL|MAPPING|LIST)\(\s*{owner}, (\w+)", code))
            keys |= set(re.findall(rf'CYAML_FIELD_MAPPING_PTR\(\s*"(\w+)", \w+, struct {owner},', code))
            self.assertTrue(keys, owner)
            self.assertEqual(keys, section(schema, name), owner)

    def test_examples(self):
        known = section(json.loads((ROOT / "schemas" / "experiment.schema.json").read_text()), "")
        files = sorted((ROOT / "examples" / "experiments").glob("*.yaml"))
        self.assertGreaterEqual(len(files), 3)
        for path in files:
            text = path.read_text()
            self.assertLessEqual(set(re.findall(r"^(\w+):", text, re.M)), known, path.name)
            for name in re.findall(r"(?:template|asides|decoys: \{file): ([\w.]+)", text):
                self.assertTrue((path.parent / name).exists(), f"{path.name}: {name}")


if __name__ == "__main__":
    unittest.main()
