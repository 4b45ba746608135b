"""The operator's desk on a live run: every command takes effect, is logged with who asked, and holds over a kill -9 of
the broker.  How fast each acts: tests/bench/desk.sh.
"""

import getpass
import json
import signal
import time
import unittest

import harness
from desk_case import ENDLESS, FRUIT, TOWNS, DeskCase
from fake_llm import FakeLLM
from harness import EXIT_ENDPOINT, EXIT_INPUT, EXIT_OK, EXIT_USAGE


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
        self.assert_fails(self.nermill("workers", "--stats", gone, timeout=30), EXIT_ENDPOINT, gone, "nothing runs")

if __name__ == "__main__":
    unittest.main()
