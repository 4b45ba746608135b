"""Signals to a broker, and systemd: it drains within its limit, reads its project again, and tells how it is."""

import signal
import socket
import time
import unittest

from desk_case import ENDLESS, FRUIT, TOWNS, DeskCase
from fake_llm import FakeLLM
from harness import EXIT_OK


class Ends(DeskCase):
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
