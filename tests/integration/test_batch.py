"""Offline batches: requests out, results in by the same validation; whatever is killed, repeated, cut off or mixed up, no
sample is lost, none is doubled, and nobody else buys what is out."""

import json
import os
import random
import signal
import subprocess
import time

from fake_llm import FakeLLM
from harness import EXIT_FAILURE, EXIT_INPUT, EXIT_OK, EXIT_USAGE, program
from test_generation import GenerationCase
from test_run import FRUIT, TOWNS


class BatchCase(GenerationCase):
    def batch(self, verb, project, *args, code=EXIT_OK):
        result = self.nermill("batch", verb, project, *args)
        self.assertEqual(result.returncode, code, result.stderr + result.stdout)
        return result.stdout if code == EXIT_OK else result.stderr

    def export(self, project, n, name="requests.jsonl"):
        """The lines of a new file."""
        self.batch("export", project, "--out", self.dir / name, "-n", n)
        return [json.loads(x) for x in (self.dir / name).read_text().splitlines()]

    def answer(self, llm, lines, reject=()):
        """What a batch API makes of these requests; reject: places whose answers hold no term."""
        results = []
        for i, line in enumerate(lines):
            self.assertEqual((line["method"], line["url"]), ("POST", "/v1/chat/completions"))
            rng = random.Random(line["custom_id"])
            text = "No." if i in reject else llm.sentence(line["body"]["messages"][-1]["content"], rng)
            results.append({"id": f"batch_req_{i}", "custom_id": line["custom_id"], "error": None, "response": {
                "status_code": 200, "request_id": f"r{i}", "body": {
                    "model": "fake", "usage": {"prompt_tokens": 100, "completion_tokens": 20},
                    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}]}}})
        return results

    def results_file(self, results, name="results.jsonl"):
        return self.write(name, "".join(json.dumps(x) + "\n" for x in results))

    def ledger(self, project, process=None):
        """The statistics; of a broker that is started alone for it."""
        process = self.start_broker(project)
        value = self.wait_for(lambda: self.stats(project), process)
        process.send_signal(signal.SIGTERM)
        process.wait()
        check = self.nermill("check", project)
        self.assertEqual(check.returncode, EXIT_OK, check.stderr + check.stdout)
        return value

    def finish_run(self, project, n):
        self.run_it(project)
        return self.check_data(project, n)


