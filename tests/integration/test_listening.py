"""How a gateway's process stops to listen: with gunicorn, as in ``dagway api``."""

import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.harness.eventually import eventually, free_port
from tests.harness.procs import clean_environment
from tests.harness.reaper import forget, spawn

_SERVER = """
import os, sys

from services.api.serving.greenlets import become_green

become_green()
from services.api.serving.gunicorn_server import run_gunicorn

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]

run_gunicorn(lambda: app, "127.0.0.1", int(sys.argv[1]))
"""


def test_requests_that_wait_to_be_accepted_are_answered_after_the_end_of_listening(tmp_path: Path) -> None:
    port = free_port()
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-c", _SERVER, str(port)]
    log = tmp_path / "log"
    process = spawn(argv, env=clean_environment(tmp_path), cwd=root, log=log)

    def worker_pid() -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
                return int(answer.read())
        except urllib.error.URLError as error:
            raise AssertionError(log.read_text()) from error

    worker = eventually(worker_pid)
    # As on a busy machine, the worker gets no processor time while connections come in. The kernel completes them.
    os.kill(worker, signal.SIGSTOP)
    stopped_s = time.monotonic()
    clients = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(5)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    process.terminate()
    # By then it looks whether it has to end, which it does every second, before it accepts.
    eventually(lambda: time.monotonic() > stopped_s + 1.5)
    os.kill(worker, signal.SIGCONT)

    heads = [client.recv(9999).split(b"\r\n")[0] for client in clients]
    for client in clients:
        client.close()
    assert process.wait(60) == 0
    forget(process)
    assert heads == [b"HTTP/1.1 200 OK"] * 5, log.read_text()
