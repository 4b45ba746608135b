"""Seal, serve, pull; kill the aligner in mid-transfer, corrupt a byte on the wire and on disk, lose the aligner for good.

Whatever is done to them, the shards that a trainer gets are the same to the byte, and no LLM is asked again.
"""

import json
import shutil
import subprocess
import threading

import harness
from fake_llm import FakeLLM
from tcp_proxy import Proxy

WORDS = ["apple", "banana", "cherry", "lemon", "Oslo", "Lima", "Cairo", "Quito"]
SAMPLES, SHARD = 50, 16


class Shards(harness.Live):
    def setUp(self):
        super().setUp()
        harness.program("pull_shards")
        self.broker_port, self.shard_port = harness.free_port(), harness.free_port()
        self.proxy = Proxy(self.shard_port).__enter__()
        self.addCleanup(self.proxy.__exit__)
        self.pulls = 0

    def aligner(self, state="aligner", *args):
        self.state = self.dir / state
        return self.start("nermill-aligner", "--broker", f"tcp://127.0.0.1:{self.broker_port}", "--state", self.state,
                          "--bind", f"tcp://127.0.0.1:{self.shard_port}",
                          "--advertise", f"tcp://127.0.0.1:{self.proxy.port}", *args)

    def kill(self, process):
        process.kill()
        process.wait()

    def restart(self):
        self.kill(self.running)
        self.running = self.aligner(self.state.name)

    def pull(self):
        """(the corpus's digest and size, {shard: bytes})"""
        self.pulls += 1
        out = self.dir / f"pull-{self.pulls}"
        out.mkdir()
        result = subprocess.run([harness.program("pull_shards"), f"tcp://127.0.0.1:{self.broker_port}", out],
                                capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 0, result.stderr + self.log("nermill-aligner")[-3000:])
        return result.stdout, {path.name: path.read_bytes() for path in out.iterdir()}, result.stderr

    def check(self):
        """Pulled again, everything is as it was; what the pull said on standard error."""
        corpus, shards, said = self.pull()
        self.assertEqual(corpus, self.corpus)
        self.assertEqual(shards.keys(), self.shards.keys())
        for name, data in shards.items():
            self.assertTrue(data == self.shards[name], f"{name} has other bytes")
        self.assertEqual(len(self.llm.bodies), self.bought, "an LLM was asked again")
        return said

    def make(self, llm):
        """A finished run and what is pulled from it while all is well."""
        project = self.project(url=llm.url, samples=SAMPLES, more=f"aligner: {{shard_samples: {SHARD}}}\n")
        self.broker(project, self.broker_port)
        self.running = self.aligner()
        self.generator(self.broker_port, "--exit-when-done")
        self.wait_for(lambda: self.complete())
        self.llm, self.bought = llm, len(llm.bodies)
        self.corpus, self.shards, _ = self.pull()
        self.assertEqual(int(self.corpus.split()[1]), SAMPLES)
        self.assertEqual(len(self.shards), SAMPLES // SHARD + 1)
        return project

    def complete(self):
        out = self.nermill("status", self.dir / "project", "--state", self.dir, "--json").stdout
        return out.startswith("{") and json.loads(out)["complete"]

    def damage(self, *words):
        """Flip a bit of each of these words wherever they stand in the store."""
        path = self.state / "samples" / "data.mdb"
        data = path.read_bytes()
        for word in words:
            self.assertIn(word, data)
            data = data.replace(word, bytes([word[0] ^ 1]) + word[1:])
        path.write_bytes(data)

    def test_nothing_wrong_reaches_a_trainer(self):
        with FakeLLM(WORDS) as llm:
            self.make(llm)
            with self.subTest("a byte on the wire"):
                for _ in range(4):
                    self.proxy.flips = 2
                    self.check()
                self.assertGreaterEqual(self.proxy.flipped, 6)
            with self.subTest("killed in mid-transfer"):
                self.proxy.flips, self.proxy.carried = 0, 0
                self.proxy.on_cut = lambda: threading.Thread(target=self.restart).start()
                self.proxy.cut_after = sum(map(len, self.shards.values())) // 2
                self.check()
                self.assertIsNone(self.proxy.cut_after)
            with self.subTest("a byte on the disk, in a sealed shard and in the open one"):
                self.kill(self.running)
                self.damage(self.last_text(0), self.last_text(SAMPLES // SHARD))
                self.running = self.aligner()
                self.check()
                self.assertIn("shard 0 is whole again, as it was sealed", self.log("nermill-aligner"))
                self.assertIn("shard 3 is whole again", self.log("nermill-aligner"))
            with self.subTest("gone for good"):
                self.kill(self.running)
                worker = (self.state / "worker.id").read_text()
                shutil.rmtree(self.state)
                self.running = self.aligner("aligner-2", "--adopt", worker)
                self.check()

    def last_text(self, number):
        """Of the last sample in a shard, as it stands in the store."""
        name = next(name for name in self.shards if name.endswith(f".{number}"))
        return self.shards[name].rsplit(b"\xa4text", 1)[1][2:32]

    def test_lost_in_mid_run(self):
        """An aligner that dies for good with texts in hand: another takes its place, and the run is whole."""
        with FakeLLM(WORDS, delay=0.02) as llm:
            project = self.project(url=llm.url, samples=SAMPLES, more=f"aligner: {{shard_samples: {SHARD}}}\n")
            self.broker(project, self.broker_port)
            self.running = self.aligner()
            self.generator(self.broker_port, "--exit-when-done")
            self.wait_for(lambda: len(llm.bodies) > SAMPLES // 2)
            self.kill(self.running)
            worker = (self.state / "worker.id").read_text()
            shutil.rmtree(self.state)
            self.running = self.aligner("aligner-2", "--adopt", worker)
            self.wait_for(self.complete)
            corpus, shards, _ = self.pull()
            self.assertEqual(int(corpus.split()[1]), SAMPLES)
            self.assertEqual(len(shards), SAMPLES // SHARD + 1)
            self.assertEqual(llm.bought_again(), 0)

    def test_a_wrong_directory_is_not_adopted(self):
        with FakeLLM(WORDS) as llm:
            project = self.project(url=llm.url, samples=1)
            self.broker(project, self.broker_port)
            state = self.dir / "other"
            state.mkdir()
            (state / "worker.id").write_text("aligner-0")
            result = self.nermill("--broker", f"tcp://127.0.0.1:{self.broker_port}", "--state", state, "--adopt",
                                  "aligner-1", name="nermill-aligner")
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("is the directory of worker aligner-0", result.stderr)


if __name__ == "__main__":
    harness.unittest.main()
