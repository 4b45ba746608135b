"""The operator's desk on a live broker with a real generator and aligner beside the scripted LLM: every command takes
effect, is logged with who asked, and holds over a kill -9 of the broker.  How fast each acts: tests/bench/desk.sh.
"""

import getpass
import json
import signal
import socket
import time
import unittest

import harness
from fake_llm import FakeLLM
from harness import EXIT_ENDPOINT, EXIT_INPUT, EXIT_OK, EXIT_USAGE

FRUIT = ["apple", "banana", "cherry", "lemon", "mango", "papaya"]
TOWNS = ["Oslo", "Lima", "Cairo", "Quito", "Dakar", "Hanoi"]
ENDLESS = 100000
WATCHED = 0.7  # seconds in which nothing may happen


class DeskCase(harness.Live):
    def begin(self, llm, samples=ENDLESS, more="", generator=True, aligner=False, second=None,
              **options):
        """Broker, generator and aligner of a new project."""
        self.port, self.options = harness.free_port(), options
        self.project_dir = self.project(url=llm.url, samples=samples, more=more, Fruit="\n".join(FRUIT) + "\n",
                                        Town="\n".join(TOWNS) + "\n")
        if second:
            path = self.project_dir / "project.yaml"
            text = path.read_text()
            path.write_text(text.replace("endpoints:\n", "endpoints:\n  - {name: other, model: fake, concurrency: 4, "
                                         f"timeout_s: 20, url: '{second.url}'}}\n"))
        self.server = self.broker(self.project_dir, self.port, **options)
        if generator:
            self.maker = self.generator(self.port)
        if aligner:
            self.start("nermill-aligner", "--broker", f"tcp://127.0.0.1:{self.port}", "--state", self.dir / "aligner")
        self.wait_for(lambda: (self.dir / "broker" / "endpoints.json").exists())

    def desk(self, command, *args, code=EXIT_OK):
        stats = json.loads((self.dir / "broker" / "endpoints.json").read_text())["stats"]
        result = self.nermill(command, *args, "--stats", stats, "--json")
        self.assertEqual(result.returncode, code, result.stderr)
        return json.loads(result.stdout) if code == EXIT_OK else result.stderr

    def status(self):
        return self.desk("status")

    def state(self):
        return self.status()["state"]

    def crash(self, *args):
        """kill -9 of the broker, and its start."""
        self.server.kill()
        self.server.wait()
        (self.dir / "broker" / "endpoints.json").unlink()
        self.server = self.broker(self.project_dir, self.port, *args, **self.options)
        self.wait_for(lambda: (self.dir / "broker" / "endpoints.json").exists())

    def under_way(self, endpoint):
        """Calls that the broker has granted there and that have not ended."""
        return next(e["in_flight"] for e in self.status()["endpoints"] if e["name"] == endpoint)

    def assert_quiet(self, llm, endpoint="fake"):
        """What is under way ends, then no call begins."""
        self.wait_for(lambda: self.under_way(endpoint) == 0 and llm.in_flight == 0)
        bought = len(llm.bodies)
        time.sleep(WATCHED)
        self.assertEqual(len(llm.bodies), bought)

    def assert_busy(self, llm):
        bought = len(llm.bodies)
        self.wait_for(lambda: len(llm.bodies) > bought)


