"""How a training goes, in the statistics of the broker whose samples it is on: while it runs, over the broker's death, at its
end."""

import json
import signal

import harness
import tiny_bert
from fake_llm import FakeLLM
from harness import EXIT_OK, EXIT_SIGNAL
from json_schema import errors

SCHEMA = json.loads((harness.ROOT / "schemas" / "stats.schema.json").read_text())
LISTS = {"Metal": ["zinc", "iron"], "Ill": ["fever", "cough"]}


class TrainingStats(harness.Live):
    def setUp(self):
        super().setUp()
        self.encoder = tiny_bert.write(self.dir / "encoder")
        self.port = harness.free_port()

    def document(self):
        out = self.nermill("status", self.dir / "project", "--state", self.dir, "--json").stdout
        return json.loads(out) if out.startswith("{") else {"complete": False, "training": None}

    def training(self):
        return self.document()["training"]

    def state_is(self, *states):
        return lambda: (self.training() or {"state": ""})["state"] in states

    def train(self, *args):
        return self.start("nermill-trainer", "--broker", f"tcp://127.0.0.1:{self.port}", "--out", self.dir / "model", "--model",
                          self.encoder, "--gold", self.gold, "--threads", "1", "--batch", "2", *args)

    def test_while_it_runs_and_after(self):
        with FakeLLM(sum(LISTS.values(), [])) as llm:
            project = self.project(url=llm.url, samples=24, **{kind: "\n".join(words) + "\n" for kind, words in LISTS.items()})
            self.gold = self.write("gold.conll", tiny_bert.corpus(20))
            broker = self.broker(project, self.port)
            self.start("nermill-aligner", "--broker", f"tcp://127.0.0.1:{self.port}", "--state", self.dir / "aligner")
            self.generator(self.port, "--exit-when-done")
            self.wait_for(lambda: self.document()["complete"])
        self.assertIsNone(self.training())
        self.assertNotIn("training", self.nermill("status", project, "--state", self.dir).stdout)
        trainer = self.train("--epochs", "997", "--gold-train", self.gold, "--dev-share", "0.5")
        self.wait_for(lambda: (self.training() or {"step": 0})["step"] > 0 and self.training()["score"])
        document = self.document()
        self.assertEqual(errors(document, SCHEMA, SCHEMA), [])
        got = document["training"]
        self.assertEqual((got["state"], got["pid"], got["steps"], got["epochs"]), ("running", trainer.pid, 12 * 997, 997))
        self.assertGreater(min(got["loss"], got["learning_rate"], got["grad_norm"], got["tokens_per_s"]), 0)
        self.assertEqual((got["score"]["of"], got["score"]["step"] % 12), ("dev", 0))
        self.assertRegex(self.nermill("status", project, "--state", self.dir).stdout,
                         r"training   running: step \d+ of 11964, .* loss .* tokens/s; dev F1 0\.\d+ after step \d+")
        broker.kill()
        broker.wait()
        self.broker(project, self.port)
        self.wait_for(lambda: (self.training() or got)["step"] > got["step"])  # the same one, with nobody's help
        self.assertEqual((self.training()["state"], self.training()["pid"]), ("running", trainer.pid))
        trainer.send_signal(signal.SIGTERM)
        self.finish(trainer, EXIT_SIGNAL)
        self.wait_for(self.state_is("stopped"))
        short = self.train("--epochs", "2")
        self.finish(short, EXIT_OK)
        self.wait_for(self.state_is("done"))
        got = self.training()
        self.assertEqual((got["step"], got["steps"], got["score"]["of"]), (24, 24, "gold"))
        scores = json.loads((self.dir / "model" / "nermill.json").read_text())["scores"]
        self.assertAlmostEqual(got["score"]["f1"], scores["f1"], places=9)


if __name__ == "__main__":
    harness.unittest.main()
