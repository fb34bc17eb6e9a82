"""A step that takes all memory that it gets, beside another step of the same worker."""

import os
from pathlib import Path

from tests.harness.cluster import Embedded

NEIGHBOUR = """\
steps:
  - name: wait
    script: until test -e {flag}; do sleep 0.05; done; echo lives
"""
ROOMY = """\
steps:
  - name: reserve
    command: {interpreter} -c "import mmap; mmap.mmap(-1, 8 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0)"
"""
"""Reserves 8 GiB and uses nothing of it, as Java and Chromium do."""
GREEDY = """\
steps:
  - name: take
    command: {interpreter} -c "held = [bytearray(1 << 20) for _ in range(1024)]"
"""


def test_a_greedy_step_fails_alone_and_says_why(
    open_folder: Path, program: Path, interpreter: str, unprivileged: int | None
) -> None:
    folder = open_folder / "greedy"
    folder.mkdir()
    if unprivileged is not None:
        os.chown(folder, unprivileged, unprivileged)
    flag = folder / "end"
    with Embedded(folder, user=unprivileged, env={"DAGWAY_STEP_MAX_MEMORY": "300m"}, program=program) as system:
        client = system.client
        client.create("neighbour", NEIGHBOUR.format(flag=flag))
        client.start("neighbour")
        client.until("running", "neighbour")

        client.create("roomy", ROOMY.format(interpreter=interpreter))
        client.start("roomy")
        client.until("succeeded", "roomy")

        client.create("greedy", GREEDY.format(interpreter=interpreter))
        client.start("greedy")

        error = client.until("failed", "greedy")["nodes"][0]["error"]
        assert "exit status 1 (probably out of memory, see DAGWAY_STEP_MAX_MEMORY)" in error
        assert "MemoryError" in error
        flag.touch()
        client.until("succeeded", "neighbour")
        assert client.text("neighbour", "r1", "wait").strip() == "lives"
