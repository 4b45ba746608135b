"""nermill check and backup, beside a running broker and after it; and that a copy goes on where it was made."""

import shutil
import signal
import subprocess
import time
import unittest

import harness
from fake_llm import FakeLLM
from harness import EXIT_INPUT, EXIT_OK, EXIT_STORAGE, EXIT_USAGE

FRUIT = ["apple", "banana", "cherry", "lemon", "mango", "papaya", "quince", "walnut"]
TOWNS = ["Oslo", "Lima", "Cairo", "Quito", "Dakar", "Hanoi", "Turin", "Ghent"]


class Tools(harness.Case):
    def make(self, llm, samples):
        return self.project(
            url=llm.url, samples=samples, Fruit="\n".join(FRUIT) + "\n", Town="\n".join(TOWNS) + "\n"
        )

    def whole(self, *args, name="nermill"):
        result = self.nermill(*args, name=name)
        self.assertEqual(result.returncode, EXIT_OK, result.stdout + result.stderr)
        self.assertIn(": whole; run run-", result.stdout)
        return result.stdout

    def test_beside_a_running_broker(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.2, reject_share=0.3) as llm:
            project = self.make(llm, 300)
            run = subprocess.Popen(
                [harness.program("nermill"), "run", "--no-train", str(project)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                ledger = project / "run" / "broker" / "ledger" / "data.mdb"
                while not ledger.exists():
                    self.assertIsNone(run.poll())
                    time.sleep(0.05)
                time.sleep(0.5)
                copies = 0
                while run.poll() is None:
                    self.whole("check", project)
                    copy = self.dir / f"copy-{copies}"
                    result = self.nermill("backup", project, copy)
                    self.assertEqual(result.returncode, EXIT_OK, result.stderr)
                    self.whole("check", copy, name="nermill-broker")
                    copies += 1
                    if copies == 4:
                        llm.delay = 0.0  # seen often enough: let it come to its end
                    time.sleep(0.2)
                self.assertEqual(run.returncode, EXIT_OK)
                self.assertGreaterEqual(copies, 4)
            finally:
                if run.poll() is None:
                    run.send_signal(signal.SIGINT)
                    run.wait(timeout=30)
            self.assertRegex(self.whole("check", project), r", 0 open tasks, 300 done")
            shutil.rmtree(project / "run" / "broker" / "ledger")
            shutil.copytree(copy / "ledger", project / "run" / "broker" / "ledger")
            result = self.nermill("run", "--no-train", project)
            self.assertEqual(result.returncode, EXIT_OK, result.stderr)
            self.assertRegex(self.whole("check", project), r", 300 done")

    def test_durability(self):
        for setting in ("always", "interval, sync_interval_ms: 50", "os"):
            with FakeLLM(FRUIT + TOWNS) as llm:
                project = self.make(llm, 20)
                path = project / "project.yaml"
                path.write_text(path.read_text().replace("broker: {", f"broker: {{durability: {setting}, "))
                self.assertEqual(self.nermill("run", "--no-train", project).returncode, EXIT_OK)
                self.assertRegex(self.whole("check", project), r", 20 done")
                warned = "a crash of the machine may lose" in (project / "run" / "logs" / "broker.log").read_text()
                self.assertEqual(warned, setting != "always")
                shutil.rmtree(project / "run")
        path.write_text(path.read_text().replace("durability: os", "durability: never"))
        self.assert_fails(self.nermill("validate", "--offline", project), EXIT_INPUT, "durability", "always")

    def test_what_can_not_be(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, 20)
            self.assert_fails(self.nermill("check", project), EXIT_INPUT, "there is no run", "nermill run")
            self.assertEqual(self.nermill("run", "--no-train", project).returncode, EXIT_OK)
        state = project / "run" / "broker"
        self.assert_fails(self.nermill("check", name="nermill-broker"), EXIT_USAGE, "one STATE_DIR is needed")
        self.assert_fails(self.nermill("backup", state, name="nermill-broker"), EXIT_USAGE, "STATE_DIR and DEST")
        self.assert_fails(self.nermill("check", self.dir, name="nermill-broker"), EXIT_STORAGE, "no store at")
        copy = self.dir / "copy"
        (copy / "ledger.partial").mkdir(parents=True)  # as a copy that was killed leaves it
        (copy / "ledger.partial" / "data.mdb").write_bytes(b"half")
        self.assertEqual(self.nermill("backup", "--state", project / "run", copy).returncode, EXIT_OK)
        self.assertFalse((copy / "ledger.partial").exists())
        self.assert_fails(self.nermill("backup", project, copy), EXIT_STORAGE, "copy/ledger is there already")
        self.whole("check", "--state", project / "run")

    def test_damage(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, 20)
            self.assertEqual(self.nermill("run", "--no-train", project).returncode, EXIT_OK)
        data = project / "run" / "broker" / "ledger" / "data.mdb"
        with data.open("r+b") as file:
            file.seek(8192)
            file.write(b"\xff" * (data.stat().st_size - 8192))
        self.assert_fails(self.nermill("check", project), EXIT_STORAGE, "damaged", "restore a backup")


if __name__ == "__main__":
    unittest.main()
