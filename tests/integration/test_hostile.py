"""A table of everything a server can do wrong, and what comes of it: all at once, one endpoint each, against one broker and
one generator.  docs/generation.md, "When a call fails", says the same in words.

Held for every call: what was answered is in the response log once and is never asked again; what was not is asked again until
it is; the key, which the server echoes, is nowhere.
"""

import collections
import json
import os
import pathlib
import subprocess
import time
import unittest

import harness
from harness import EXIT_OK, EXIT_SIGNAL, program
from hostile_llm import KEY, HostileLLM

FRUIT = ["apple", "banana", "cherry", "lemon", "mango", "papaya"]
TOWNS = ["Oslo", "Lima", "Cairo", "Quito", "Dakar", "Hanoi"]

# What comes of a call.  ACCEPT and REJECT(rule): in the response log.  RETRY: not an answer; the task is asked again.
ACCEPT, RETRY = "accept", "retry"


def REJECT(rule):
    return "reject:" + rule


# name: (script, what comes of each call of it; words: in the generator's line on the endpoint; stop, pause_ms (before the next
# call, as the server asked); more: keys of the endpoint)
class Row:
    def __init__(self, script, comes, words=(), stop=False, pause_ms=0, more="", silent=False):
        self.script = script if isinstance(script, list) else [script]
        self.comes = comes if isinstance(comes, list) else [comes] * len(self.script)
        self.words, self.stop, self.pause_ms, self.more = words, stop, pause_ms, more
        self.silent = silent  # no further call within the test: what the server did lasts longer


def status(code, *words, **more):
    return Row(f"status:{code}", RETRY, (f"answers {str(code)[:3]}", *words), **more)


def stopped(code, *words):
    return status(code, *words, "not called again", stop=True)


