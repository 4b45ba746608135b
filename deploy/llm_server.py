#!/usr/bin/env python3
"""The embedded LLM: llama.cpp's OpenAI-compatible server on the loopback interface.

    llm_server.py --model FILE.gguf [--port 0] [--parallel 8] [--port-file FILE] [--log FILE]

When the model is loaded and the server answers, FILE of --port-file holds "PORT PID" in one line, written at once
or not at all.  The server lives no longer than the process that started it: it stops on SIGTERM, on Ctrl-C, and
when its parent dies by whatever cause, so that a killed run leaves nothing behind.

One process with one thread for each core, all listening on the same port (SO_REUSEPORT; the kernel deals out the
connections), and not one process with a thread for each core: llama.cpp's threads meet at a spinning barrier in
every layer, and as soon as anything else wants the cores they wait for each other's time slices.  Measured with
SmolLM2-135M on two cores that two other processes were busy on: 16 short chats had no end within 120 s with one
process of two threads, and took 16 s with a single thread.

Runs under the Python that deploy/setup-models.sh prepares (it needs the package xllamacpp).
"""

import argparse
import ctypes
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

CONTEXT_PER_SLOT = 1024  # tokens; a prompt with its answer stays well under half of it
PR_SET_PDEATHSIG = 1
RESTART_AFTER = 10  # seconds that a process must have lived to be worth another start
STOP = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def fail(message):
    print(f"llm_server: {message}", file=sys.stderr)
    sys.exit(1)


def die_with(parent, by_signal):
    """Deliver by_signal to this process when its parent ends; the look after it closes the gap before prctl."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, by_signal, 0, 0, 0) != 0:
        fail(f"can't follow the parent's life: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        os._exit(0)


def reserve_port(port):
    """A bound socket that never listens: it holds the port until every server process has opened it."""
    try:
        with socket.socket() as s:  # without SO_REUSEPORT: a port in use is reported, not shared
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", port))
            port = s.getsockname()[1]
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", port))
        return held, port
    except OSError as e:
        fail(f"port {port} on 127.0.0.1: {e.strerror}; choose another with --port, or 0 for any free one")


def serve(opt, port, ready):
    """One server process; never returns.  Writes one line to ready: empty when it answers, else what is wrong."""
    import xllamacpp

    log = os.open(opt.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    p = xllamacpp.CommonParams()
    p.model.path = opt.model
    p.model_alias = {Path(opt.model).stem}  # what answers say of themselves: no path of this machine
    p.hostnames = ["127.0.0.1"]
    p.port = port
    p.reuse_port = True
    p.n_parallel = opt.parallel
    p.n_ctx = CONTEXT_PER_SLOT * opt.parallel
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
    try:
        server = xllamacpp.Server(p)  # returns when the model is loaded and the port listens
    except Exception as e:  # noqa: BLE001 - whatever the library throws, the person gets one line
        os.write(ready, f"{opt.model}: {str(e).splitlines()[0]}; see {opt.log}\n".encode())
        os._exit(1)
    os.write(ready, b"\n")
    signal.sigwait(STOP)
    del server
    os._exit(0)


def fork_server(opt, port, ready):
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        die_with(parent, signal.SIGKILL)
        serve(opt, port, ready)
    return pid


def start(opt, port, children):
    """Start the server processes, into children: id -> time of start.  Returns when all of them answer."""
    ready_r, ready_w = os.pipe()
    for _ in range(opt.processes or len(os.sched_getaffinity(0))):
        children[fork_server(opt, port, ready_w)] = time.monotonic()
    said = b""
    while said != b"\n" * len(children):
        if select.select([ready_r], [], [], 0.1)[0]:
            said += os.read(ready_r, 4096)
        problem = said.decode(errors="replace").strip()
        got = signal.sigtimedwait(STOP | {signal.SIGCHLD}, 0)
        if problem or got:
            stop(children)
            if problem or got.si_signo == signal.SIGCHLD:
                fail(problem.splitlines()[0] if problem else f"a server process ended while it loaded; see {opt.log}")
            sys.exit(0)
    return ready_w  # its other end stays open: a process started again writes there too


def restart(opt, port, ready, children):
    """A server process that something killed is started again, unless it did not even live for a while."""
    while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
        if time.monotonic() - children.pop(pid) < RESTART_AFTER:
            return False
        children[fork_server(opt, port, ready)] = time.monotonic()
    return True


def stop(children):
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)  # nothing of theirs is worth saving, and a loading model hears nothing else
        except ProcessLookupError:
            pass


def write_at_once(path, text):
    part = f"{path}.{os.getpid()}"
    with open(part, "w", encoding="ascii") as f:
        f.write(text)
    os.replace(part, path)


def options():
    arg = argparse.ArgumentParser(description="llama.cpp's OpenAI-compatible server on 127.0.0.1")
    arg.add_argument("--model", required=True, help="a GGUF file")
    arg.add_argument("--port", type=int, default=0, help="0: any free port (default)")
    arg.add_argument("--parallel", type=int, default=8, help="requests answered at once by each process (default 8)")
    arg.add_argument("--processes", type=int, default=0, help="0: one for each usable core (default)")
    arg.add_argument("--port-file", help='where to write "PORT PID" once the server answers')
    arg.add_argument("--log", default=os.devnull, help="where llama.cpp's own messages go (default: nowhere)")
    return arg.parse_args()


def main():
    parent = os.getppid()
    opt = options()
    if not os.path.isfile(opt.model):
        fail(f"{opt.model}: no such model file; deploy/setup-models.sh fetches one")
    try:
        import xllamacpp  # noqa: F401 - once here, so that its absence is one line and not one from each process
    except ImportError as e:
        fail(f"{e}; run this with the Python of deploy/setup-models.sh")

    signal.pthread_sigmask(signal.SIG_BLOCK, STOP | {signal.SIGCHLD})
    die_with(parent, signal.SIGTERM)
    held, port = reserve_port(opt.port)  # held to the end, so that a process started again finds it
    children = {}
    ready = start(opt, port, children)
    if opt.port_file:
        write_at_once(opt.port_file, f"{port} {os.getpid()}\n")
    failed = False
    while not failed and signal.sigwait(STOP | {signal.SIGCHLD}) == signal.SIGCHLD:
        failed = not restart(opt, port, ready, children)
    stop(children)
    if opt.port_file:
        os.unlink(opt.port_file)
    held.close()
    if failed:
        fail(f"a server process ended by itself; see {opt.log}")


if __name__ == "__main__":
    main()
