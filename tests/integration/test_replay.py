"""A run whose answers come from the log of another one: the same data set to the byte, without a call.

The scripted LLM repeats itself, leaves words out and fails, so that the recorded run refuses duplicates, corrects, constrains
its last attempts, asks again and buries.  What a replay must not do is connect to anything: its endpoint counts connections.
"""

import gzip
import json
import os
import shutil
import signal
import socket
import threading

from fake_llm import CANARY, FakeLLM
from harness import EXIT_INPUT, EXIT_OK, EXIT_STORAGE, EXIT_USAGE
from test_dedup import Repeating
from test_generation import GenerationCase
from test_run import FRUIT, TOWNS, children

GENERATION = ("generation: {attempts: 2, constrain: last, hard_negatives: 0.5}\n"
              "dedup: {exact: true, near: 0.7, per_template: 2}\n")


class Forgetful(Repeating):
    """Leaves a word out now and then, so that there are retries, and dead letters."""

    def sentence(self, user, rng, form=None):
        text = super().sentence(user, rng, form)
        return text if form or rng.random() > 0.3 else text.replace(" and ", " or their ").replace("Oslo", "a town")


class Narrow(FakeLLM):
    """Has no room for a prompt with examples."""

    def answer(self, handler, body, mode):
        roomy = len(json.dumps(json.loads(body)["messages"])) > 1200 and b"Text: " not in body and CANARY not in body
        if not roomy:
            super().answer(handler, body, mode)
            return
        self.send(handler, 400, {"error": {"message": "This model's maximum context length is 400 tokens",
                                           "code": "context_length_exceeded"}})


class Counter:
    """Somewhere to connect to; n: how many have."""

    def __enter__(self):
        self.n = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1"
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def accept(self):
        try:
            while True:
                self.socket.accept()[0].close()
                self.n += 1
        except OSError:
            pass

    def __exit__(self, *_args):
        self.socket.close()


class ReplayCase(GenerationCase):
    def export(self, project, name="answers.jsonl.gz"):
        path = self.dir / name
        result = self.nermill("responses", "export", project, "--out", path)
        self.assertEqual(result.returncode, EXIT_OK, result.stderr)
        return path

    def lines(self, path):
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return [json.loads(line) for line in text.splitlines()]

    def write_lines(self, path, lines):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    def replaying(self, project, file, url, name, old="", new=""):
        """The project elsewhere, its endpoint at another url, answered from file."""
        copy = self.dir / name
        shutil.copytree(project, copy, ignore=shutil.ignore_patterns("run"))
        path = copy / "project.yaml"
        text = path.read_text()
        before = text[text.index("url: '"):text.index("\n    model:")]
        text = text.replace(before, f"url: '{url}'\n    api_key_env: NERMILL_TEST_NO_SUCH_KEY")
        text = text.replace("generation: {", f"generation: {{replay: '{file}', ")
        self.assertIn(old, text)
        path.write_text(text.replace(old, new) if old else text)
        return copy

    def data(self, project):
        return {name: (project / "run/data" / name).read_bytes() for name in ("train.conll", "train.jsonl")}

    def kill_in_turn(self, project, process, victims):
        accepted = 5
        for victim in victims:
            self.wait_accepted(project, process, accepted)
            pid = self.wait_for(lambda name=victim: children(process.pid).get(name), process)
            os.kill(pid, signal.SIGKILL)
            self.wait_for(lambda name=victim, old=pid: children(process.pid).get(name, old) != old, process)
            accepted += 10

    def broken_into(self, project, *args):
        """Killed whole in the middle, and run again."""
        process = self.start(project, *args, start_new_session=True)
        self.wait_accepted(project, process, 8)
        self.kill_group(process)
        return self.finish(self.start(project, *args))

    def check_ledger(self, project):
        check = self.nermill("check", project / "run" / "broker", name="nermill-broker")
        self.assertEqual(check.returncode, EXIT_OK, check.stderr + check.stdout)

    def recorded(self, llm, samples=60, more=GENERATION, **how):
        project = self.make(llm, samples=samples, more=more)
        path = project / "project.yaml"
        if "goal" in how:
            path.write_text(path.read_text().replace(f"goal: {{samples: {samples}}}", f"goal: {how['goal']}"))
        process = self.start(project, "--generators", "2")
        if how.get("victims"):
            self.kill_in_turn(project, process, how["victims"])
        self.finish(process)
        return project