class Switches(DeskCase):
    def test_pause_and_resume(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.02) as llm:
            self.begin(llm)
            self.wait_for(lambda: len(llm.bodies) > 20)
            self.assertEqual(self.desk("pause")["state"], "paused")
            self.assert_quiet(llm)
            stats = json.loads((self.dir / "broker" / "endpoints.json").read_text())["stats"]
            self.assertIn("paused by an operator", self.nermill("status", "--stats", stats).stdout)
            self.assertRegex(self.log("nermill-broker"), rf"operator {getpass.getuser()} of \S+ \(pid \d+\): pause")
            self.crash()
            self.wait_for(lambda: self.status()["workers"][0]["connected"])
            self.assertEqual(self.state(), "paused")
            self.assert_quiet(llm)
            self.maker.kill()  # and a generator that says hello lifts nothing
            self.maker.wait()
            self.maker = self.generator(self.port)
            self.wait_for(lambda: f"(pid {self.maker.pid}) joins" in self.log("nermill-broker"))
            self.assert_quiet(llm)
            self.assertEqual(self.desk("resume")["state"], "running")
            self.assert_busy(llm)
            self.crash()
            self.assertEqual(self.state(), "running")

    def test_pause_of_an_endpoint(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.02) as llm:
            self.begin(llm)
            self.wait_for(lambda: len(llm.bodies) > 5)
            self.assertIn("no endpoint", self.desk("pause", "--endpoint", "nobody", code=EXIT_INPUT))
            self.desk("pause", "--endpoint", "fake")
            self.assertTrue(self.status()["endpoints"][0]["paused"])
            self.assert_quiet(llm)
            self.crash()
            self.assertTrue(self.status()["endpoints"][0]["paused"])
            self.desk("resume", "--endpoint", "fake")
            self.wait_for(lambda: self.status()["workers"][0]["connected"])
            self.assert_busy(llm)

    def test_pause_of_one_endpoint_of_two(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.02) as llm, FakeLLM(FRUIT + TOWNS, delay=0.02) as other:
            self.begin(llm, second=other)
            self.wait_for(lambda: len(llm.bodies) > 5 and len(other.bodies) > 5)
            self.assertEqual(self.desk("pause", "--endpoint", "other")["state"], "running")
            self.assert_quiet(other, "other")
            self.assert_busy(llm)
            self.crash()
            self.wait_for(lambda: self.status()["workers"][0]["connected"])
            self.assert_busy(llm)
            self.assert_quiet(other, "other")
            self.desk("resume")
            self.assert_busy(other)

    def test_an_endpoint_of_no_use_and_back(self):
        """Its tasks wait for nothing but its return: none is delayed, and a generator that starts gets them at once."""
        with FakeLLM(FRUIT + TOWNS, delay=0.02) as llm:
            self.begin(llm)
            self.wait_for(lambda: len(llm.bodies) > 20)
            llm.steady = "401"
            self.finish(self.maker, EXIT_ENDPOINT)
            tasks = self.status()["tasks"]
            self.assertEqual((tasks["leased"], tasks["delayed"]), (0, 0))
            self.assertGreater(tasks["ready"], 0)
            failed = next(p for p in (self.desk("peek", t) for t in range(tasks["opened"])) if p["failed_calls"])
            self.assertEqual((failed["state"], failed["failed_calls"][0]["status"]), ("ready", 401))
            self.crash()
            llm.steady = None
            self.maker = self.generator(self.port)
            self.wait_for(lambda: self.desk("peek", failed["task"])["state"] == "accepted")

    def test_limits_of_an_endpoint(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.1) as llm:
            self.begin(llm)
            self.wait_for(lambda: llm.in_flight == 4)
            self.desk("limit", "--endpoint", "fake", "--concurrency", 1)
            for _ in range(2):
                self.wait_for(lambda: self.under_way("fake") <= 1 and llm.in_flight <= 1)
                for _ in range(20):
                    self.assertLessEqual(llm.in_flight, 1)
                    time.sleep(0.01)
                self.assert_busy(llm)
                self.crash()
                self.wait_for(lambda: self.status()["workers"][0]["connected"])
            self.assertIn("--endpoint", self.desk("limit", "--concurrency", 1, code=EXIT_USAGE))
            self.assertIn("no endpoint", self.desk("limit", "--endpoint", "x", "--concurrency", 1, code=EXIT_INPUT))
            self.assertIn("1 to 10000", self.desk("limit", "--endpoint", "fake", "--concurrency", 0, code=EXIT_INPUT))
            # What the file says later is newer.
            path = self.project_dir / "project.yaml"
            path.write_text(path.read_text().replace("concurrency: 4", "concurrency: 3"))
            self.server.send_signal(signal.SIGHUP)
            self.wait_for(lambda: "concurrency is 3 as configured now" in self.log("nermill-broker"))
            self.wait_for(lambda: llm.in_flight > 1)

    def test_a_budget_set_by_hand(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.05) as llm:
            self.begin(llm, aligner=True)
            self.wait_for(lambda: len(llm.bodies) > 10)
            limit = len(llm.bodies) + 40
            self.desk("limit", "--budget-requests", limit)
            self.wait_for(lambda: self.state() == "budget")
            self.assertLessEqual(len(llm.bodies) + llm.canaries, limit + llm.canaries)
            self.crash()
            self.wait_for(lambda: self.status()["workers"][0]["connected"])
            self.assertEqual(self.state(), "budget")
            self.assert_quiet(llm)
            self.assertLessEqual(len(llm.bodies), limit)
            self.desk("limit", "--budget-requests", 0)
            self.assert_busy(llm)

    def test_drain(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.1, reject_share=0.3) as llm:
            self.begin(llm, aligner=True)
            self.wait_for(lambda: self.status()["aligned"] > 5)
            self.assertIn(self.desk("drain")["state"], ("draining", "drained"))
            opened = self.status()["tasks"]["opened"]
            self.wait_for(lambda: self.state() == "drained")
            tasks = self.status()["tasks"]
            self.assertEqual(tasks["opened"], opened)
            self.assertEqual(tasks["done"] + tasks["dead"] + tasks["dropped"], opened)
            self.assert_quiet(llm)
            self.crash()
            self.assertEqual(self.state(), "drained")
            self.assertEqual(self.desk("resume")["state"], "running")
            self.wait_for(lambda: self.status()["tasks"]["opened"] > opened)

    def test_limit(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.02) as llm:
            self.begin(llm, samples=ENDLESS, aligner=True)
            self.wait_for(lambda: self.status()["aligned"] > 5)
            self.assertEqual(self.desk("limit", "--samples", 3)["state"], "complete")
            self.assert_quiet(llm)
            self.crash()
            status = self.status()
            self.assertEqual((status["state"], status["goal"]), ("complete", 3))
            aligned = status["aligned"]
            self.assertEqual(self.desk("limit", "--samples", aligned + 30)["state"], "running")
            self.wait_for(lambda: self.state() == "complete")
            self.assertEqual(self.status()["aligned"], aligned + 30)
            # What the project says is newer than what was set by hand.
            text = (self.project_dir / "project.yaml").read_text().replace(f"samples: {ENDLESS}", "samples: 50000")
            (self.project_dir / "project.yaml").write_text(text)
            self.crash()
            self.assertEqual(self.status()["goal"], 50000)
            self.assertIn("no longer counts", self.log("nermill-broker"))
            self.assertIn("samples", self.desk("limit", "--samples", 1 << 41, code=EXIT_INPUT))

    def test_usage(self):
        for args in (["pause"], ["peek", "x"], ["peek", "x", "one"], ["kick", "x"], ["kick", "x", "1", "-n", "1"],
                     ["limit", "x"], ["limit", "x", "--budget-money", "much"], ["bury", "x", "-1"], ["dead", "x", "y"], ["workers"]):
            self.assertEqual(self.nermill(*args).returncode, EXIT_USAGE, args)
        gone = f"tcp://127.0.0.1:{harness.free_port()}"
        self.assert_fails(self.nermill("pause", self.dir), EXIT_INPUT, "no such project")
        self.assert_fails(self.nermill("workers", "--stats", gone, timeout=30), EXIT_ENDPOINT, gone, "no broker answers")


