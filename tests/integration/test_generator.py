"""nermill-generator beside the scripted LLM: each bad endpoint in one clear line, no key ever shown, and the spool:
what was answered is handed in after a kill -9, and not bought again.
"""

import concurrent.futures
import os
import signal
import socket
import subprocess
import time
import unittest

import harness
from fake_llm import FakeLLM
from harness import EXIT_ENDPOINT, EXIT_INPUT, EXIT_OK, EXIT_SIGNAL, EXIT_USAGE

FRUIT = ["apple", "banana", "cherry", "lemon", "mango", "papaya"]
TOWNS = ["Oslo", "Lima", "Cairo", "Quito", "Dakar", "Hanoi"]
KEY = "sk-very-secret-0123456789"


class GeneratorCase(harness.Case):
    def make(self, url, samples=40, more="", name="project"):
        return self.project(name, url=url, samples=samples, more=more, Fruit="\n".join(FRUIT) + "\n",
                            Town="\n".join(TOWNS) + "\n")

    def preview(self, project, *args, **more):
        return self.nermill("preview", project, "-n", 3, "--seed", 7, *args, name="nermill-generator", **more)


class Preview(GeneratorCase):
    def test_samples_with_their_entities(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            result = self.preview(self.make(llm.url), "-v")
        self.assertEqual(result.returncode, EXIT_OK, result.stderr)
        self.assertRegex(result.stdout, r"\[\w+\|(Fruit|Town)\]")
        self.assertIn("3 of 3 samples accepted", result.stdout)
        self.assertIn("user> Terms:", result.stdout)
        self.assertRegex(result.stdout, r"(?m)^  passes: utf8, .*truncated")
        self.assertEqual(sorted(os.listdir(self.dir / "project")), ["Fruit.txt", "Town.txt", "project.yaml"])

    def test_rejection_is_shown_and_told_to_the_model(self):
        with FakeLLM(FRUIT + TOWNS, reject_share=1.0) as llm:
            project = self.make(llm.url, more="generation: {attempts: 2, negatives: 0}\n")
            result = self.preview(project, "-v")
            self.assertEqual(result.returncode, EXIT_OK, result.stderr)
            self.assertIn("rejected, entity_missing: the term", result.stdout)
            self.assertIn("\n  fails: entity_missing\n", result.stdout)
            retries = [body for body in llm.bodies if b"entity_missing" in body]
            self.assertEqual(len(retries), 3)

    def test_usage(self):
        self.assertEqual(self.nermill("preview", name="nermill-generator").returncode, EXIT_USAGE)
        self.assertEqual(self.nermill("--broker", "x", name="nermill-generator").returncode, EXIT_USAGE)
        result = self.nermill("preview", "x", "-n", "none", name="nermill-generator")
        self.assertEqual(result.returncode, EXIT_USAGE)
        self.assertIn('"none"', result.stderr)

    def test_bad_template(self):
        project = self.make("http://127.0.0.1:9/v1", more="generation: {template: t.txt}\n")
        (project / "t.txt").write_text("%user\nAbout {{entites}}\n")
        self.assert_fails(self.preview(project), EXIT_INPUT, "t.txt:2", "entites")


class BadEndpoints(GeneratorCase):
    """Every way in which an endpoint can be of no use: exit code 4 and a line that names it and says what to do."""

    def check(self, mode, *words, args=("--give-up", 1)):
        with FakeLLM(FRUIT + TOWNS) as llm:
            llm.steady = mode
            result = self.preview(self.make(llm.url, name=mode), *args)
            line = self.assert_fails(result, EXIT_ENDPOINT, "nermill-generator: ", llm.url, *words)
            self.assertLess(len(line), 600)
            return len(llm.bodies) + llm.canaries

    def test_down(self):
        url = f"http://127.0.0.1:{harness.free_port()}/v1"
        result = self.preview(self.make(url), "--give-up", 1)
        self.assert_fails(result, EXIT_ENDPOINT, "nermill-generator: ", url, "cannot be reached")

    def test_refusals_are_final(self):
        for mode, word in (("401", "API key"), ("403", "API key"), ("404", "check the url"), ("redirect", "redirects")):
            with self.subTest(mode):
                self.assertEqual(self.check(mode, word, args=()), 1, "asked again after a final refusal")

    def test_trouble_is_tried_again(self):
        modes = (("429", "too many requests"), ("quota", "quota"), ("500", "500"), ("502", "502"), ("503", "loading"),
                 ("garbage", "not JSON"), ("empty", "empty"), ("null", "null"), ("cut", "cut the connection"),
                 ("huge", "over the limit"))
        with concurrent.futures.ThreadPoolExecutor() as pool:
            calls = {mode: pool.submit(self.check, mode, word) for mode, word in modes}
        for mode, _ in modes:
            with self.subTest(mode):
                self.assertLessEqual(calls[mode].result(), 8, "no back-off")

    def test_slow(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            llm.steady = "slow"
            project = self.make(llm.url)
            path = project / "project.yaml"
            path.write_text(path.read_text().replace("timeout_s: 20", "timeout_s: 1"))
            self.assert_fails(self.preview(project, "--give-up", 1), EXIT_ENDPOINT, llm.url, "no answer in time")

    def test_a_port_that_is_no_http(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            url = f"http://127.0.0.1:{s.getsockname()[1]}/v1"
            project = self.make(url)
            path = project / "project.yaml"
            path.write_text(path.read_text().replace("timeout_s: 20", "timeout_s: 1"))
            self.assert_fails(self.preview(project, "--give-up", 1), EXIT_ENDPOINT, url, "no answer in time")

    def test_bad_url(self):
        self.assert_fails(self.preview(self.make("ftp://example.org/v1")), EXIT_INPUT, "project.yaml:", "url", "http://")

    def test_faults_pass(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            llm.faults = ["503", "good", "500", "cut", "null", "empty", "garbage"]
            result = self.preview(self.make(llm.url, more="generation: {constrain: never, attempts: 9}\n"))
            self.assertEqual(result.returncode, EXIT_OK, result.stderr)
            self.assertIn("3 of 3 samples accepted", result.stdout)
            self.assertIn("answers again", result.stderr)


class Keys(GeneratorCase):
    def keyed(self, url):
        project = self.make(url)
        path = project / "project.yaml"
        path.write_text(path.read_text().replace("    model: fake", "    model: fake\n    api_key_env: NM_TEST_KEY"))
        return project

    def test_sent_and_never_shown(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.keyed(llm.url)
            good = self.preview(project, "-v", "--log-level", "debug", env={"NM_TEST_KEY": KEY})
            self.assertEqual(good.returncode, EXIT_OK, good.stderr)
            self.assertEqual(llm.keys, {f"Bearer {KEY}"})
            llm.steady = "401"
            bad = self.preview(project, "--log-level", "debug", env={"NM_TEST_KEY": KEY})
            self.assert_fails(bad, EXIT_ENDPOINT, "NM_TEST_KEY", "401")
            for text in (good.stdout, good.stderr, bad.stdout, bad.stderr):
                self.assertNotIn(KEY, text)

    def test_not_set(self):
        self.assert_fails(self.preview(self.keyed("http://127.0.0.1:9/v1")), EXIT_INPUT, "NM_TEST_KEY", "not set")

    def test_not_sent_to_another_place(self):
        with FakeLLM(FRUIT + TOWNS) as elsewhere, FakeLLM(FRUIT + TOWNS) as llm:
            llm.steady = "redirect"
            self.preview(self.keyed(llm.url), env={"NM_TEST_KEY": KEY})
            self.assertEqual(elsewhere.keys, set())


class Probe(GeneratorCase):
    def probe(self, project, *args):
        return self.nermill("probe", project, *args, name="nermill-generator")

    def test_costs_no_call(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            result = self.probe(self.make(llm.url))
            self.assertEqual(result.returncode, EXIT_OK, result.stderr)
            self.assertIn(llm.url, result.stdout)
            self.assertEqual((len(llm.bodies), llm.canaries), (0, 0))

    def test_no_list_of_models(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            llm.models = lambda handler: llm.send(handler, 404, {})
            result = self.probe(self.make(llm.url))
            self.assertEqual(result.returncode, EXIT_OK, result.stderr)
            self.assertEqual((len(llm.bodies), llm.canaries), (0, 1))
            llm.steady = "404"
            self.assert_fails(self.probe(self.make(llm.url)), EXIT_ENDPOINT, llm.url, "404")

    def test_several(self):
        """Each that will not serve is named; with --any, which a run asks with, one that serves is enough."""
        down, gone = (f"http://127.0.0.1:{harness.free_port()}/v1" for _ in range(2))
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.set_endpoints(self.make(llm.url), [("down", down), ("fake", llm.url), ("gone", gone)])
            result = self.probe(project)
            self.assert_fails(result, EXIT_ENDPOINT, down)
            self.assertIn(gone, result.stderr)
            self.assertIn(llm.url, result.stdout)
            result = self.probe(project, "--any")
            self.assertEqual(result.returncode, EXIT_OK, result.stderr)
            for url in (down, gone):
                self.assertIn(url, result.stderr)
            nobody = self.set_endpoints(project, [("down", down), ("gone", gone)])
            self.assert_fails(self.probe(nobody, "--any"), EXIT_ENDPOINT, down)

    def test_waits_while_loading(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            llm.steady = "503"
            project = self.make(llm.url)
            self.assert_fails(self.probe(project, "--give-up", 1), EXIT_ENDPOINT, llm.url, "503", "loading")
            process = subprocess.Popen([harness.program("nermill-generator"), "probe", project],
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            time.sleep(1.5)
            llm.steady = None
            self.assertIn(llm.url.encode(), process.communicate(timeout=30)[0])
            self.assertEqual(process.returncode, EXIT_OK)


class Worker(harness.Live, GeneratorCase):
    """The generator beside a real broker, without the rest of the crew."""

    def test_spool_outlives_a_kill(self):
        """Answered while the broker was not there to take it, then kill -9: handed in, not bought again."""
        with FakeLLM(FRUIT + TOWNS, delay=0.3) as llm:
            port = harness.free_port()
            project = self.make(llm.url, samples=200)
            broker = self.broker(project, port)
            generator = self.generator(port)
            self.wait_for(lambda: len(llm.bodies) >= 6)
            broker.send_signal(signal.SIGSTOP)
            # What is in flight and what was leased ahead is answered into the spool; then nothing is left to call.
            self.wait_for(lambda: llm.in_flight == 0)
            time.sleep(1)
            self.wait_for(lambda: llm.in_flight == 0)
            bought = len(llm.bodies)
            generator.kill()
            generator.wait()
            broker.send_signal(signal.SIGCONT)
            generator = self.generator(port, "--exit-when-done")
            self.wait_for(lambda: len(llm.bodies) >= bought + 8)
            self.assertRegex(self.log("nermill-generator"), r"\d+ answers in the spool are handed in again")
            self.assertEqual(llm.bought_again(), 0)
            generator.send_signal(signal.SIGTERM)
            self.finish(generator, EXIT_SIGNAL)

    def test_sigterm_finishes_calls_in_flight(self):
        with FakeLLM(FRUIT + TOWNS, delay=1.0) as llm:
            port = harness.free_port()
            self.broker(self.make(llm.url, samples=200), port)
            generator = self.generator(port)
            self.wait_for(lambda: llm.in_flight == 4)
            generator.send_signal(signal.SIGTERM)
            self.finish(generator, EXIT_SIGNAL)
            self.assertEqual(llm.in_flight, 0)
            bought = len(llm.bodies)
            generator = self.generator(port)
            self.wait_for(lambda: len(llm.bodies) >= bought + 8)
            self.assertEqual(llm.bought_again(), 0)

    def test_second_signal_ends_at_once(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            llm.gate.clear()
            port = harness.free_port()
            self.broker(self.make(llm.url), port)
            generator = self.generator(port)
            self.wait_for(lambda: llm.bodies)  # a canary is answered at once
            generator.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            self.assertIsNone(generator.poll())
            generator.send_signal(signal.SIGTERM)
            self.finish(generator, EXIT_SIGNAL)
            self.assertGreater(llm.in_flight, 0)

    def test_endpoint_of_no_use(self):
        """The reason is in the log and in the exit code, and the tasks are another's at once."""
        with FakeLLM(FRUIT + TOWNS) as llm:
            port = harness.free_port()
            llm.steady = "401"
            self.broker(self.make(llm.url), port)
            self.finish(self.generator(port), EXIT_ENDPOINT)
            self.assertRegex(self.log("nermill-generator"), rf"nermill-generator: endpoint fake \({llm.url}\) answers 401")
            llm.steady = None
            generator = self.generator(port)
            self.wait_for(lambda: len(llm.bodies) >= 10)
            self.assertEqual(llm.bought_again(), 0)
            generator.terminate()

    def test_template_and_feedback_travel(self):
        """The project's template reaches the generator by the broker, and so does what was wrong with an attempt."""
        with FakeLLM(FRUIT + TOWNS, reject_share=0.5) as llm:
            port = harness.free_port()
            project = self.make(llm.url, more="generation: {template: t.txt, negatives: 0}\n")
            (project / "t.txt").write_text("%system\nA MARK OF OUR OWN\n%user\nTerms: {{terms}}\n"
                                           "{{#feedback}}WRONG {{rule}} BEFORE {{previous}}{{/feedback}}\n")
            self.broker(project, port)
            generator = self.generator(port)
            self.wait_for(lambda: sum(b"WRONG entity_missing BEFORE The " in body for body in llm.bodies) >= 3)
            self.assertTrue(all(b"A MARK OF OUR OWN" in body for body in llm.bodies))
            generator.terminate()
            self.finish(generator, EXIT_SIGNAL)

    def test_no_broker(self):
        self.finish(self.generator(harness.free_port(), "--join", 1), EXIT_ENDPOINT)
        self.assertIn("is it running", self.log("nermill-generator"))

    def test_state_in_use(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.5) as llm:
            port = harness.free_port()
            self.broker(self.make(llm.url, samples=200), port)
            self.generator(port)
            self.wait_for(lambda: len(llm.bodies) >= 1)
            second = self.generator(port)
            self.finish(second, harness.EXIT_STORAGE)


if __name__ == "__main__":
    unittest.main()
