"""A TCP proxy between two processes that spoils what goes through it, on request."""

import random
import socket
import threading


class Proxy:
    """with Proxy(port) as proxy: proxy.port leads to port; proxy.flips, proxy.cut_after, proxy.on_cut.

    flips: so many more answers get one wrong byte each, at a place drawn by seed; cut_after: after so many bytes of
    answers on_cut is called and the connection is closed, once.
    """

    def __init__(self, target, seed=1):
        self.target = target
        self.random = random.Random(seed)
        self.flips, self.cut_after, self.on_cut = 0, None, None
        self.flipped, self.carried, self.lock = 0, 0, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_args):
        self.listener.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:  # nobody there now: the client tries again
                client.close()
                continue
            for source, sink, answers in ((client, server, False), (server, client, True)):
                threading.Thread(target=self.pump, args=(source, sink, answers), daemon=True).start()

    def spoil(self, data):
        """One wrong byte in a block that is large enough to be more than a greeting."""
        with self.lock:
            if self.flips <= 0 or len(data) < 200:
                return data
            self.flips -= 1
            self.flipped += 1
        at = self.random.randrange(len(data))
        return data[:at] + bytes([data[at] ^ (1 << self.random.randrange(8))]) + data[at + 1:]

    def is_cut(self, data):
        with self.lock:
            self.carried += len(data)
            if self.cut_after is None or self.carried < self.cut_after:
                return False
            self.cut_after = None
            return True

    def pump(self, source, sink, answers):
        try:
            while data := source.recv(8192):
                if answers and self.is_cut(data):
                    sink.sendall(data[: len(data) // 2])
                    self.on_cut()
                    break
                sink.sendall(self.spoil(data) if answers else data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
