"""Bash completion offers the commands and options that the built programs have."""

import subprocess
import unittest

import harness

SCRIPT = """
. "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_nermill
printf '%s\\n' "${COMPREPLY[@]}"
"""


class Completion(unittest.TestCase):
    def complete(self, *words):
        script = harness.ROOT / "cli" / "completion" / "nermill.bash"
        command = ["bash", "-c", SCRIPT, "bash", str(script), harness.program("nermill"), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_commands(self):
        offered = self.complete("")
        for command in ("init", "validate", "preview", "run", "status", "check", "backup", "batch",
                        "pause", "resume", "drain", "limit", "dead", "peek", "kick", "bury", "coverage", "workers",
                        "export", "import", "entities", "match", "augment", "split", "report", "responses",
                        "train", "evaluate", "predict"):
            self.assertIn(command, offered)
        self.assertEqual(self.complete("ru"), ["run"])

    def test_options_of_a_command(self):
        self.assertEqual(self.complete("run", "--st"), ["--state"])
        self.assertIn("--dictionary", self.complete("evaluate", "--"))
        self.assertEqual(self.complete("peek", "--b"), ["--body"])
        self.assertEqual(self.complete("pause", "--end"), ["--endpoint"])

    def test_values(self):
        self.assertEqual(self.complete("export", "--format", ""), ["conll", "conll2003", "jsonl", "spacy", "parquet", "labelstudio", "doccano", "brat"])
        self.assertIn("pubtator", self.complete("import", "--format", ""))

    def test_files_where_nothing_else_fits(self):
        self.assertEqual(self.complete("run", "exa"), [])


if __name__ == "__main__":
    unittest.main()
