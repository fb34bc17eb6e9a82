"""The processes of the peers of ``bench.compare``."""

import os
import select
import subprocess

from bench.peers.running import stop
from tests.harness.cluster import descendants
from tests.harness.eventually import PATIENCE_S, eventually


def test_children_that_outlive_their_parent_are_ended_too() -> None:
    # Systems start each run in a session of its own, which their own end does not end.
    parent = subprocess.Popen(("sh", "-c", "setsid sleep 600 & wait"), text=True)
    eventually(lambda: any(descendants(parent.pid)))
    [child] = descendants(parent.pid)
    ended = os.pidfd_open(child)

    stop([parent])

    assert parent.returncode is not None
    assert select.select([ended], [], [], PATIENCE_S)[0], "the child still runs"
    os.close(ended)