class Replay(ReplayCase):
    def test_the_same_bytes_on_any_number_of_generators_whatever_is_killed(self):
        with Forgetful(FRUIT + TOWNS, delay=0.01, honours="grammar") as llm, Counter() as counter:
            llm.faults = ["null", "good", "garbage", "cut", "good", "500"]
            project = self.recorded(llm, victims=("generator-1", "broker"),
                                    goal="{samples: 60, coverage: {min_per_entity: 9, give_up: 4}}")
            file = self.export(project)
            answers = self.lines(file)[1:]
            self.assertTrue({"near_duplicate", "template"} & {a["refused"]["rule"] for a in answers if "refused" in a})
            self.assertIn("grammar", {a.get("constraint") for a in answers})
            self.assertIn("unreadable", {a.get("rule") for a in answers})
            self.assertTrue(any("entities" in a for a in answers), "nothing was asked again")
            one = self.replaying(project, file, counter.url, "one")
            out, _ = self.finish(self.start(one))
            self.assertNotIn("without an answer", out)
            three = self.replaying(project, file, "${NERMILL_TEST_NOWHERE}/v1", "three")
            self.broken_into(three, "--generators", "3", "--aligners", "2")
            for copy in (one, three):
                self.assertEqual(self.data(copy), self.data(project))
                self.check_ledger(copy)
            bought = len(llm.bodies)
            self.assertEqual(counter.n, 0)
            self.assertEqual(len(llm.bodies), bought)
            process = self.start_broker(one)
            stats = self.wait_for(lambda: self.stats(one), process)
            process.kill()
            process.wait()
            self.assertEqual((stats["reused"], stats["tokens_in"], stats["cost_micros"]), (stats["responses"], 0, 0))
            self.assertGreaterEqual(stats["reused_tokens_in"], 60 * 100)
            again = self.export(one, "again.jsonl")
            head, *rest = self.lines(again)
            first = self.lines(file)[0]
            finished = [a for a in answers if a["task"] not in first["unfinished"]]
            self.assertEqual(rest, finished, "the log of a replay is not that of the run")
            self.assertEqual(head["samples"], first["samples"])

    def test_verified_texts_and_prompts_that_had_to_be_short(self):
        labels = dict.fromkeys(FRUIT, "Fruit") | dict.fromkeys(TOWNS, "Town")
        with Narrow(FRUIT + TOWNS, labels=labels, blind=["quince", "Lima"], honours="grammar") as llm:
            more = "generation: {attempts: 4, mode: markup, constrain: always}\nverification: {mode: mask}\n"
            project = self.recorded(llm, samples=30, more=more)
            file = self.export(project)
            self.assertIn("context_overflow", {a.get("rule") for a in self.lines(file)})
            copy = self.replaying(project, file, "http://127.0.0.1:9/v1", "copy")
            self.finish(self.start(copy))
            self.assertEqual(self.data(copy), self.data(project))

    def test_several_sentences_from_one_call(self):
        """Grouped as they were then, wherever the groups had ended at the goal, or were broken up."""
        with Forgetful(FRUIT + TOWNS, delay=0.01, skip_share=0.15) as llm:
            llm.faults = ["good", "garbage", "null"]
            more = GENERATION.replace("attempts: 2", "attempts: 2, sentences_per_call: 4")
            project = self.recorded(llm, samples=50, more=more, victims=("generator-1",))
            file = self.export(project)
            answers = self.lines(file)[1:]
            self.assertLess(len([a for a in answers if "key" in a and a["attempt"] == 1]), 35)
            self.assertTrue(any(a.get("line", 0) > 1 and "refused" in a for a in answers))
            bought = len(llm.bodies)
            copy = self.replaying(project, file, llm.url, "copy")
            out, _ = self.finish(self.start(copy, "--generators", "3"))
            self.assertEqual(self.data(copy), self.data(project))
            self.check_ledger(copy)
            less = self.replaying(project, file, llm.url, "less", "samples: 50", "samples: 21")
            self.finish(self.start(less))
            self.assertEqual(self.data(less)["train.jsonl"].splitlines(),
                             self.data(project)["train.jsonl"].splitlines()[:21])
            self.assertEqual(len(llm.bodies), bought)

    def test_what_is_not_recorded_is_counted_and_not_asked_twice(self):
        with FakeLLM(FRUIT + TOWNS, reject_share=0.2) as llm:
            project = self.recorded(llm, samples=30, more="generation: {domain: cooking}\n")
            file = self.export(project, "all.jsonl")
            head, *answers = self.lines(file)
            kept = [a for a in answers if a["task"] not in (3, 4) or a["attempt"] > 1]
            part = self.write_lines(self.dir / "part.jsonl", [head, *kept])
            copy = self.replaying(project, part, llm.url, "part")
            bought = len(llm.bodies)
            out, _ = self.finish(self.start(copy))
            self.assertRegex(out, r"requests without an answer in .*: 2;")
            self.assertEqual(self.samples(copy), [x for x in self.samples(project) if x["id"] not in (3, 4)])
            self.check_ledger(copy)
            other = self.replaying(project, file, llm.url, "other", "domain: cooking", "domain: travel")
            process = self.start(other)
            out, _ = process.communicate(timeout=60)
            self.assertRegex(out, r"requests without an answer in .*: 3\d;")
            self.assertEqual((len(llm.bodies), llm.canaries > 0), (bought, True))

    def test_a_smaller_goal_takes_the_first(self):
        with FakeLLM(FRUIT + TOWNS, reject_share=0.4) as llm:
            project = self.recorded(llm, samples=40, more="generation: {attempts: 1}\n")
            file = self.export(project)
            copy = self.replaying(project, file, llm.url, "copy", "samples: 40", "samples: 25")
            self.finish(self.start(copy, "--generators", "2"))
            lines = self.data(project)["train.jsonl"].splitlines()
            self.assertEqual(self.data(copy)["train.jsonl"].splitlines(), lines[:25])

    def test_live_and_at_rest_it_is_the_same_log(self):
        with FakeLLM(FRUIT + TOWNS, delay=0.02) as llm:
            project = self.make(llm, samples=60, more="generation: {domain: cooking}\n")
            process = self.start(project)
            self.wait_accepted(project, process, 10)
            live = self.lines(self.export(project, "live.jsonl"))
            self.finish(process)
            rest = self.lines(self.export(project, "rest.jsonl"))
            packed = self.export(project, "rest.jsonl.gz")
            self.assertEqual(packed.read_bytes(), self.export(project, "again.jsonl.gz").read_bytes())
            self.assertEqual(self.lines(packed), rest)
            stdout = self.nermill("responses", "export", project)
            self.assertEqual([json.loads(x) for x in stdout.stdout.splitlines()], rest)
            self.assertGreaterEqual(len(live), 10)
            self.assertTrue(all(line in rest for line in live[1:]))
            copy = self.replaying(project, self.dir / "live.jsonl", llm.url, "live")
            self.finish(self.start(copy))
            whole = self.data(project)["train.jsonl"].splitlines()
            part = self.data(copy)["train.jsonl"].splitlines()
            self.assertEqual(len(part), live[0]["samples"])
            self.assertTrue(set(part) <= set(whole))

    def test_nothing_secret_is_in_the_file(self):
        with FakeLLM(FRUIT + TOWNS) as llm:
            project = self.make(llm, samples=5, more="generation: {domain: cooking}\n")
            path = project / "project.yaml"
            path.write_text(path.read_text().replace("model: fake", "model: fake\n    api_key_env: NERMILL_TEST_KEY"))
            env = {**os.environ, "NERMILL_TEST_KEY": "sk-very-secret-0123456789"}
            self.finish(self.start(project, env=env))
            text = self.export(project, "answers.jsonl").read_text()
            for word in ("secret", llm.url, "cooking", "Authorization", "http"):
                self.assertNotIn(word, text)

    def test_mistakes_are_said(self):
        project = self.make("http://127.0.0.1:9/v1", samples=5, more="generation: {domain: cooking}\n")
        self.assert_fails(self.nermill("responses", "export", project), EXIT_INPUT, "there is no run in")
        self.assert_fails(self.nermill("responses", "import", project), EXIT_USAGE, "is not export")
        head = {"nermill": "responses", "version": 1, "run": "x", "project": "x", "goal": 5, "samples": 5, "tasks": 9,
                "extra": 0, "dedup": {"exact": False, "near": 0.5, "per_template": 0}, "unfinished": []}
        answer = {"task": 2, "attempt": 1, "key": "0123456789abcdef", "endpoint": "x", "answer": {}}
        file = self.dir / "log.jsonl"
        for lines, words in (([], ":1: no response log"),
                             ([{**head, "version": 2}], "by a newer nermill"),
                             ([head, {**answer, "key": "0123"}], ":2: no answer"),
                             ([head, answer, {**answer, "task": 1}], ":3: no answer, or one that is out of order"),
                             ([head, {**answer, "task": 9}], ":2: no answer"),
                             ([head, answer], "was recorded with dedup")):
            self.write_lines(file, lines)
            copy = self.replaying(project, file, "http://127.0.0.1:9/v1", "copy", "generation:",
                                  "dedup: {exact: true}\ngeneration:")
            _, err = self.finish(self.start(copy), EXIT_STORAGE if "newer" in words else EXIT_INPUT)
            self.assertIn(words, err)
            shutil.rmtree(copy)
        packed = gzip.compress(json.dumps(head).encode() * 50)
        (self.dir / "cut.jsonl.gz").write_bytes(packed[:-20])
        for name, words in (("cut.jsonl.gz", "is damaged"), ("none.jsonl", "No such file")):
            copy = self.replaying(project, self.dir / name, "http://127.0.0.1:9/v1", "copy")
            _, err = self.finish(self.start(copy), EXIT_INPUT)
            self.assertIn(words, err)
            shutil.rmtree(copy)
        self.write_lines(file, [head, answer])
        copy = self.replaying(project, file, "http://127.0.0.1:9/v1", "copy", "generation:",
                              "dedup: {exact: false, near: 0}\ngeneration:")
        self.assert_fails(self.nermill("preview", copy), EXIT_INPUT, "there is no call to show")
        result = self.nermill("batch", "export", copy, "--out", self.dir / "requests.jsonl")
        self.assert_fails(result, EXIT_INPUT, "no request to send")
        valid = self.nermill("validate", copy)
        self.assertIn("none is asked", valid.stdout)
