"""PROTOCOL.md names every message, number, field, kind and maximum that messages.h has."""
import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "schemas"
CONSTANTS = {"NM_TEXT_MAX": 1 << 20, "NM_BODY_MAX": 8 << 20, "NM_NAME_MAX": 256, "NM_LINE_MAX": 4096, "NM_LIST_MAX": 1 << 20,
             "NM_NOTES_MAX": 64, "NM_SPANS_MAX": 4096, "NM_FINGERPRINT_MAX": 1024, "NM_ANSWERS_MAX": 8, "NM_LINES_MAX": 20}


def fields_in_header(text):
    """{message: [(field, kind as PROTOCOL.md writes it)]}"""
    found = {}
    for name, body in re.findall(r"#define NM_FIELDS_(\w+)\(X\)((?:.*\\\n)*.*)", text):
        found[name] = []
        for kind, field, limit in re.findall(r"X\((\w+), (\w+), (\w+)\)", body):
            size = CONSTANTS[limit] if limit in CONSTANTS else int(limit)
            if kind.startswith("LIST_"):
                written = f"list({size}) of {kind[5:]}"
            else:
                written = {"STR": f"str({size})", "BIN": f"bin({size})"}.get(kind, kind.lower())
            found[name].append((field, written))
    return found


def fields_in_document(text):
    found, current = {}, None
    for line in text.splitlines():
        title = re.match(r"### (?:\d+ )?`(\w+)`", line)
        if title:
            current = title.group(1)
            found[current] = []
        elif line.startswith("#"):
            current = None
        row = [cell.strip() for cell in line[1:-1].split("|")] if line.startswith("|") else []
        if current and len(row) == 3 and row[0].startswith("`"):
            found[current].append((row[0].strip("`"), row[1]))
        elif current is None and len(row) == 4 and row[1].startswith("`"):  # the table of items
            if row[0]:
                item = row[0].strip("`")
                found[item] = []
            found[item].append((row[1].strip("`"), row[2]))
    return found


class ProtocolDocument(unittest.TestCase):
    def setUp(self):
        self.header = (ROOT / "messages.h").read_text()
        self.document = (ROOT / "PROTOCOL.md").read_text()

    def test_every_field_with_its_kind(self):
        header = fields_in_header(self.header)
        self.assertGreaterEqual(len(header), 20)
        self.assertEqual(header, fields_in_document(self.document))

    def test_every_number(self):
        numbers = re.findall(r"X\((\d+), (\w+)\)", self.header)
        self.assertGreaterEqual(len(numbers), 16)
        self.assertEqual(numbers, re.findall(r"### (\d+) `(\w+)`", self.document))


if __name__ == "__main__":
    unittest.main()
