"""nermill-trainer serve: what it answers, to whom it says no, many at once, and its end."""

import concurrent.futures
import http.client
import json
import pathlib
import shutil
import signal
import subprocess
import tempfile

import harness
import tiny_bert
from harness import EXIT_ENDPOINT, EXIT_INPUT, EXIT_OK, EXIT_STORAGE, EXIT_USAGE


class Serve(harness.Case):
    @classmethod
    def setUpClass(cls):
        """One small model for all tests."""
        super().setUpClass()
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="nermill-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        base = tiny_bert.write(cls.home / "base")
        (cls.home / "train.conll").write_text(tiny_bert.corpus(200))
        cls.model = cls.home / "model"
        subprocess.run([harness.program("nermill-trainer"), "train", "--model", base, "--train", cls.home / "train.conll",
                        "--out", cls.model, "--epochs", "12", "--lr", "0.01", "--batch", "8", "--threads", "1"],
                       check=True, capture_output=True, timeout=120)

    def serve(self, *args):
        process = subprocess.Popen(
            [harness.program("nermill-trainer"), "serve", "--model", str(self.model), "--port", "0", "--threads", "1", *args],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        line = process.stdout.readline()
        self.addCleanup(process.stdout.close)
        self.assertTrue(line.startswith("serving on 127.0.0.1 port "), line)
        self.port = int(line.split()[-1])
        return process

    def call(self, method, path, body=None, raw=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, raw if raw is not None else json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            text = response.read().decode()
            return response.status, json.loads(text) if response.headers["Content-Type"] == "application/json" else text
        finally:
            connection.close()

    def test_answers(self):
        self.serve()
        status, got = self.call("POST", "/v1/tag", {"text": "the \u200b zinc of fever"})
        self.assertEqual(status, 200)
        self.assertEqual([(e["start"], e["end"], e["type"], e["text"]) for e in got["entities"]],
                         [(6, 10, "Metal", "zinc"), (14, 19, "Ill", "fever")])
        status, got = self.call("POST", "/v1/tag", {"texts": ["iron", "", "no"]})
        self.assertEqual([len(r["entities"]) for r in got["results"]], [1, 0, 0])
        self.assertEqual(self.call("POST", "/v1/tag", {"texts": []}), (200, {"results": []}))
        status, health = self.call("GET", "/health")
        self.assertEqual((status, health["status"], health["types"]), (200, "ok", ["Ill", "Metal"]))
        status, metrics = self.call("GET", "/metrics")
        self.assertIn("nermill_texts_total 4\n", metrics)
        self.assertIn('nermill_requests_total{code="2xx"} 4\n', metrics)

    def test_bad_requests(self):
        self.serve()
        for args, status, word in [
            (("GET", "/"), 404, "/v1/tag"),
            (("GET", "/v1/tag"), 405, "POST"),
            (("DELETE", "/health"), 405, "GET"),
            (("POST", "/v1/tag", None, b"{"), 400, "no JSON"),
            (("POST", "/v1/tag", None, b'{"text": "\xff"}'), 400, "no JSON"),
            (("POST", "/v1/tag", None, b""), 400, "no JSON"),
            (("POST", "/v1/tag", {"txt": "a"}), 400, "neither"),
            (("POST", "/v1/tag", {"text": 7}), 400, "no string"),
            (("POST", "/v1/tag", {"texts": ["a", None]}), 400, "array of strings"),
            (("POST", "/v1/tag", {"texts": ["a"] * 10001}), 413, "10,000"),
            (("POST", "/v1/tag", None, b" " * (9 << 20)), 413, "8 MiB"),
        ]:
            got = self.call(*args)
            self.assertEqual(got[0], status, args[:2])
            self.assertIn(word, got[1]["error"])
        self.assertEqual(self.call("POST", "/v1/tag", {"text": "iron"})[0], 200)

    def test_many_at_once_share_batches(self):
        self.serve("--constrained")
        texts = [f"the {w} saw {'no ' * (i % 7)}fever" for i, w in enumerate(["zinc", "iron", "red"] * 60)]
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda text: self.call("POST", "/v1/tag", {"text": text}), texts))
        for text, (status, got) in zip(texts, answers):
            self.assertEqual((status, got["text"]), (200, text))  # everybody gets an answer to what was asked
            self.assertEqual(got["entities"][-1]["text"], "fever")
        metrics = dict(line.rsplit(" ", 1) for line in self.call("GET", "/metrics")[1].splitlines() if line[0] != "#")
        self.assertEqual(int(metrics["nermill_texts_total"]), len(texts))
        self.assertLess(int(metrics["nermill_batches_total"]), len(texts))
        self.assertEqual(metrics["nermill_texts_waiting"], "0")

    def test_least_score(self):
        self.serve("--min-score", "1")
        self.assertEqual(self.call("POST", "/v1/tag", {"text": "the zinc"})[1]["entities"], [])

    def test_sigterm_ends_it(self):
        process = self.serve()
        idle = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        idle.request("GET", "/health")
        self.assertEqual(idle.getresponse().read()[:15], b'{"status":"ok",')
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=30), EXIT_OK)
        idle.close()

    def test_command_line(self):
        serve = ["serve", "--model", self.model]
        self.serve()
        taken = self.nermill(*serve, "--port", self.port, name="nermill-trainer")
        self.assertIn(taken.returncode, (EXIT_ENDPOINT, EXIT_STORAGE))
        self.assert_fails(taken, taken.returncode, str(self.port), "another --port")
        self.assert_fails(self.nermill(*serve, "--bind", "here", name="nermill-trainer"), EXIT_INPUT, "no IP address")
        self.assert_fails(self.nermill(*serve, "--port", "70000", name="nermill-trainer"), EXIT_USAGE, "--port")
        self.assert_fails(self.nermill("serve", name="nermill-trainer"), EXIT_USAGE, "--model is missing")
        self.assert_fails(self.nermill("serve", "--model", self.home / "base", name="nermill-trainer"), EXIT_INPUT, "is it a tagger?")


if __name__ == "__main__":
    harness.unittest.main()