UNREADABLE = REJECT("unreadable")
TABLE = {
    # every status
    **{f"status_{code}": stopped(code, word) for code, word in (
        (400, "does not take our request"), (401, "API key"), (403, "API key"), (404, "check the url"), (405, "check the url"),
        (406, ""), (410, ""), (411, ""), (415, ""), (418, ""), (421, ""), (422, "does not take our request"), (426, ""),
        (428, ""), (431, ""), (451, ""))},
    **{f"status_{code}": status(code) for code in (408, 409, 425, 429, 500, 501, 502, 503, 504, 507, 529)},
    "status_402": status(402, "quota", silent=True),
    "status_201": Row("error:201 {}", RETRY, ("answers 201", "no chat completion"), stop=True),
    "status_204": Row("error:204 ", RETRY, ("answers 204",), stop=True),
    **{f"redirect_{code}": Row(f"redirect:{code}", RETRY, ("it redirects",), stop=True) for code in (301, 302, 307, 308)},
    # one request refused by an endpoint that serves others, and one after the other
    **{f"refused_{code}": Row(["good", f"status:{code}", "good"], [ACCEPT, REJECT(rule), ACCEPT]) for code, rule in (
        (400, "request_refused"), (413, "context_overflow"), (422, "request_refused"))},
    "refused_three_times": Row(["good", "status:422", "status:422", "status:422"],
                               [ACCEPT, REJECT("request_refused"), REJECT("request_refused"), RETRY],
                               ("answers 422", "not called again"), stop=True),
    "overflow": Row(["tiny", "tiny"], [REJECT("context_overflow"), ACCEPT], ("go without examples",)),
    # when to come again
    "should_retry": Row("status:400;x-should-retry=true", RETRY, ("answers 400",)),
    "should_not_retry": Row(["good", "status:500;x-should-retry=false"], [ACCEPT, REJECT("request_refused")]),
    "retry_after_ms": status("429;retry-after-ms=700", pause_ms=700),
    "retry_after_s": status("503;Retry-After=1", pause_ms=1000),
    "retry_after_both": status("429;Retry-After=60;retry-after-ms=600", pause_ms=600),
    "retry_after_date": Row("after_date:3", RETRY, ("answers 429",), pause_ms=1500),
    "retry_after_past": status("429;Retry-After=Thu, 01 Jan 1970 00:00:00 GMT"),
    "retry_after_nonsense": status("429;Retry-After=soon;retry-after-ms=-7"),
    "retry_after_500": status("500;retry-after-ms=800", pause_ms=800),
    "reset_429": status("429;x-ratelimit-remaining-requests=0;x-ratelimit-reset-requests=900ms", pause_ms=900),
    "reset_tokens": status("429;x-ratelimit-remaining-tokens=0;x-ratelimit-reset-tokens=0m1s;"
                           "x-ratelimit-remaining-requests=5;x-ratelimit-reset-requests=6m0s", pause_ms=1000),
    "none_left": Row("headers:x-ratelimit-limit-requests=60;x-ratelimit-remaining-requests=0;x-ratelimit-reset-requests=1m0s",
                     ACCEPT, ("left alone for 1.0 s",), pause_ms=1000),
    "few_tokens": Row("headers:x-ratelimit-remaining-tokens=3;x-ratelimit-reset-tokens=1s200ms", ACCEPT,
                      ("left alone for 1.2 s",), pause_ms=1200),
    "enough_left": Row("headers:x-ratelimit-remaining-requests=3;x-ratelimit-reset-requests=6m0s;"
                       "x-ratelimit-remaining-tokens=30000;x-ratelimit-reset-tokens=1h2m;Retry-After=x", ACCEPT),
    "longer_than_a_lease": status("429;Retry-After=3600", silent=True),
    "quota": Row('error:429 {"error": {"message": "You exceeded it", "code": "insufficient_quota"}}', RETRY,
                 ("quota is used up",), silent=True),
    # whole answers in odd forms
    **{name: Row(name, ACCEPT) for name in ("chunked", "gzip", "http10", "parts", "sse", "twice", "many", "blanks", "early")},
    "drip": Row("drip:0.02", ACCEPT),
    "echo": Row("echo", REJECT("markdown")),  # the stars over the key
    # whole answers without a text
    **{name: Row(["good", name], [ACCEPT, UNREADABLE], ("answers 200, but",)) for name in ("html", "empty", "latin1", "short")},
    **{"type_" + name: Row(["good", "json:" + text], [ACCEPT, UNREADABLE], ("answers 200, but",)) for name, text in (
        ("array", "[]"), ("string", '"text"'), ("null", "null"), ("number", "7"), ("no_choices", "{}"),
        ("choices_object", '{"choices": {}}'), ("choices_empty", '{"choices": []}'), ("choice_number", '{"choices": [7]}'),
        ("deep", '{"choices": ' + "[" * 5000 + "]" * 5000 + "}"))},
    **{"content_" + name: Row(["good", "message:" + text], [ACCEPT, UNREADABLE], ("message content is",)) for name, text in (
        ("null", '{"content": null}'), ("number", '{"content": 7}'), ("object", '{"content": {"text": "A."}}'),
        ("image", '{"content": [{"type": "image_url"}]}'),
        ("tool_calls", '{"content": null, "tool_calls": [{"id": "x", "type": "function"}]}'))},
    "message_string": Row(["good", 'choice:{"message": "The text"}'], [ACCEPT, UNREADABLE]),
    "content_empty": Row(["good", 'message:{"content": ""}'], [ACCEPT, REJECT("empty")]),
    "content_refusal": Row(["good", 'message:{"content": null, "refusal": "I cannot help."}'], [ACCEPT, REJECT("refusal")]),
    "content_filter": Row(["good", 'choice:{"finish_reason": "content_filter", "message": {"content": null}}'],
                          [ACCEPT, REJECT("finish_reason")]),
    "cut_by_length": Row(["good", 'choice:{"finish_reason": "length", "message": {"content": null}}'],
                         [ACCEPT, REJECT("finish_reason")]),
    "finish_number": Row('choice:{"finish_reason": 7}', ACCEPT),
    "sse_cut": Row(["good", "sse:cut"], [ACCEPT, UNREADABLE]),
    "large_text": Row(["good", "large:2"], [ACCEPT, REJECT("too_large")]),
    "large_answer": Row(["good", "large:10"], [ACCEPT, REJECT("too_large")], ("over the limit",)),
    "bomb": Row(["good", "bomb"], [ACCEPT, REJECT("too_large")], ("over the limit",)),
    "badgzip": Row(["good", "badgzip"], [ACCEPT, UNREADABLE], ("cannot be unpacked",)),
    # errors with status 200
    "error_200": Row('error:200 {"error": {"code": 429, "message": "slow down"}}', RETRY, ("answers 429", "slow down")),
    "error_200_stop": Row('error:200 {"error": {"code": 401, "message": "who are you"}}', RETRY, ("answers 401",), stop=True),
    "error_200_vllm": Row('error:200 {"object": "error", "message": "boom", "code": 500}', RETRY, ("answers 500", "boom")),
    # no whole answer
    **{name: Row(name, RETRY, ("cut the connection",)) for name in ("long", "close", "reset", "badchunk", "nothttp", "hugehead")},
    "cut_while_serving": Row(["good", "close", "good", "reset"], [ACCEPT, RETRY, ACCEPT, RETRY]),
    "silent": Row("silent", RETRY, ("no first byte",), more="first_byte_timeout_s: 1"),
    "stall": Row("stall", RETRY, ("no further byte",), more="stall_timeout_s: 1"),
    "drip_too_slow": Row("drip:0.9", RETRY, ("no answer in time",), more="timeout_s: 2"),
}


