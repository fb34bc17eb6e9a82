"""Shared by all peers: the command of a step, and a client that reads from its input what to run."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

__all__ = ["PORT", "SLOW_POLL_S", "Wait", "serve", "spawn"]

PORT = "BENCH_PORT"
"""The variable that holds a free port, for the server of a peer that has one."""
SLOW_POLL_S = 0.05
"""The pause between polls where a run takes seconds: shorter ones would take the CPUs from the runs."""

_COMMAND = ("sh", "-e", "-c", "true")
_CLIENTS = 8
_POLL_S = 0.002
_POLL_LONG_S = 0.01

Wait = Callable[[float], None]
"""Waits until a part of a run has ended, polling with this pause in seconds, and raises if it failed."""


def spawn() -> None:
    """Run the command of a step as the floor does, and raise if it fails."""
    pid = os.posix_spawnp(_COMMAND[0], _COMMAND, os.environ)
    if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise RuntimeError(f"the step ended with {code}")


def serve(submit: Callable[[int, bool], Sequence[Wait]]) -> None:
    """Answer each line of standard input by a line when its runs have ended; return at its end.

    ``submit(steps, chain)`` starts a run and returns what waits for its end. Eight threads submit and wait.
    """
    # What the libraries print must not look like an answer.
    with os.fdopen(os.dup(1), "w") as answers, ThreadPoolExecutor(_CLIENTS) as clients:
        os.dup2(2, 1)
        for line in sys.stdin:
            asked = json.loads(line)
            steps, chain = asked["steps"], asked["chain"]
            poll_s = _POLL_S if steps == asked["runs"] == 1 else _POLL_LONG_S
            if asked["runs"] == 1:
                waits = list(submit(steps, chain))
            else:
                submitted = clients.map(lambda _, n=steps, c=chain: submit(n, c), range(asked["runs"]))
                waits = [wait for run in submitted for wait in run]
            list(clients.map(lambda wait, pause_s=poll_s: wait(pause_s), waits))
            answers.write("{}\n")
            answers.flush()
