"""Constraints: which one an endpoint honours is found out, whatever it says; with it every term is in the sentence; and
what was used is kept with the sample.
"""

import os
import subprocess
import unittest

import harness
from fake_llm import FakeLLM
from harness import EXIT_OK
from test_generator import FRUIT, TOWNS, GeneratorCase

KINDS = ("grammar", "structured_outputs", "response_format")
NEEDED = ("NERMILL_PYTHON", "NERMILL_GGUF")
ABSENT = [name for name in NEEDED if not os.environ.get(name)]


class FoundOut(GeneratorCase):
    """Every free answer leaves a term out; only a constraint gets them all in."""

    def run_preview(self, honours, constrain="last", **more):
        with FakeLLM(FRUIT + TOWNS, reject_share=1.0, honours=honours, **more) as llm:
            project = self.make(llm.url, more=f"generation: {{constrain: {constrain}, negatives: 0}}\n")
            result = self.preview(project, "-v", "--log-level", "info")
        self.assertEqual(result.returncode, EXIT_OK, result.stderr)
        return result, llm

    def test_each_kind(self):
        for i, kind in enumerate(KINDS):
            with self.subTest(kind):
                result, llm = self.run_preview(kind)
                self.assertIn("3 of 3 samples accepted", result.stdout)
                self.assertIn(f"honours {kind}", result.stderr)
                for other in KINDS[:i]:
                    self.assertIn(f"does not honour {other}", result.stderr)
                self.assertEqual(llm.canaries, i + 1, "asked on when it was known")
                # free, corrective, constrained
                self.assertEqual(sum(kind.encode() in body for body in llm.bodies), 3)
                self.assertEqual(len(llm.bodies), 9)
                self.assertEqual(result.stdout.count(f"tokens, {kind}"), 3)

    def test_ignored_by_all(self):
        result, llm = self.run_preview(None)
        self.assertIn("0 of 3 samples accepted", result.stdout)
        self.assertIn("honours no constraint", result.stderr)
        self.assertEqual(llm.canaries, 3)
        self.assertFalse([b for b in llm.bodies if any(kind.encode() in b for kind in KINDS)])

    def test_refused_by_a_strict_server(self):
        result, llm = self.run_preview("response_format", refuses=("grammar", "structured_outputs"))
        self.assertIn("3 of 3 samples accepted", result.stdout)
        self.assertEqual(llm.canaries, 3)

    def test_at_once_and_never(self):
        result, llm = self.run_preview("structured_outputs", constrain="always")
        self.assertIn("3 of 3 samples accepted, 3 calls", result.stdout)
        result, llm = self.run_preview("structured_outputs", constrain="never")
        self.assertIn("0 of 3 samples accepted, 9 calls", result.stdout)
        self.assertEqual(llm.canaries, 0)

    def test_named_by_the_project(self):
        with FakeLLM(FRUIT + TOWNS, reject_share=1.0, honours="response_format") as llm:
            project = self.make(llm.url, more="generation: {constrain: always, negatives: 0}\n")
            path = project / "project.yaml"
            path.write_text(path.read_text().replace("    model: fake", "    model: fake\n    constraint: response_format"))
            result = self.preview(project)
        self.assertIn("3 of 3 samples accepted, 3 calls", result.stdout)
        self.assertEqual(llm.canaries, 0)


@unittest.skipIf(ABSENT, f"{', '.join(ABSENT)} not set: run by tests/run.sh, or after deploy/setup-models.sh")
class RealServer(GeneratorCase, harness.Live):
    """llama.cpp's own server takes the forms that are made here, as a grammar and as a pattern in a JSON schema."""

    def start_llm(self):
        port_file = self.dir / "llm.port"
        server = subprocess.Popen(
            [os.environ["NERMILL_PYTHON"], str(harness.ROOT / "deploy" / "llm_server.py"), "--model",
             os.environ["NERMILL_GGUF"], "--processes", "1", "--port-file", str(port_file), "--log",
             str(self.dir / "llm.log")])
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        self.wait_for(port_file.exists, 120)
        return f"http://127.0.0.1:{port_file.read_text().split()[0]}/v1"

    def test_grammar_and_response_format(self):
        url = self.start_llm()
        for kind in ("auto", "response_format"):
            with self.subTest(kind):
                project = self.project(url=url, samples=4, more="generation: {constrain: always, negatives: 0}\n",
                                       name=f"project-{kind}", Chemical="aspirin\nTNF-alpha (p75)\n5% dextrose\n",
                                       Disease="pain\nhepatitis B/C\n")
                path = project / "project.yaml"
                text = path.read_text().replace("    model: fake", f"    model: fake\n    constraint: {kind}")
                path.write_text(text.replace("timeout_s: 20", "timeout_s: 120"))
                result = self.preview(project, "-v", "--log-level", "info", timeout=120)
                self.assertEqual(result.returncode, EXIT_OK, result.stderr)
                if kind == "auto":
                    self.assertIn("honours grammar", result.stderr)
                # whatever else such a small model does
                self.assertNotRegex(result.stdout, r"rejected, (entity_|json_form)")
                self.assertRegex(result.stdout, r"tokens, (grammar|response_format)")


if __name__ == "__main__":
    unittest.main()
