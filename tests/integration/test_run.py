"""nermill run with real processes and a scripted LLM: a whole run, kills, Ctrl-C, resuming; and that it counts up.

What is bought again after a kill is what was on the wire then, and no more.
"""

import collections
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import unittest

import harness
import tiny_bert
from fake_llm import FakeLLM
from harness import EXIT_ENDPOINT, EXIT_OK, EXIT_SIGNAL, EXIT_STORAGE

FRUIT = ["apple", "banana", "cherry", "lemon", "mango", "papaya", "quince", "walnut"]
TOWNS = ["Oslo", "Lima", "Cairo", "Quito", "Dakar", "Hanoi", "Turin", "Ghent"]
CONCURRENCY = 4


def children(pid):
    """{name: pid} of the processes that pid has started and that still run; "generator-1" by its state directory."""
    found = {}
    try:
        pids = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return found
    for child in pids:
        try:
            args = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        name = os.path.basename(args[0]).removeprefix("nermill-")
        if "--state" in args and name != "broker":
            name = os.path.basename(args[args.index("--state") + 1])
        found[name] = int(child)
    return found


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class RunCase(harness.Case):
    def setUp(self):
        super().setUp()
        for name in ("broker", "generator", "aligner"):
            harness.program(f"nermill-{name}")
        self.running = []
        self.addCleanup(self.kill_all)

    def kill_all(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()
            process.stderr.close()

    def make(self, llm, samples=60, more=""):
        return self.project(
            url=llm if isinstance(llm, str) else llm.url,
            samples=samples,
            more=more,
            Fruit="\n".join(FRUIT) + "\n",
            Town="\n".join(TOWNS) + "\n",
        )

    def start(self, project, *args, train=False, **more):
        process = subprocess.Popen(
            [harness.program("nermill"), "run", str(project), *([] if train else ["--no-train"]), *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )
        self.running.append(process)
        return process

    def stats(self, project):
        result = self.nermill("status", project, "--json")
        return json.loads(result.stdout) if result.returncode == 0 else {}

    def wait_for(self, what, process, seconds=60):
        """Poll until what() is true; the run must not end before."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = what()
            if value:
                return value
            if process.poll() is not None:
                self.fail(f"the run ended with {process.returncode}:\n{process.stdout.read()}{process.stderr.read()}")
            time.sleep(0.05)
        self.fail(f"not within {seconds} s; the last snapshot was {value!r}")

    def wait_accepted(self, project, process, n):
        return self.wait_for(lambda: self.stats(project).get("accepted", 0) >= n, process)

    def read_until(self, process, pattern):
        """Its standard output up to a line that matches."""
        if not any(re.search(pattern, line) for line in process.stdout):
            self.fail(f"the run ended with {process.wait()}, and said nothing like {pattern}:\n{process.stderr.read()}")

    def finish(self, process, code=EXIT_OK, timeout=120):
        out, err = process.communicate(timeout=timeout)
        self.assertEqual(process.returncode, code, out + err)
        return out, err

    def kill_each_in_turn(self, project, process, step):
        """Broker, generator and aligner with -9, twice each, every step accepted samples; each comes back."""
        accepted = 10
        for victim in ("broker", "generator-1", "aligner-1") * 2:
            self.wait_accepted(project, process, accepted)
            pid = self.wait_for(lambda name=victim: children(process.pid).get(name), process)
            os.kill(pid, signal.SIGKILL)
            self.wait_for(lambda name=victim, old=pid: children(process.pid).get(name, old) != old, process)
            accepted += step

    def check_data(self, project, samples):
        """Exactly one sample a task, as many as the broker counted; conll and jsonl hold the same."""
        data = project / "run" / "data"
        lines = [json.loads(x) for x in (data / "train.jsonl").read_text().splitlines()]
        tasks = collections.Counter(x["provenance"]["task"] for x in lines)
        self.assertEqual([t for t, n in tasks.items() if n > 1], [], "tasks that are there twice")
        self.assertEqual(len(lines), samples)
        sentences = [x for x in (data / "train.conll").read_text().split("\n\n") if x.strip()]
        self.assertEqual(len(sentences), samples)
        return lines


class WholeRun(RunCase):
    def test_run_then_run_again(self):
        with FakeLLM(FRUIT + TOWNS, reject_share=0.2) as llm:
            project = self.make(llm, samples=60)
            out, _ = self.finish(self.start(project))
            self.assertIn("train.conll", out)
            lines = self.check_data(project, 60)
            self.assertEqual(llm.bought_again(), 0)
            tags = {tag for line in lines for tag in line["tags"]}
            self.assertLessEqual({"O", "B-Fruit", "B-Town"}, tags)
            bought, before = len(llm.bodies), (project / "run/data/train.conll").read_bytes()
            self.finish(self.start(project))
            self.assertEqual(len(llm.bodies), bought, "a complete run bought more")
            self.assertEqual((project / "run/data/train.conll").read_bytes(), before)
        # Complete, it needs no endpoint at all.
        self.finish(self.start(project))

    def test_two_of_each(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.01) as llm:
            project = self.make(llm, samples=80)
            self.finish(self.start(project, "--generators", "2", "--aligners", "2"))
            self.check_data(project, 80)
            self.assertEqual(llm.bought_again(), 0)
            # One aligner was asked for, but the other one's half is not forgotten.
            self.finish(self.start(project))
            self.check_data(project, 80)

    def test_progress_status_and_a_second_run(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.2) as llm:
            project = self.make(llm, samples=400)
            process = self.start(project)
            self.wait_accepted(project, process, 3)
            result = self.nermill("status", project)
            self.assertEqual(result.returncode, EXIT_OK, result.stderr)
            self.assertIn(" of 400 accepted", result.stdout)
            second = self.nermill("run", project, "--no-train")
            self.assert_fails(second, EXIT_STORAGE, "already at work", str(process.pid))
            self.read_until(process, r"\d+/400 samples, \d+/min, \d+ % of answers accepted, .* left")
            process.send_signal(signal.SIGTERM)
            _, err = self.finish(process, EXIT_SIGNAL)
            self.assertIn("run the same command again to go on", err)


class WithTraining(RunCase):
    """The whole job up to a model, a very small one, and its score beside the dictionary's."""

    LISTS = {"Metal": ["zinc", "iron"], "Ill": ["fever", "cough"]}

    def setUp(self):
        super().setUp()
        harness.program("nermill-trainer")
        self.encoder = tiny_bert.write(self.dir / "encoder")

    def make_trained(self, llm, samples):
        project = self.project(
            url=llm.url,
            samples=samples,
            more=f"gold: gold.conll\ntrainer: {{model: '{self.encoder}', epochs: 2, batch: 8}}\n",
            **{kind: "\n".join(words) + "\n" for kind, words in self.LISTS.items()},
        )
        self.write("project/gold.conll", tiny_bert.corpus(20))
        return project

    def run_it(self, project):
        return self.finish(self.start(project, train=True))[0]

    def test_model_and_scores(self):
        with FakeLLM(sum(self.LISTS.values(), [])) as llm:
            project = self.make_trained(llm, 40)
            out = self.run_it(project)
            model = project / "run" / "model"
            record = json.loads((model / "nermill.json").read_text())
            self.assertEqual(record["data"]["sentences"], 40)
            self.assertEqual(record["recipe"]["epochs"], 2)
            self.assertRegex(out, r"dictionary matching +1\.000 +1\.000 +1\.000")
            self.assertRegex(out, r"the trained model +[01]\.\d{3} +[01]\.\d{3} +[01]\.\d{3}")
            before = (model / "model.safetensors").stat().st_mtime_ns
            self.assertIn("already", self.run_it(project))
            self.assertEqual((model / "model.safetensors").stat().st_mtime_ns, before)
            # A larger goal: more samples, and the model is of all of them.
            path = project / "project.yaml"
            path.write_text(path.read_text().replace("samples: 40", "samples: 60"))
            self.run_it(project)
            self.check_data(project, 60)
            self.assertEqual(json.loads((model / "nermill.json").read_text())["data"]["sentences"], 60)
            self.assertEqual(llm.bought_again(), 0)

    def test_evaluate(self):
        with FakeLLM(sum(self.LISTS.values(), [])) as llm:
            project = self.make_trained(llm, 20)
        # The gold is made from the very lists; one word in two is taken from one of them.
        (project / "Ill.txt").write_text("fever\n")
        result = self.nermill("evaluate", "--dictionary", project, "--gold", project / "gold.conll", "--json")
        self.assertEqual(result.returncode, EXIT_OK, result.stderr)
        score = json.loads(result.stdout)
        gold = collections.Counter(line.split()[0] for line in (project / "gold.conll").read_text().splitlines()
                                   if "\tB-" in line)
        self.assertGreater(gold["cough"], 0)
        self.assertEqual(score["precision"], 1.0)
        self.assertAlmostEqual(score["recall"], 1 - gold["cough"] / sum(gold.values()), places=6)
        missing = self.dir / "none.conll"
        result = self.nermill("evaluate", "--dictionary", project, "--gold", missing)
        self.assert_fails(result, harness.EXIT_INPUT, missing)


class Stops(RunCase):
    def test_ctrl_c_and_go_on(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.05) as llm:
            project = self.make(llm, samples=120)
            process = self.start(project)
            self.wait_accepted(project, process, 20)
            crew = children(process.pid)
            self.assertEqual(sorted(crew), ["aligner-1", "broker", "generator-1"])
            process.send_signal(signal.SIGINT)
            self.finish(process, EXIT_SIGNAL)
            self.assertEqual([n for n, pid in crew.items() if is_alive(pid)], [])
            self.assertEqual(llm.in_flight, 0, "a call in flight was cut, though it was paid for")
            bought = len(llm.bodies)
            self.assertGreaterEqual(bought, 20)
            self.finish(self.start(project))
            self.check_data(project, 120)
            self.assertEqual(llm.bought_again(), 0)

    def test_run_itself_is_killed(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.05) as llm:
            project = self.make(llm, samples=120)
            process = self.start(project)
            self.wait_accepted(project, process, 20)
            crew = children(process.pid)
            process.kill()
            process.wait()
            second = self.start(project)  # at once, while the first one's processes are still ending
            self.finish(second)
            self.assertEqual([n for n, pid in crew.items() if is_alive(pid)], [])
            self.check_data(project, 120)
            self.assertEqual(llm.bought_again(), 0)

    def test_everything_is_killed_at_once(self):
        """As by a power cut, three times over."""
        with FakeLLM(FRUIT + TOWNS, delay=0.05) as llm:
            project = self.make(llm, samples=120)
            for accepted in (15, 40, 70):
                process = self.start(project)
                self.wait_accepted(project, process, accepted)
                crew = children(process.pid)
                process.kill()
                for pid in crew.values():
                    os.kill(pid, signal.SIGKILL)
                process.wait()
            self.finish(self.start(project))
            self.check_data(project, 120)
            self.assertLessEqual(llm.bought_again(), 3 * CONCURRENCY)


class Kills(RunCase):
    def test_kill_each_in_turn(self):
        """broker, generator, aligner killed with -9 in mid-run, twice: nothing lost, nothing twice."""
        with FakeLLM(FRUIT + TOWNS, delay=0.05, reject_share=0.1) as llm:
            project = self.make(llm, samples=200)
            process = self.start(project)
            self.kill_each_in_turn(project, process, 20)
            out, _ = self.finish(process)
            self.check_data(project, 200)
            self.assertLessEqual(llm.bought_again(), 2 * CONCURRENCY, "more than was on the wire at two kills")
            # Three starts of a generator try three kinds of constraint each; a canary under way when one of two brokers dies is
            # made again, for the task whose call it was has gone back.
            self.assertLessEqual(llm.canaries, 3 * 3 + 2)
            self.assertIn("200 samples accepted", out)


class Trouble(RunCase):
    def test_endpoint_down(self):
        url = f"http://127.0.0.1:{harness.free_port()}/v1"
        project = self.make(url)
        for command in (["validate"], ["run", "--no-train"]):
            self.assert_fails(self.nermill(*command, project), EXIT_ENDPOINT, "endpoint", url)

    def test_endpoint_refuses_the_key(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            llm.steady = "401"
            project = self.make(llm)
            for command in (["validate"], ["run", "--no-train"]):
                self.assert_fails(self.nermill(*command, project), EXIT_ENDPOINT, llm.url, "401", "key")

    def test_endpoint_that_refuses_later(self):
        """401 in mid-run ends it with one clear line; with the key back, it goes on and nothing is lost."""
        with FakeLLM(FRUIT + TOWNS, delay=0.02) as llm:
            project = self.make(llm, samples=100)
            process = self.start(project)
            self.wait_accepted(project, process, 20)
            llm.steady = "401"
            _, err = self.finish(process, EXIT_ENDPOINT)
            self.assertRegex(err, r"(?m)^nermill run: .*401.*$")
            llm.steady = None
            self.finish(self.start(project))
            self.check_data(project, 100)

    def test_faults_pass(self):
        """Each kind of bad answer costs time but no sample."""
        with FakeLLM(FRUIT + TOWNS, delay=0.05) as llm:
            project = self.make(llm, samples=60)
            process = self.start(project)
            self.wait_accepted(project, process, 10)
            llm.faults = ["429", "500", "garbage", "empty", "cut", "503"]
            self.finish(process)
            self.assertEqual(llm.faults, [])
            self.check_data(project, 60)

    def test_progress_says_what_is_wrong(self):
        """An endpoint that is there and fails every call: the line on the terminal names it."""
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=60)
            llm.steady = "429"
            process = self.start(project)
            self.read_until(process, rf"samples, .*{llm.url}.*429")
            process.send_signal(signal.SIGTERM)
            self.finish(process, EXIT_SIGNAL)

    def test_port_in_use(self):
        import socket

        with FakeLLM(FRUIT + TOWNS) as llm, socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            project = self.make(llm)
            path = project / "project.yaml"
            path.write_text(path.read_text().replace("bind: 'tcp://127.0.0.1:*'", f"bind: 'tcp://127.0.0.1:{port}'"))
            result = self.nermill("run", project, "--no-train")
            self.assert_fails(result, EXIT_STORAGE, "broker", str(port), "use")
            self.assertEqual(len(llm.bodies), 0)

    def test_newer_ledger(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm)
            ledger = project / "run" / "broker" / "ledger"
            ledger.mkdir(parents=True)
            subprocess.run([harness.program("newer_store"), ledger, "ledger", "99"], check=True)
            result = self.nermill("run", project, "--no-train")
            self.assert_fails(result, EXIT_STORAGE, str(ledger), "version 99", "newer")
            self.assertEqual(len(llm.bodies), 0)

    def test_disk_full(self):
        """No file may grow over a limit (which is what the kernel says of a full disk, but for the number)."""
        import resource

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that write(2) fails instead
            resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))

        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=400)
            process = self.start(project, preexec_fn=limit)
            _, err = self.finish(process, EXIT_STORAGE)
            self.assertRegex(err, r"(?m)^nermill run: .*(full|space).*$")
            self.finish(self.start(project))
            self.check_data(project, 400)
            self.assertLessEqual(llm.bought_again(), CONCURRENCY)


if __name__ == "__main__":
    unittest.main()