class Batches(BatchCase):
    def test_out_and_in_again(self):
        """Through the whole job: a batch, a second one for what was rejected, the rest live."""
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=40)
            lines = self.export(project, 30)
            self.assertEqual(len({x["custom_id"] for x in lines}), 30)
            self.assertTrue(all(x["body"]["model"] == "fake" and x["body"]["messages"] for x in lines))
            file = self.results_file(self.answer(llm, lines, reject=range(5)))
            self.assertIn("30 answers taken", self.batch("import", project, file))
            again = self.export(project, 5, "again.jsonl")
            self.assertEqual(len(again), 5)
            self.assertTrue(all(x["custom_id"].endswith("-2") for x in again), "the rejected ones, attempt 2")
            self.assertTrue(any("too_short" in json.dumps(x) or "entity_missing" in json.dumps(x) for x in again),
                            "the retry says what was wrong")
            self.batch("import", project, self.results_file(self.answer(llm, again), "again.results"))
            self.assertEqual(llm.bodies, [])
            self.finish_run(project, 40)
            self.assertEqual(len(llm.bodies), 10, "only what was in no batch is bought live")
            stats = self.ledger(project)
            self.assertEqual((stats["responses"], stats["accepted"]), (45, 40))
            self.assertEqual(stats["tokens_in"], 45 * 100)

    def test_nobody_else_buys_what_is_out(self):
        """Not while the run goes on, not after the lease time, not after a restart of the broker."""
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=20)
            self.change(project, "broker: {", "broker: {lease_s: 2, heartbeat_s: 1, ")
            lines = self.export(project, 12)
            process = self.start(project)
            self.wait_for(lambda: self.stats(project).get("aligned", 0) >= 8, process)
            time.sleep(3)  # longer than a lease
            self.assertEqual(self.stats(project)["tasks"]["leased"], 12)
            self.assertEqual(len(llm.bodies), 8)
            out = {json.dumps(x["body"]["messages"][-1]) + str(x["body"]["seed"]) for x in lines}
            bought = {json.dumps(json.loads(x)["messages"][-1]) + str(json.loads(x)["seed"]) for x in llm.bodies}
            self.assertFalse(out & bought)
            # beside the run that waits for it
            self.batch("import", project, self.results_file(self.answer(llm, lines)))
            self.finish(process)
            self.check_data(project, 20)
            self.assertEqual(len(llm.bodies), 8)

    def test_twice_in_part_and_in_any_order(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=30)
            results = self.answer(llm, self.export(project, 30))
            random.Random(3).shuffle(results)
            half = self.results_file(results[:15])
            half.write_text(half.read_text() + json.dumps(results[15])[:60])  # cut off in mid-line
            said = self.batch("import", project, half)
            self.assertIn("15 answers taken; 1 lines are no results; 15 are still out", said)
            self.assertIn("0 answers taken; 15 had been taken before; 1 lines", self.batch("import", project, half))
            foreign = dict(results[0], custom_id="run-0000000000000000-3-1"), dict(results[0], custom_id="theirs")
            whole = self.results_file([*results[10:], *results[:20], *foreign])
            said = self.batch("import", project, whole)
            self.assertIn("15 answers taken; 25 had been taken before; 2 are of another run; 0 are still out", said)
            stats = self.ledger(project)
            self.assertEqual((stats["responses"], stats["duplicates"], stats["late"]), (30, 0, 0))
            self.finish_run(project, 30)
            self.assertEqual(llm.bodies, [])

    def test_lines_without_an_answer(self):
        """Expired, refused and failed ones: asked again, or rejected as a refusal is; what was spent is counted."""
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=12)
            results = self.answer(llm, self.export(project, 12))
            results[0] |= {"response": None, "error": {"code": "batch_expired", "message": "not executed in time"}}
            results[1]["response"] |= {"status_code": 429, "body": {"error": {"message": "slow down"}}}
            results[2]["response"] |= {"status_code": 400, "body": {"error": {"message": "no such field"}}}
            results[3]["response"]["body"] = {"error": {"message": "out of order"}}
            results[4]["response"]["body"]["choices"] = []
            said = self.batch("import", project, self.results_file(results))
            self.assertIn("0 are still out", said)
            stats = self.ledger(project)
            self.assertEqual(stats["accepted"], 7)
            self.assertEqual(stats["rejected_by_rule"].get("request_refused"), 1)
            self.finish_run(project, 12)
            self.assertEqual(len(llm.bodies), 5)

    def test_the_budget_holds(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=40, more="budget: {requests: 12}\n")
            lines = self.export(project, 40)
            self.assertEqual(len(lines), 12, "no more than the budget can pay for")
            self.assertIn("budget", self.batch("export", project, "--out", self.dir / "more.jsonl", code=EXIT_INPUT))
            stats = self.ledger(project)
            self.assertEqual((stats["budget"]["reserved"]["requests"], stats["budget"]["spent"]["requests"]), (12, 0))
            self.batch("import", project, self.results_file(self.answer(llm, lines[:10])))
            self.batch("cancel", project)
            stats = self.ledger(project)
            self.assertEqual((stats["budget"]["reserved"]["requests"], stats["budget"]["spent"]["requests"]), (0, 10))
            self.assertEqual(stats["budget"]["spent"]["tokens"], 10 * 120)
            self.assertEqual(len(self.export(project, 40, "last.jsonl")), 2)

    def test_what_was_answered_before_goes_into_no_file(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=20, more="generation: {domain: cooking}\n")
            self.run_it(project)
            bought = len(llm.bodies)
            for was, now in (("cooking", "travel"), ("travel", "cooking")):
                self.change(project, f"domain: {was}", f"domain: {now}")
                process = subprocess.Popen([program("nermill-broker"), str(project), "--state",
                                            str(project / "run/broker"), "--new-generation", "fresh"],
                                           stderr=subprocess.DEVNULL)
                self.wait_for(lambda: self.stats(project).get("generation", 0) == (1 if now == "travel" else 2), self.alive(process))
                if now == "cooking":
                    said = self.batch("export", project, "--out", self.dir / "none.jsonl", "-n", 20)
                    self.assertIn("20 were answered before", said)
                    self.assertFalse((self.dir / "none.jsonl").exists())
                    self.assertEqual(self.stats(project)["reused"], 20)
                process.terminate()
                process.wait()
            self.assertEqual(len(llm.bodies), bought)

    def alive(self, process):
        process.stdout = process.stderr = open(os.devnull, encoding="utf-8")
        self.running.append(process)
        return process

    def test_usage(self):
        project = self.make("http://127.0.0.1:9/v1")
        for args in (("export", project), ("import", project), ("fetch", project), ("cancel", project, "x"),
                     ("import", project, "x", "--out", "y")):
            self.assertEqual(self.nermill("batch", *args).returncode, EXIT_USAGE, args)
        there = self.write("there.jsonl", "mine\n")
        self.assertIn("there already", self.batch("export", project, "--out", there, code=EXIT_FAILURE))
        self.assertEqual(there.read_text(), "mine\n")
        self.assertIn("no endpoint \"x\"", self.batch("export", project, "--out", self.dir / "o", "--endpoint", "x", code=EXIT_INPUT))
        self.assertIn("no results", self.batch("import", project, there, code=EXIT_INPUT))
        self.assertIn("nowhere", self.batch("import", project, self.dir / "nowhere", code=EXIT_INPUT))


