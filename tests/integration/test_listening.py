"""How a gateway's process begins and stops to listen: with gunicorn, as in ``dagway api``."""

import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.harness.eventually import PATIENCE_S, eventually, free_port
from tests.harness.procs import clean_environment
from tests.harness.reaper import forget, spawn

_SERVER = """
import os, signal, sys

from services.api.serving.greenlets import become_green

become_green()
from services.api.serving.gunicorn_server import run_gunicorn

def run_for_ever():
    while True:
        signal.pause()  # holds up the process as a computation would, but no other test

def app(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        run_for_ever()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]

run_gunicorn(lambda: app, "127.0.0.1", int(sys.argv[1]), **{name: int(value) for name, value in [
    option.split("=") for option in sys.argv[2:]
]})
"""
_HANG_S = 20
"""Longer than a busy machine stands still: else the process ends before it is asked to hang."""


def pid_at(port: int, log: Path) -> int:
    """Return the id of the process that answers at a port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE_S) as answer:
            return int(answer.read())
    except urllib.error.URLError as error:
        raise AssertionError(log.read_text()) from error


def test_requests_that_wait_to_be_accepted_are_answered_after_the_end_of_listening(tmp_path: Path) -> None:
    port = free_port()
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-c", _SERVER, str(port)]
    log = tmp_path / "log"
    process = spawn(argv, env=clean_environment(tmp_path), cwd=root, log=log)

    assert eventually(lambda: pid_at(port, log)) == process.pid, "there is no process besides the one that answers"
    # As on a busy machine, it gets no CPU time while connections come in. The kernel completes them.
    os.kill(process.pid, signal.SIGSTOP)
    stopped_s = time.monotonic()
    clients = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(5)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    process.terminate()
    # By then it looks whether it has to end, which it does every second, before it accepts.
    eventually(lambda: time.monotonic() > stopped_s + 1.5)
    os.kill(process.pid, signal.SIGCONT)

    heads = [client.recv(9999).split(b"\r\n")[0] for client in clients]
    for client in clients:
        client.close()
    assert process.wait(PATIENCE_S) == 0
    forget(process)
    assert heads == [b"HTTP/1.1 200 OK"] * 5, log.read_text()


def test_a_gateway_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    starter = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', *sys.argv[1:]])"
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-c", starter, _SERVER, str(port)]
    process = spawn(argv, env=clean_environment(tmp_path), cwd=root, log=log)
    assert process.wait(PATIENCE_S) == 0
    gateway = eventually(lambda: pid_at(port, log))
    try:
        # gunicorn's own worker looks every second whether its parent is still the same, and ends if it is not.
        asked_s = time.monotonic()
        eventually(lambda: time.monotonic() > asked_s + 2.5)

        assert pid_at(port, log) == gateway
    finally:
        os.kill(gateway, signal.SIGTERM)
        forget(process)


def test_a_gateway_that_hangs_ends_and_says_where(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    argv = [sys.executable, "-c", _SERVER, str(port), f"hang_s={_HANG_S}"]
    process = spawn(argv, env=clean_environment(tmp_path), cwd=Path(__file__).parents[2], log=log)
    assert eventually(lambda: pid_at(port, log)) == process.pid
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /hang HTTP/1.1\r\nHost: gateway\r\n\r\n")

        assert process.wait(PATIENCE_S) == 1
        assert client.recv(1) == b"", "nothing was answered"
    forget(process)
    assert "in run_for_ever" in log.read_text()
