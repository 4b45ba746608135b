"""The whole job with the embedded language model and encoder; what comes out loads in transformers.

The models are set up by deploy/setup-models.sh, which tests/run.sh calls; without the variables that it prints there
is nothing to test with.  transformers comes from tests/setup-torch.sh (tests/run.sh --torch).
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest

import harness

SAMPLES = 30
NEEDED = ("NERMILL_PYTHON", "NERMILL_GGUF", "NERMILL_ENCODER")
ABSENT = [name for name in NEEDED if not os.environ.get(name)]


def blocks(text):
    """CoNLL text as sentences of (word, tag)."""
    return [[tuple(line.split("\t")) for line in block.split("\n")] for block in text.strip("\n").split("\n\n")]


@unittest.skipIf(ABSENT, f"{', '.join(ABSENT)} not set: run by tests/run.sh, or after deploy/setup-models.sh")
class RealModel(harness.Case):
    model = None  # made by test_lists_in_tagger_out, which comes first by its name

    def start_llm(self):
        port_file = self.dir / "llm.port"
        server = subprocess.Popen(
            [os.environ["NERMILL_PYTHON"], str(harness.ROOT / "deploy" / "llm_server.py"), "--model",
             os.environ["NERMILL_GGUF"], "--port-file", str(port_file), "--log", str(self.dir / "llm.log")])
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        end = time.monotonic() + 120
        while not port_file.exists():
            self.assertIsNone(server.poll(), "the server ended")
            self.assertLess(time.monotonic(), end, "the server is not ready")
            time.sleep(0.1)
        return server, f"http://127.0.0.1:{port_file.read_text().split()[0]}/v1"

    def make_project(self):
        project = self.dir / "project"
        shutil.copytree(harness.ROOT / "examples" / "biomed", project)
        file = project / "project.yaml"
        text, found = re.subn(r"(?m)^  samples: \d+$", f"  samples: {SAMPLES}", file.read_text())
        self.assertEqual(found, 1)
        text, found = re.subn(r"(?m)^  epochs: \d+$", "  epochs: 4", text)
        self.assertEqual(found, 1)
        file.write_text(text)
        return project

    def run_project(self, project, url, timeout):
        return self.nermill("run", project, timeout=timeout, env={"NERMILL_LLM_URL": url})

    def check_data(self, data):
        """Every sample once; every span cuts its text; CoNLL and JSON lines agree."""
        samples = [json.loads(line) for line in (data / "train.jsonl").read_text(encoding="utf-8").splitlines()]
        self.assertGreaterEqual(len(samples), SAMPLES)
        self.assertEqual(len({sample["id"] for sample in samples}), len(samples), "a task twice")
        sentences = blocks((data / "train.conll").read_text(encoding="utf-8"))
        self.assertEqual(len(sentences), len(samples))
        mentions = sum(tag.startswith("B-") for sentence in sentences for _, tag in sentence)
        self.assertEqual(mentions, sum(len(sample["entities"]) for sample in samples))
        self.assertGreater(mentions, SAMPLES // 2)
        for sample in samples:
            for entity in sample["entities"]:
                self.assertEqual(sample["text"][entity["start"] : entity["end"]], entity["text"])

    def check_model(self, model, gold):
        """nermill's tags and those of transformers, from the same directory, are the same on every word."""
        done = subprocess.run(
            [os.environ["NERMILL_TORCH_PYTHON"], str(harness.ROOT / "tests" / "integration" / "transformers_load.py"),
             harness.program("nermill-trainer"), str(model), str(gold)],
            capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_lists_in_tagger_out(self):
        server, url = self.start_llm()
        project = self.make_project()
        first = self.run_project(project, url, 900)
        self.assertEqual(first.returncode, 0, first.stdout + first.stderr)
        self.assertIn("dictionary matching", first.stdout)
        self.assertIn("the trained model", first.stdout)
        self.check_data(project / "run" / "data")
        kept = tempfile.TemporaryDirectory(prefix="nermill-test-")  # for the next test
        self.addClassCleanup(kept.cleanup)
        RealModel.model = shutil.copytree(project / "run" / "model", f"{kept.name}/model")

        # Again, with no language model there at all: everything is done, nothing is asked for.
        server.terminate()
        server.wait()
        data = (project / "run" / "data" / "train.jsonl").read_bytes()
        again = self.run_project(project, url, 120)
        self.assertEqual(again.returncode, 0, again.stdout + again.stderr)
        self.assertEqual((project / "run" / "data" / "train.jsonl").read_bytes(), data)

    @unittest.skipUnless(os.environ.get("NERMILL_TORCH_PYTHON"), "no transformers here: run tests/run.sh --torch")
    def test_model_in_transformers(self):
        self.assertIsNotNone(RealModel.model, "the test before it made no model")
        self.check_model(RealModel.model, harness.ROOT / "examples" / "biomed" / "gold.conll")


if __name__ == "__main__":
    unittest.main()