class Letters(DeskCase):
    def test_dead_letters(self):
        """Given up after two answers: why, with what text; kicked, each is accepted with the attempts that follow."""
        with FakeLLM(FRUIT + TOWNS, reject_share=1.0) as llm:
            self.begin(llm, samples=6, more="generation: {attempts: 2, negatives: 0}\n", aligner=True)
            self.wait_for(lambda: self.state() == "stuck")
            first = self.desk("dead", "-n", 5)
            total = self.status()["dead"]
            self.assertEqual(first["total"], total)
            self.assertEqual([letter["task"] for letter in first["dead"]], [0, 1, 2, 3, 4])
            rest = self.desk("dead", "--from", first["next"], "-n", 200)
            self.assertEqual(len(rest["dead"]), total - 5)
            self.assertIsNone(rest["next"])
            for letter in first["dead"]:
                self.assertEqual(letter["rule"], "entity_missing")
                self.assertEqual(letter["attempts"], 2)
                self.assertFalse(letter["by_hand"])
                self.assertRegex(letter["prompt_hash"], r"^[0-9a-f]{32}$")
                self.assertTrue(letter["text"] and letter["detail"] and letter["entities"])
                self.assertRegex(letter["prompt"], r"(?s)^system> .*\nuser> .*" + letter["entities"][0]["text"])
            shown = self.desk("peek", 3)
            self.assertEqual((shown["state"], shown["attempt"]), ("dead", 2))
            self.assertEqual([r["attempt"] for r in shown["responses"]], [1, 2])
            self.assertEqual([r["prompt"] for r in shown["responses"]], ["", first["dead"][3]["prompt"]])
            stats = json.loads((self.dir / "broker" / "endpoints.json").read_text())["stats"]
            body = json.loads(self.nermill("peek", 3, "--body", 2, "--stats", stats).stdout)
            self.assertEqual(body["choices"][0]["message"]["content"], shown["responses"][1]["text"])
            self.assertIn("dead letters", self.nermill("dead", "--stats", stats).stdout)
            words = self.nermill("peek", 3, "--stats", stats).stdout
            self.assertIn("attempt 2: rejected, entity_missing", words)
            self.assertRegex(words, r"(?m)^  prompt +system> ")
            self.crash()
            self.assertEqual(self.desk("dead", "-n", 5), first)
            llm.reject_share = 0.0
            self.wait_for(lambda: self.status()["workers"][0]["connected"])
            self.assertEqual(self.desk("kick", 3)["kicked"], 1)
            self.wait_for(lambda: self.desk("peek", 3)["state"] == "done")
            shown = self.desk("peek", 3)
            self.assertEqual([r["attempt"] for r in shown["responses"]], [1, 2, 3])
            self.assertTrue(shown["responses"][2]["accepted"])
            self.assertIn("no dead letter", self.desk("kick", 3, code=EXIT_INPUT))
            self.assertEqual(self.desk("kick", "-n", 2)["kicked"], 2)
            self.assertEqual(self.desk("kick", "all")["kicked"], total - 3)
            self.crash()
            self.wait_for(lambda: self.state() == "complete")
            status = self.status()
            self.assertEqual((status["aligned"], status["dead"]), (6, 0))  # no more calls than the goal needs
            self.assertEqual(llm.bought_again(), 0)

    def test_coverage(self):
        """Entity by entity, page by page; the sums are the run's own."""
        with FakeLLM(FRUIT + TOWNS, reject_share=0.4) as llm:
            self.begin(llm, samples=40, more="generation: {attempts: 9, negatives: 0, entities: {min: 1, max: 2}}\n", aligner=True)
            self.wait_for(lambda: self.state() == "complete")
            first = self.desk("coverage", "-n", 7)
            rest = self.desk("coverage", "--from", first["next"], "-n", 1000)
            entities = first["entities"] + rest["entities"]
            self.assertEqual((first["total"], len(first["entities"]), rest["next"]), (12, 7, None))
            self.assertEqual(sorted(e["text"] for e in entities), sorted(FRUIT + TOWNS))
            self.assertEqual([e["entity"] for e in entities], list(range(12)))
            status = self.status()
            self.assertEqual(sum(e["asked"] for e in entities), status["coverage"]["asked"])
            self.assertEqual(sum(e["accepted"] for e in entities), round(12 * status["coverage"]["mean"]))
            for e in entities:
                self.assertEqual(sum(e["rejected_by_rule"].values()), e["rejected"])
                self.assertEqual(e["accepted"], e["asked"])  # every task was answered in the end
            self.assertEqual(set().union(*(e["rejected_by_rule"] for e in entities)), set(status["rejected_by_rule"]))
            only = self.desk("coverage", "--rejected", "-n", 1000)["entities"]
            self.assertEqual(only, [e for e in entities if e["rejected"]])
            self.assertTrue(only)
            self.crash()
            self.assertEqual(self.desk("coverage", "-n", 1000)["entities"], entities)
            self.assertEqual(self.desk("coverage", "--from", 12)["entities"], [])
            stats = json.loads((self.dir / "broker" / "endpoints.json").read_text())["stats"]
            shown = self.nermill("coverage", "--stats", stats, "-n", 3).stdout
            self.assertRegex(shown, r"(?m)^ +\d+ +\d+ +\d+  \w+ \((Fruit|Town)\)")
            self.assertIn("more: --from 3", shown)

    def test_delayed_tasks(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            self.begin(llm)
            self.wait_for(lambda: self.status()["accepted"] > 0)
            llm.steady, llm.retry_after = "429", 4
            self.wait_for(lambda: self.status()["tasks"]["delayed"] > 0)
            opened = self.status()["tasks"]["opened"]
            shown = next(peeked for peeked in (self.desk("peek", task) for task in range(opened - 1, -1, -1))
                         if peeked["state"] == "delayed")
            self.assertEqual((shown["failed_calls"][0]["kind"], shown["failed_calls"][0]["status"]), ("http", 429))
            self.assertEqual(shown["failures"], shown["failed_calls"][0]["count"])
            self.assertGreaterEqual(shown["failures"], 1)
            self.crash()
            self.wait_for(lambda: self.status()["workers"][0]["connected"])
            self.wait_for(lambda: self.status()["tasks"]["delayed"] > 0)
            llm.steady = None
            self.assertGreater(self.desk("kick", "all")["kicked"], 0)
            self.wait_for(lambda: self.status()["tasks"]["delayed"] == 0)
            accepted = self.status()["accepted"]
            self.wait_for(lambda: self.status()["accepted"] > accepted)

    def test_bury(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.02) as llm:
            llm.gate.clear()
            self.begin(llm, aligner=True)
            self.wait_for(lambda: self.desk("peek", 0)["state"] == "leased")
            self.assertEqual(self.desk("bury", 0, "--why", "Oslo is no fruit")["was"], "leased")
            letter = self.desk("dead")["dead"][0]
            self.assertEqual((letter["task"], letter["rule"], letter["why"]), (0, "buried", "Oslo is no fruit"))
            self.assertEqual((letter["by_hand"], letter["attempts"]), (True, 0))
            self.assertIn("not open", self.desk("bury", 0, code=EXIT_INPUT))
            self.assertIn("not open", self.desk("bury", 10 ** 12, code=EXIT_INPUT))
            self.crash()
            self.assertEqual(self.desk("peek", 0)["state"], "dead")
            # Its call was paid for: the answer that comes is in the log.
            llm.gate.set()
            self.wait_for(lambda: len(self.desk("peek", 0)["responses"]) == 1)
            self.assertEqual(self.desk("peek", 0)["state"], "dead")
            self.assertEqual(self.desk("kick", 0)["kicked"], 1)
            self.wait_for(lambda: self.desk("peek", 0)["state"] == "done")
            self.assertEqual(self.desk("peek", 0)["attempt"], 2)

    def test_an_earlier_generation(self):
        """A text of an earlier generation can be buried; kicked, it would ask for what is no longer planned."""
        with FakeLLM(FRUIT + TOWNS) as llm:
            self.begin(llm, samples=20)
            self.wait_for(lambda: self.status()["tasks"]["accepted"] == 20)
            path = self.project_dir / "project.yaml"
            path.write_text(path.read_text() + "generation: {domain: cooking}\n")
            self.crash("--new-generation", "keep")
            self.assertEqual(self.desk("bury", 7)["was"], "accepted")
            self.assertIn("generation 0 of the run, which is at 1", self.desk("kick", 7, code=EXIT_INPUT))
            self.assertEqual(self.desk("kick", "all")["kicked"], 0)
            self.assertEqual(self.desk("peek", 7)["state"], "dead")

    def test_workers(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.3) as llm:
            self.begin(llm, aligner=True)
            self.wait_for(lambda: len(self.desk("workers")["workers"]) == 2)
            self.assertEqual(self.worker("generator")["pid"], self.maker.pid)
            self.assertEqual(self.worker("generator")["host"], socket.gethostname())
            self.wait_for(lambda: self.worker("generator")["in_flight"] >= 4)
            self.maker.send_signal(signal.SIGTERM)
            self.wait_for(lambda: not self.worker("generator")["connected"])
            self.wait_for(lambda: self.worker("generator")["in_flight"] == 0)
            self.assertTrue(self.worker("aligner")["connected"])

    def worker(self, role):
        return next(w for w in self.desk("workers")["workers"] if w["role"] == role)


class Ends(DeskCase):
    """Signals and systemd."""

    def listen(self):
        path = str(self.dir / "notify")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.notify.close)
        self.notify.bind(path)
        self.notify.settimeout(10)
        return {"NOTIFY_SOCKET": path}

    def expect(self, *lines, seconds=20):
        """The next datagram that has one of these lines."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            got = self.notify.recv(4096).decode().split("\n")
            if all(line in got for line in lines):
                return got
        self.fail(f"no datagram with {lines}")

    def test_systemd_hears_of_it(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.02) as llm:
            self.begin(llm, env=self.listen())
            self.expect("READY=1")
            got = self.expect("WATCHDOG=1")
            self.assertRegex(got[1], rf"^STATUS=running: \d+ of {ENDLESS} samples$")
            self.expect("WATCHDOG=1")
            self.server.send_signal(signal.SIGHUP)
            self.assertRegex("\n".join(self.expect("RELOADING=1")), r"MONOTONIC_USEC=\d+")
            self.expect("READY=1")
            self.server.send_signal(signal.SIGTERM)
            self.expect("STOPPING=1")
            self.finish(self.server, EXIT_OK, seconds=10)

    def test_sigterm_waits_for_what_is_under_way(self):
        """Within its limit: the answers come in, nothing new is leased, and the generator is told."""
        with FakeLLM(FRUIT + TOWNS, delay=0.02) as llm:
            llm.gate.clear()
            self.begin_with_drain(llm, 900)
            self.wait_for(lambda: llm.in_flight == 4)
            self.server.send_signal(signal.SIGTERM)
            self.wait_for(lambda: self.state() == "draining")
            llm.gate.set()
            self.finish(self.server, EXIT_OK)
            self.wait_for(lambda: "the broker stops" in self.log("nermill-generator"))
            bought = len(llm.bodies)
            self.server = self.broker(self.project_dir, self.port, "--drain-s", 900)
            self.wait_for(lambda: len(llm.bodies) > bought + 12)
            self.assertEqual(llm.bought_again(), 0)
            llm.gate.clear()
            self.wait_for(lambda: llm.in_flight == 4)
            self.server.send_signal(signal.SIGTERM)
            self.wait_for(lambda: self.state() == "draining")
            self.wait_for(self.stop_again)  # a second one ends it with calls under way
            self.finish(self.server, EXIT_OK)
            self.assertEqual(llm.in_flight, 4)

    def stop_again(self):
        """One more SIGTERM; those close together count as one.  True: the broker has ended."""
        self.server.send_signal(signal.SIGTERM)
        return self.server.poll() is not None

    def test_sigterm_has_its_limit(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            self.begin_with_drain(llm, 1)
            self.wait_for(lambda: len(llm.bodies) > 4)
            llm.gate.clear()
            self.wait_for(lambda: llm.in_flight == 4)
            self.server.send_signal(signal.SIGTERM)
            self.finish(self.server, EXIT_OK)
            self.assertIn("what workers are at is waited for, 1 s at most", self.log("nermill-broker"))
            self.assertEqual(llm.in_flight, 4)

    def begin_with_drain(self, llm, seconds):
        self.begin(llm, generator=False)
        self.server.kill()
        self.server.wait()
        path = self.project_dir / "project.yaml"
        path.write_text(path.read_text().replace("timeout_s: 20", "timeout_s: 900"))
        self.server = self.broker(self.project_dir, self.port, "--drain-s", seconds)
        self.maker = self.generator(self.port)

    def edit(self, old, new, *said):
        """Change the project, SIGHUP, and wait until the log tells of it."""
        path = self.project_dir / "project.yaml"
        text = path.read_text()
        self.assertIn(old, text)
        path.write_text(text.replace(old, new))
        before = len(self.log("nermill-broker"))
        self.server.send_signal(signal.SIGHUP)
        self.wait_for(lambda: all(words in self.log("nermill-broker")[before:] for words in ("reload: ", *said)))

    def test_sighup(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.02) as llm:
            self.begin(llm)
            self.wait_for(lambda: len(llm.bodies) > 10)
            self.edit(f"samples: {ENDLESS}", "samples: 70000")
            self.assertEqual(self.status()["goal"], 70000)
            self.edit("broker: {", "broker: {log_level: debug, lease_s: 33, heartbeat_s: 1, ", "lease_s was 300 and is 33",
                      "the log level was info and is debug")
            self.edit("name: test", "name: test\nseed: 99", "refused, and nothing changed: the seed differs")
            self.edit("seed: 99", "sede: 99", "refused, and nothing changed: ", "project.yaml:")
            self.edit("sede: 99", "gold: none.conll\ngeneration: {attempts: 7}", "counts only after a start")
            self.assert_busy(llm)
            self.assertIsNone(self.server.poll())
            self.crash()
            self.assertEqual(self.status()["goal"], 70000)

    def test_sighup_raises_the_budget(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            self.begin(llm, more="budget: {requests: 30}\n", aligner=True)
            self.wait_for(lambda: self.state() == "budget")
            self.assert_quiet(llm)
            self.edit("budget: {requests: 30}", "budget: {requests: 70}")
            self.wait_for(lambda: self.status()["budget"]["spent"]["requests"] > 30)
            self.wait_for(lambda: self.state() == "budget")
            self.assertEqual(self.status()["budget"]["limit"]["requests"], 70)
            self.assertLessEqual(len(llm.bodies) + llm.canaries, 70)
            self.edit("budget: {requests: 70}", "budget: {requests: 20}")  # below what is spent: spent it stays
            self.assert_quiet(llm)
            self.edit("budget: {requests: 20}", "name2: none")  # a reload that is refused changes nothing
            self.assertEqual(self.state(), "budget")
            self.edit("name2: none", "# none")
            self.assert_busy(llm)

    def test_sighup_and_a_limit_set_by_hand(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.02) as llm:
            self.begin(llm, generator=False)
            self.desk("limit", "--samples", 5)
            self.edit(f"samples: {ENDLESS}", "samples: 900")
            self.assertEqual(self.status()["goal"], 900)
            self.crash()
            self.assertEqual(self.status()["goal"], 900)


if __name__ == "__main__":
    unittest.main()
