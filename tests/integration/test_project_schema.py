"""project.schema.json has the keys that the loader reads, no more and no less, and the loader's ranges and defaults."""
import json
import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "schemas"
SECTIONS = {"raw_project": "", "raw_goal": "goal", "raw_coverage": "goal.coverage", "raw_list": "entities", "raw_endpoint": "endpoints",
            "raw_generation": "generation", "raw_exemplars": "generation.exemplars", "raw_decoys": "generation.decoys", "raw_validation": "validation",
            "raw_verification": "verification", "raw_budget": "budget", "raw_broker": "broker", "raw_aligner": "aligner",
            "raw_alignment": "alignment", "raw_trainer": "trainer", "raw_dedup": "dedup", "raw_leakage": "leakage",
            "raw_denoise": "denoise", "raw_augmentation": "augmentation"}


def keys_in_loader():
    code = (ROOT / "project_yaml.c").read_text()
    return {name: set(re.findall(rf"(?:STRING|UINT|FLOAT|BOOL|MAPPING|LIST)\({owner}, (\w+)", code))
            for owner, name in SECTIONS.items()}


def section(schema, name):
    node = schema
    for part in name.split(".") if name else []:
        node = node["properties"][part]
    return node.get("items", node)["properties"]


class ProjectSchema(unittest.TestCase):
    def setUp(self):
        self.schema = json.loads((ROOT / "project.schema.json").read_text())

    def test_same_keys(self):
        for name, keys in keys_in_loader().items():
            self.assertTrue(keys, name)
            self.assertEqual(keys, set(section(self.schema, name)), name)

    def test_same_ranges_and_defaults(self):
        code = "".join((ROOT / name).read_text() for name in ("project.c", "project_generation.c", "project_quality.c", "project_augmentation.c"))
        found = re.findall(r'nm_value_(?:uint|float)\(\s*c, (?:section|"(\w+)"), (?:nth|0), "(\w+)",\s*in->\w+, ([\d.e-]+), ([\d.e-]+),\s*([\d.e* ]+)\)', code)
        self.assertGreaterEqual(len(found), 12)
        by_key = {}
        for name in SECTIONS.values():
            for key, node in section(self.schema, name).items():
                by_key.setdefault(key, node)
        for name, key, default, low, high in found:
            own = section(self.schema, name) if name in SECTIONS.values() else {}
            node = own.get(key, by_key[key])
            self.assertEqual(float(low), node["minimum"], key)
            self.assertEqual(eval(high), node["maximum"], key)  # an arithmetic literal of ours, like 7 * 86400
            if "default" in node:
                self.assertEqual(float(default), node["default"], key)


if __name__ == "__main__":
    unittest.main()
