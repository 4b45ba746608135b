"""An OpenAI-compatible server that answers from the prompt: fast, countable, and faulty on request.

It finds the words of its vocabulary behind "Terms:" in the user message and writes a sentence around them.  Every
request body but the canaries' is kept, so that a test can count what was bought twice.  faults: a list of modes that the next
requests get, one each; then the answers are good again.  steady: a mode for all of them.

honours: the one constraint that it knows ("grammar", "structured_outputs", "response_format"); it ignores the others, but
for those in refuses, which it answers with 400.  What a form asks for it writes: the word of a canary, every term in order;
a regular expression is held against what it wrote.

labels: {word: type}, what it knows when it is to list a text's entities, or to mark them; but not those in blind.  looks:
the bodies that asked for such a list.

Asked for several sentences it writes a numbered line for each; a share of the lines, skip_share, it leaves out.
"""

import hashlib
import http.server
import json
import random
import re
import threading
import time

PLACES = ["northern", "southern", "coastal", "central", "eastern", "western", "rural", "urban", "alpine", "inland"]
THINGS = ["survey", "trial", "report", "review", "audit", "register", "cohort", "interview", "study", "census"]
VERBS = ["described", "examined", "compared", "recorded", "discussed", "measured", "followed", "listed", "counted"]
ENDS = ["during the spring", "over two winters", "with great care", "for the first time", "in twelve districts",
        "by three teams", "without any delay", "after the harvest", "in a second round", "on short notice"]
SHORT_ENDS = [end for end in ENDS if end.count(" ") == 2]
CANARY = b"zyzzyva"


