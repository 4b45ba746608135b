"""Real processes in a temporary directory: what the integration tests share.

The programs are in NM_BIN (ctest sets it).  Nothing here is particular to a test.
"""

import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("NM_BIN", ROOT / "build" / "dev" / "bin"))

EXIT_OK, EXIT_FAILURE, EXIT_USAGE, EXIT_INPUT, EXIT_ENDPOINT, EXIT_STORAGE = 0, 1, 2, 3, 4, 5
EXIT_SIGNAL = 130


def free_port():
    """A port nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def program(name):
    """The path of one of our programs; the test is skipped, in words, where it has not been built."""
    path = BIN / name
    if not path.exists():
        raise unittest.SkipTest(f"{path} has not been built")
    return str(path)


class Case(unittest.TestCase):
    """A test with a directory of its own, self.dir."""

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="nermill-test-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def nermill(self, *args, timeout=60, env=None, name="nermill", **more):
        """Run a program to its end; no test may hang."""
        return subprocess.run(
            [program(name), *map(str, args)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**os.environ, **(env or {})},
            check=False,
            **more,
        )

    def write(self, name, text):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(text, encoding="utf-8")
        return path

    def project(self, name="project", url="http://127.0.0.1:9/v1", samples=40, more="", **lists):
        """A small project; lists: type=text of its list."""
        lists = lists or {"Fruit": "apple\nbanana\ncherry\nlemon\n", "Town": "Oslo\nLima\nCairo\nQuito\n"}
        entries = ""
        for kind, text in lists.items():
            self.write(f"{name}/{kind}.txt", text)
            entries += f"  - {{type: {kind}, file: {kind}.txt}}\n"
        return self.write(
            f"{name}/project.yaml",
            f"version: 1\nname: test\ngoal: {{samples: {samples}}}\nentities:\n{entries}"
            f"endpoints:\n  - name: fake\n    url: '{url}'\n    model: fake\n    concurrency: 4\n    timeout_s: 20\n"
            "broker: {bind: 'tcp://127.0.0.1:*', stats: 'tcp://127.0.0.1:*', publish: 'tcp://127.0.0.1:*'}\n" + more,
        ).parent

    def set_endpoints(self, project, entries):
        """These in place of its own: (name, url, further lines of it) each."""
        path = project / "project.yaml"
        text = path.read_text()
        begin, end = text.index("endpoints:\n"), text.index("broker:")
        lines = "".join(f"  - name: {name}\n    url: '{url}'\n    model: fake\n" + "".join(f"    {line}\n" for line in more)
                        for name, url, *more in entries)
        path.write_text(text[:begin] + "endpoints:\n" + lines + text[end:])
        return project

    def assert_fails(self, result, code, *words):
        """The exit code, and one line on stderr that holds all of words."""
        said = result.stderr
        self.assertEqual(result.returncode, code, said + result.stdout)
        for line in said.splitlines():
            if all(str(word) in line for word in words):
                return line
        self.fail(f"no line with {words} in:\n{said}")


class Live(Case):
    """A test with a broker of its own and workers, whatever they do killed at its end."""

    def setUp(self):
        super().setUp()
        program("nermill-broker")
        self.processes = []
        self.addCleanup(self.kill_all)

    def kill_all(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def start(self, name, *args, env=None):
        with open(self.dir / f"{name}.log", "a", encoding="utf-8") as log:
            process = subprocess.Popen([program(name), *map(str, args)], stdout=log, stderr=log,
                                       env={**os.environ, **(env or {})})
        self.processes.append(process)
        return process

    def log(self, name):
        path = self.dir / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def broker(self, project, port, *args, env=None):
        text = (project / "project.yaml").read_text()
        (project / "project.yaml").write_text(text.replace("bind: 'tcp://127.0.0.1:*'", f"bind: 'tcp://127.0.0.1:{port}'"))
        return self.start("nermill-broker", project, "--state", self.dir / "broker", *args, env=env)

    def generator(self, port, *args):
        return self.start("nermill-generator", "--broker", f"tcp://127.0.0.1:{port}", "--state", self.dir / "state",
                          *args)

    def wait_for(self, what, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if what():
                return
            time.sleep(0.02)
        self.fail("waited in vain;" + "".join(f"\n{name}:\n{self.log(name)[-3000:]}"
                                              for name in ("nermill-generator", "nermill-broker")))

    def finish(self, process, code, seconds=60):
        self.assertEqual(process.wait(timeout=seconds), code, self.log("nermill-generator")[-3000:])
