"""One endpoint for each way in which a server can misbehave: http://.../SCENARIO/v1, each with a script of its own.

A script is a list of modes for successive calls; when it is used up, the answers are good.  Every call is kept, so that a
test can hold what was sent against what the client logged.
"""

import email.utils
import gzip
import json
import random
import socket
import time
import zlib

from fake_llm import FakeLLM

KEY = "sk-hostile-0123456789abcdef"


class Call:
    """One call as the server saw it."""

    def __init__(self, scenario, number, mode, body):
        self.scenario, self.number, self.mode, self.at = scenario, number, mode, time.monotonic()
        # Which attempt of which task: the same whether it is asked in full or without examples and feedback.
        self.asked = json.loads(body).get("seed", body)


class HostileLLM(FakeLLM):
    def __init__(self, words, scripts, delay=0.03, last_delay=0.5, **more):
        super().__init__(words, **more)
        self.scripts, self.good_delay, self.last_delay = scripts, delay, last_delay
        self.calls, self.taken, self.quiet = [], {name: 0 for name in scripts}, False
        self.root = self.url[: -len("/v1")]

    def chat(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        name = handler.path.split("/")[1]
        script = self.scripts[name]
        with self.lock:
            number = self.taken[name]
            self.taken[name] += 1
            mode = script[number] if number < len(script) else "good"
            call = Call(name, number, mode, body)
            self.calls.append(call)
        call.headers = {key.lower(): value for key, value in handler.headers.items()}
        call.path = handler.path
        kind, _, argument = mode.partition(":")
        try:
            getattr(self, "do_" + kind)(handler, body, argument)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True
        # Whoever has shown what it had to show is to be slow: the others want their calls.
        if number >= len(script) and not self.quiet:
            time.sleep(self.last_delay)

    def do_GET(self, handler):
        self.models(handler)

    # ---- good answers, in odd forms ----------------------------------------------------------

    def sentence_for(self, body):
        request = json.loads(body)
        return self.sentence(request["messages"][-1]["content"], random.Random(zlib.crc32(body)))

    def completion(self, body, **changes):
        message = {"role": "assistant", "content": self.sentence_for(body)}
        message.update(changes.pop("message", {}))
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        choice.update(changes.pop("choice", {}))
        return {"id": "chatcmpl-the-same-for-all", "object": "chat.completion", "model": "fake", "choices": [choice],
                "usage": {"prompt_tokens": 100, "completion_tokens": 20}, **changes}

    def good_bytes(self, body):
        return json.dumps(self.completion(body)).encode()

    def do_good(self, handler, body, _argument):
        time.sleep(self.good_delay)
        self.send(handler, 200, self.completion(body))

    def do_headers(self, handler, body, argument):
        """A good answer with headers, "name=value;name=value"."""
        self.send(handler, 200, self.completion(body), dict(item.split("=", 1) for item in argument.split(";")))

    def do_drip(self, handler, body, argument):
        data = self.good_bytes(body)
        self.raw(handler, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data))
        for i in range(0, len(data), 40):
            handler.wfile.write(data[i:i + 40])
            handler.wfile.flush()
            time.sleep(float(argument))

    def do_chunked(self, handler, body, _argument):
        data = self.good_bytes(body)
        self.raw(handler, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(0, len(data), 50):
            part = data[i:i + 50]
            self.raw(handler, b"%x\r\n%s\r\n" % (len(part), part))
        self.raw(handler, b"0\r\n\r\n")

    def do_gzip(self, handler, body, _argument):
        self.send(handler, 200, gzip.compress(self.good_bytes(body)), {"Content-Encoding": "gzip"})

    def do_http10(self, handler, body, _argument):
        self.raw(handler, b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + self.good_bytes(body))
        handler.close_connection = True

    def do_parts(self, handler, body, _argument):
        text = self.sentence_for(body)
        parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": text[:9]}, {"type": "text", "text": text[9:]}]
        self.send(handler, 200, self.completion(body, message={"content": parts}))

    def do_sse(self, handler, body, argument):
        """A stream of events that was not asked for; "cut": it ends before its end."""
        words = self.sentence_for(body).split(" ")
        chunks = [{"choices": [{"index": 0, "delta": {"role": "assistant"}}]}]
        chunks += [{"choices": [{"index": 0, "delta": {"content": word if i == 0 else " " + word}}]}
                   for i, word in enumerate(words)]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "model": "fake",
                       "usage": {"prompt_tokens": 100, "completion_tokens": 20}})
        if argument == "cut":
            chunks = chunks[:4]
        text = ": ping\n\n" + "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
        text += "" if argument == "cut" else "data: [DONE]\n\n"
        data = text.encode()
        self.raw(handler, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%s"
                 % (len(data), data))

    def do_twice(self, handler, body, _argument):
        """Members that stand there twice: the last one counts."""
        data = self.good_bytes(body).replace(b'"content":', b'"content": "No.", "content":')
        self.send(handler, 200, data.replace(b'"choices":', b'"choices": [], "choices":'))

    def do_echo(self, handler, body, _argument):
        """The key in the midst of a good answer."""
        text = self.sentence_for(body)
        self.send(handler, 200, self.completion(body, message={"content": f"{text[:-1]} with {KEY} in it."}, model=KEY))

    def do_many(self, handler, body, _argument):
        """A second choice, a null error, fields nobody knows."""
        answer = self.completion(body, error=None, object=7, x={"y": [1, 2]})
        answer["choices"].append({"index": 0, "message": {"content": "No."}})
        self.send(handler, 200, answer)

    def do_blanks(self, handler, body, _argument):
        """White space before the answer, as gateways send it to keep a connection alive."""
        data = b"\n \n" + self.good_bytes(body)
        self.raw(handler, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data))
        for i in range(3):
            self.raw(handler, data[i:i + 1])
            time.sleep(0.1)
        self.raw(handler, data[3:])

    def do_early(self, handler, body, _argument):
        """An interim answer first, whose headers say nothing."""
        self.raw(handler, b"HTTP/1.1 102 Processing\r\nRetry-After: 600\r\n\r\n")
        self.send(handler, 200, self.completion(body))

    # ---- answers that hold no text -----------------------------------------------------------

    def do_json(self, handler, _body, argument):
        self.send(handler, 200, argument.encode())

    def do_message(self, handler, body, argument):
        self.send(handler, 200, self.completion(body, message=json.loads(argument)))

    def do_choice(self, handler, body, argument):
        self.send(handler, 200, self.completion(body, choice=json.loads(argument)))

    def do_html(self, handler, _body, _argument):
        self.send(handler, 200, b"<html>It works!</html>")

    def do_empty(self, handler, _body, _argument):
        self.send(handler, 200, b"")

    def do_latin1(self, handler, body, _argument):
        self.send(handler, 200, self.good_bytes(body).replace(b"The ", b"Th\xe9 \xff\xfe"))

    def do_large(self, handler, body, argument):
        """A text of so many megabytes."""
        self.send(handler, 200, self.completion(body, message={"content": "word " * (int(argument) * 200000)}))

    def do_bomb(self, handler, _body, _argument):
        """100 MB in 100 KB."""
        self.send(handler, 200, BOMB, {"Content-Encoding": "gzip"})

    def do_badgzip(self, handler, body, _argument):
        self.send(handler, 200, b"\x1f\x8b" + self.good_bytes(body), {"Content-Encoding": "gzip"})

    def do_short(self, handler, body, _argument):
        """A Content-Length of less than comes."""
        data = self.good_bytes(body)
        self.raw(handler, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(data) - 30, data))

    # ---- no whole answer ---------------------------------------------------------------------

    def do_long(self, handler, body, _argument):
        """A Content-Length of more than comes."""
        data = self.good_bytes(body)
        self.raw(handler, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(data) + 30, data))
        handler.close_connection = True

    def do_close(self, handler, _body, _argument):
        handler.close_connection = True

    def do_reset(self, handler, _body, _argument):
        self.raw(handler, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        handler.close_connection = True

    def do_badchunk(self, handler, body, _argument):
        self.raw(handler, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + self.good_bytes(body))
        handler.close_connection = True

    def do_nothttp(self, handler, _body, _argument):
        self.raw(handler, b"220 mail.example.org ESMTP\r\n")
        handler.close_connection = True

    def do_hugehead(self, handler, body, _argument):
        self.raw(handler, b"HTTP/1.1 200 OK\r\n")
        for i in range(400):
            self.raw(handler, b"X-Filler-%d: %s\r\n" % (i, b"x" * 1000))
        data = self.good_bytes(body)
        self.raw(handler, b"Content-Length: %d\r\n\r\n%s" % (len(data), data))

    def do_silent(self, handler, _body, _argument):
        self.hold(handler)

    def do_stall(self, handler, body, _argument):
        data = self.good_bytes(body)
        self.raw(handler, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data[:60]))
        self.hold(handler)

    # ---- errors ------------------------------------------------------------------------------

    def do_status(self, handler, _body, argument):
        """CODE, or CODE;header=value;... with an error as OpenAI writes it, which says what it used."""
        status, *headers = argument.split(";")
        self.send(handler, int(status), {"error": {"message": f"by request, with {KEY}", "type": "test"},
                                         "usage": {"prompt_tokens": 9, "completion_tokens": 0}},
                  dict(item.split("=", 1) for item in headers))

    def do_after_date(self, handler, _body, argument):
        date = email.utils.formatdate(time.time() + int(argument), usegmt=True)
        self.send(handler, 429, {"error": "slow down"}, {"Retry-After": date})

    def do_error(self, handler, _body, argument):
        """STATUS JSON"""
        status, text = argument.split(" ", 1)
        self.send(handler, int(status), text.encode())

    def do_redirect(self, handler, _body, argument):
        self.send(handler, int(argument), b"", {"Location": f"{self.root}/good/v1/chat/completions"})

    def do_tiny(self, handler, body, _argument):
        """A context into which no examples go: an overflow as llama.cpp tells it, until the prompt is short."""
        messages = json.loads(body)["messages"]
        if len(messages) > 2:
            self.send(handler, 400, {"error": {"code": 400, "type": "exceed_context_size_error",
                                               "message": "the request exceeds the available context size"}})
        else:
            self.send(handler, 200, self.completion(body))

    # ---- the wire ----------------------------------------------------------------------------

    @staticmethod
    def raw(handler, data):
        handler.wfile.write(data)
        handler.wfile.flush()

    @staticmethod
    def hold(handler):
        """Say nothing more until the client hangs up."""
        handler.close_connection = True
        handler.connection.settimeout(15)
        try:
            handler.connection.recv(1)
        except OSError:
            pass


def _bomb():
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(b" " * 1000000) for _ in range(100)]
    return b"".join(parts) + packer.flush()


BOMB = _bomb()