class FakeLLM:
    """with FakeLLM(words) as llm: llm.url, llm.bodies, llm.faults."""

    def __init__(self, words, delay=0.0, reject_share=0.0, port=0, honours=None, refuses=(), labels=None,
                 blind=(), skip_share=0.0):
        self.words = sorted(words, key=len, reverse=True)
        self.delay, self.reject_share, self.skip_share = delay, reject_share, skip_share
        self.honours, self.refuses = honours, refuses
        self.labels, self.blind, self.looks = labels or {}, set(blind), []
        self.faults, self.steady, self.retry_after = [], None, 1
        self.lock = threading.Lock()
        self.bodies, self.canaries, self.answered, self.in_flight = [], 0, 0, 0
        self.keys = set()  # every Authorization header seen
        self.gate = threading.Event()  # closed (clear), samples' calls stay under way until it is opened (set)
        self.gate.set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args):
                pass

            def do_GET(self):
                outer.models(self)

            def do_POST(self):
                outer.chat(self)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_args):
                pass  # a client that was killed is no news

        self.server = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_args):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()

    def bought_again(self):
        """How many requests repeated an earlier one to the letter."""
        with self.lock:
            return len(self.bodies) - len(set(self.bodies))

    def models(self, handler):
        with self.lock:
            self.keys.add(handler.headers.get("Authorization"))
        if self.steady in ("401", "404", "500", "503"):
            self.send(handler, int(self.steady), {"error": {"message": "by request"}})
        else:
            self.send(handler, 200, {"object": "list", "data": [{"id": "fake", "object": "model"}]})

    def form(self, request):
        """What the constraint that it honours asks for, None where there is none."""
        if self.honours not in request:
            return None
        value = request[self.honours]
        if self.honours == "grammar":
            return value
        if self.honours == "structured_outputs":
            return value["regex"]
        return "\n".join(p["pattern"].strip("^$") for p in value["json_schema"]["schema"]["properties"].values())

    def requests(self, user):
        """What one call asks for: each sentence's request."""
        if not user.startswith("Answer each of these "):
            return [user]
        return re.split(r"(?m)^\d+\. (?=Terms:)", user)[1:]

    def sentence(self, user, rng, form=None):
        if form and CANARY.decode() in form:
            return CANARY.decode()
        asked = re.findall(r"Terms:(.*)", user)
        found = [w for w in self.words if asked and re.search(rf"(?<!\w){re.escape(w)}(?!\w)", asked[-1])]
        if form:
            found.sort(key=asked[-1].index)
        elif found and rng.random() < self.reject_share:
            found = found[1:]
        decoy = re.findall(r'everyday word: "(.*)"', user)
        # By words alone no two are alike.
        place, thing, verb, end = (rng.choice(x) for x in (PLACES, THINGS, VERBS, ENDS))
        if not found:
            thing = f"{decoy[-1]} {thing}" if decoy else thing
            return f"The {place} {thing} was {verb} {end} and its {rng.choice(PLACES)} part came later."
        if form:  # forms of short texts leave room for three words at the end
            return f"The {place} {thing} {verb} {' and '.join(found)} {rng.choice(SHORT_ENDS)}."
        return f"The {place} {thing} {verb} {' and '.join(found)} {end} and its {rng.choice(PLACES)} part came later."

    def listing(self, text):
        """A line "TYPE: word" for each word that it knows and sees."""
        seen = [w for w in self.words if re.search(rf"(?<!\w){re.escape(w)}(?!\w)", text) and w not in self.blind]
        return "\n".join(f"{self.labels[w]}: {w}" for w in seen if w in self.labels) or "none"

    def mark(self, text):
        for word, kind in self.labels.items():
            text = re.sub(rf"(?<![\w\[]){re.escape(word)}(?![\w|])", f"[[{word}|{kind}]]", text)
        return text

    def chat(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        with self.lock:
            self.keys.add(handler.headers.get("Authorization"))
            if CANARY in body:  # a generator asks at its start whether grammars are honoured: no sample's call
                self.canaries += 1
            else:
                self.bodies.append(body)
            self.in_flight += 1
            mode = self.steady or (self.faults.pop(0) if self.faults else "good")
        try:
            if self.delay:
                time.sleep(self.delay)
            if CANARY not in body:
                self.gate.wait()
            self.answer(handler, body, mode)
        finally:
            with self.lock:
                self.in_flight -= 1
                self.answered += 1

    def answer(self, handler, body, mode):
        if mode.isdigit():
            self.send(handler, int(mode), {"error": {"message": "by request"}}, {"Retry-After": str(self.retry_after)})
        elif mode == "quota":
            self.send(handler, 429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}})
        elif mode == "null":
            self.send(handler, 200, {"choices": [{"finish_reason": "stop", "message": {"content": None}}]})
        elif mode == "huge":
            self.send(handler, 200, b"x" * (9 << 20))
        elif mode == "redirect":
            self.send(handler, 302, b"", {"Location": "http://127.0.0.1:9/"})
        elif mode == "slow":
            time.sleep(3)
            self.send(handler, 200, {})
        elif mode == "garbage":
            self.send(handler, 200, b"<html>not what you asked for</html>")
        elif mode == "empty":
            self.send(handler, 200, {"choices": []})
        elif mode == "cut":
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(b'{"choices": [')
            handler.close_connection = True
        else:
            request = json.loads(body)
            rng = random.Random(hashlib.sha256(body).digest())
            if any(name in request for name in self.refuses):
                self.send(handler, 400, {"error": {"message": "Unrecognized request argument supplied"}})
                return
            user = request["messages"][-1]["content"]
            if user.startswith("Text: "):
                with self.lock:
                    self.looks.append(body)
                self.complete(handler, self.listing(user))
                return
            form = self.form(request)
            texts = [self.sentence(part, rng, form) for part in self.requests(user)]
            if "[[" in request["messages"][0]["content"]:
                texts = [self.mark(text) for text in texts]
            numbered = len(texts) > 1 and not (form and self.honours == "response_format")
            lines = [f"{i}. {text}" if numbered else text for i, text in enumerate(texts, 1)]
            if not form:
                lines = [line for line in lines if len(lines) == 1 or rng.random() >= self.skip_share]
            text = "\n".join(lines)
            if form and self.honours != "grammar" and not re.fullmatch(form, text):
                self.send(handler, 500, {"error": {"message": f"{text!r} is not of the form {form}"}})
                return
            if form and self.honours == "response_format":
                text = json.dumps({f"sentence_{i}" if len(texts) > 1 else "sentence": x for i, x in enumerate(texts, 1)})
            self.complete(handler, text)

    def complete(self, handler, text):
        self.send(handler, 200, {
            "model": "fake",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20},
        })

    def send(self, handler, status, content, headers=None):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)