class HostileCase(harness.Live):
    def make(self, entries, more=""):
        lists = {"Fruit": "\n".join(FRUIT) + "\n", "Town": "\n".join(TOWNS) + "\n"}
        return self.set_endpoints(self.project(samples=100000, more=f"generation: {{constrain: never, attempts: 20}}\n{more}",
                                               **lists), entries)

    def comes(self, call):
        row = TABLE.get(call.scenario)
        return row.comes[call.number] if row and call.number < len(row.script) else ACCEPT

    def owed(self, llm):
        """Requests that were not answered yet, of all that were made."""
        with llm.lock:
            calls = list(llm.calls)
        answered = {call.asked for call in calls if self.comes(call) != RETRY}
        return {call.asked for call in calls} - answered

    def records(self):
        tool = pathlib.Path(program("nermill")).parent / "response_log"
        done = subprocess.run([tool, self.dir / "broker" / "ledger"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]


class Hostile(HostileCase):
    def lines(self):
        """The generator's own lines, by endpoint."""
        found = collections.defaultdict(list)
        for line in self.log("nermill-generator").splitlines():
            for name in TABLE:
                if f"endpoint {name} (" in line:
                    found[name].append(line)
        return found

    def shown(self, llm, name):
        """The scenario has had all its calls, and two more where it goes on."""
        row, taken = TABLE[name], llm.taken[name]
        return taken >= len(row.script) + (0 if row.stop or row.silent else 2)

    def test_table(self):
        with HostileLLM(FRUIT + TOWNS, {name: row.script for name, row in TABLE.items()}) as llm:
            port = harness.free_port()
            project = self.make([(name, f"{llm.root}/{name}/v1", "concurrency: 1", "api_key_env: NM_TEST_KEY",
                                  *([row.more] if row.more else [])) for name, row in TABLE.items()])
            env = {"NM_TEST_KEY": KEY}
            broker = self.broker(project, port, env=env)
            generator = self.start("nermill-generator", "--broker", f"tcp://127.0.0.1:{port}", "--state", self.dir / "state",
                                   "--log-level", "debug", env=env)
            self.wait_for(lambda: llm.taken["chunked"] > 0)
            self.check_processes()
            self.wait_for(lambda: all(self.shown(llm, name) for name in TABLE) or generator.poll() is not None, 90)
            self.assertIsNone(generator.poll(), self.log("nermill-generator")[-3000:])
            self.wait_for(lambda: not self.owed(llm), 60)
            llm.quiet = True
            generator.terminate()
            self.finish(generator, EXIT_SIGNAL)
            broker.terminate()
            broker.wait(timeout=30)
            self.assertEqual(self.nermill("check", project, "--state", self.dir).returncode, EXIT_OK)
            self.check_table(llm)
            self.check_key_nowhere()

    def check_table(self, llm):
        records = sorted((r for r in self.records() if r["what"] == "response"), key=lambda r: r["created_ms"])
        logged, lines = collections.defaultdict(list), self.lines()
        for record in records:
            logged[record["endpoint"]].append(record)
        for name, row in TABLE.items():
            with self.subTest(name):
                self.check_row(name, row, [call for call in llm.calls if call.scenario == name], logged[name], lines[name])
        self.check_nothing_again(llm)
        self.check_usage()

    def check_row(self, name, row, calls, logged, lines):
        want = [self.comes(call) for call in calls if self.comes(call) != RETRY]
        got = [ACCEPT if r["accepted"] else REJECT(r["rule"]) for r in logged]
        # A good answer may break a rule of the text's; the table is about the server.
        self.assertEqual(got, want, [(r["rule"], r["detail"]) for r in logged if not r["accepted"]])
        if row.stop:
            self.assertEqual(len(calls), len(row.script), "called again after it was stopped")
        if row.silent:
            self.assertEqual(len(calls), len(row.script), "called again while it was paused")
        for word in row.words:
            self.assertTrue(any(word in line for line in lines), f"no line with {word!r} in {lines}")
        if row.pause_ms:
            gap = calls[len(row.script)].at - calls[len(row.script) - 1].at
            self.assertGreaterEqual(gap * 1000, row.pause_ms, "earlier than the server asked for")

    def check_nothing_again(self, llm):
        """Nothing is asked again that was answered, and nothing that was not is given up."""
        answered = {}
        for call in sorted(llm.calls, key=lambda c: c.at):
            self.assertNotIn(call.asked, answered,
                             f"{call.scenario} is asked what {answered.get(call.asked)} has answered")
            if self.comes(call) != RETRY:
                answered[call.asked] = call.scenario
        self.assertEqual(self.owed(llm), set())

    def check_usage(self):
        failures = [r for r in self.records() if r["what"] == "failure"]
        told = [r for r in failures if r["kind"] == "http" and r["status"] >= 400 and "by request" in r["detail"]]
        self.assertTrue(told)
        self.assertEqual({(r["tokens_in"], r["tokens_out"]) for r in told}, {(9, 0)})

    # ---- the key -----------------------------------------------------------------------------

    def check_processes(self):
        for process in self.processes:
            command = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
            self.assertNotIn(KEY.encode(), command)

    def check_key_nowhere(self):
        seen = 0
        for path in self.dir.rglob("*"):
            if path.is_file():
                seen += 1
                self.assertNotIn(KEY.encode(), path.read_bytes(), f"the key is in {path}")
        self.assertGreater(seen, 4)
        self.assertIn("by request, with ****", self.log("nermill-generator"))


class Waits(HostileCase):
    """What an endpoint's failures do to the others, and a wait that is longer than a lease."""

    def status(self):
        stats = json.loads((self.dir / "broker" / "endpoints.json").read_text())["stats"]
        result = self.nermill("status", "--stats", stats, "--json")
        return json.loads(result.stdout) if result.returncode == EXIT_OK else {"tasks": {}, "endpoints": []}

    def test_others_take_over(self):
        """An endpoint that dies in mid-run: what it was asked the other answers, and few calls find out how it is."""
        with HostileLLM(FRUIT + TOWNS, {"dies": ["good"] * 3 + ["status:500"] * 10000, "lives": []}, last_delay=0) as llm:
            port = harness.free_port()
            self.comes = lambda call: RETRY if call.mode == "status:500" else ACCEPT
            self.broker(self.make([(name, f"{llm.root}/{name}/v1", "concurrency: 2") for name in ("dies", "lives")]), port)
            self.generator(port)
            self.wait_for(lambda: llm.taken["lives"] > 80)
            failed = {call.asked for call in llm.calls if call.mode == "status:500"}
            self.assertGreaterEqual(len(failed), 1)
            self.wait_for(lambda: not failed & self.owed(llm))
            self.assertLess(llm.taken["dies"], llm.taken["lives"])

    def test_longer_than_a_lease(self):
        """Its tasks go back to the broker, which delays them; nothing is held, nothing is asked, nothing is lost."""
        none_left = "headers:x-ratelimit-remaining-requests=0;x-ratelimit-reset-requests=1h0m"
        with HostileLLM(FRUIT + TOWNS, {"a": ["good", "good", none_left]}, last_delay=0) as llm:
            port = harness.free_port()
            project = self.make([("a", f"{llm.root}/a/v1", "concurrency: 4")])
            path = project / "project.yaml"
            path.write_text(path.read_text().replace("broker: {", "broker: {lease_s: 2, heartbeat_s: 1, "))
            self.broker(project, port)
            self.generator(port)
            self.wait_for(lambda: llm.taken["a"] > 2)
            self.wait_for(lambda: self.status()["tasks"].get("delayed", 0) > 0)
            self.wait_for(lambda: self.status()["tasks"].get("leased") == 0)
            told = self.status()["endpoints"][0]
            self.assertEqual(told["why"], "rate")
            self.assertGreater(told["waits_ms"], 3000000)
            calls = llm.taken["a"]
            self.assertEqual(len({call.asked for call in llm.calls}), calls)
            self.assertEqual(len([r for r in self.records() if r["what"] == "response"]), calls)


if __name__ == "__main__":
    unittest.main()