class Killed(BatchCase):
    """kill -9 at any moment of an export or an import, and the same command again."""

    def setUp(self):
        super().setUp()
        self.rng = random.Random(11)

    def until_done(self, broker_dir, *args, kills=4):
        """Run a batch command, killed so many times at random moments, then to its end."""
        endpoint = json.loads((broker_dir / "endpoints.json").read_text())["broker"]
        command = [program("nermill-generator"), "batch", args[0], "--broker", endpoint, "--state", str(self.dir / "batch"), *map(str, args[1:])]
        for _ in range(kills):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(timeout=self.rng.uniform(0.01, 0.4))
                return
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)

    def test_at_any_moment(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=400)
            self.change(project, "broker: {", "broker: {lease_s: 2, heartbeat_s: 1, ")
            broker_dir = project / "run" / "broker"
            broker = self.alive_broker(project)
            files, lines = [], {}
            for i in range(5):
                file = self.dir / f"out{i}.jsonl"
                self.until_done(broker_dir, "export", "--out", file, "-n", 80)
                files.append(file)
                if i == 2:
                    broker.kill()
                    broker.wait()
                    broker = self.alive_broker(project)
            for file in files:
                for line in file.read_text().splitlines() if file.exists() else []:
                    self.assertNotIn(json.loads(line)["custom_id"], lines, "one request in two files")
                    lines[json.loads(line)["custom_id"]] = json.loads(line)
            self.assertEqual(self.stats(project)["tasks"]["leased"], len(lines), "out, and in no file")
            results = self.answer(llm, list(lines.values()))
            self.rng.shuffle(results)
            for i in range(0, len(results), 100):
                file = self.results_file(results[i:i + 150], f"results{i}.jsonl")
                self.until_done(broker_dir, "import", file)
            stats = self.stats(project)
            self.assertEqual((stats["responses"], stats["accepted"]), (len(lines), len(lines)))
            self.assertEqual((stats["tasks"]["leased"], stats["foreign"]), (0, 0))
            broker.terminate()
            broker.wait()
            self.assertEqual(self.nermill("check", project).returncode, EXIT_OK)

    def alive_broker(self, project):
        (project / "run/broker/endpoints.json").unlink(missing_ok=True)
        process = self.start_broker(project)
        self.wait_for(lambda: self.stats(project), process)
        return process
