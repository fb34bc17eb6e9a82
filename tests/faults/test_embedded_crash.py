"""``dagway up`` killed by SIGKILL and started again on the same data directory."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from shared.store import tables as t
from tests.faults.conftest import LEASE_S, attempts, error_of
from tests.harness.cluster import Embedded, descendants, gone, pid_in
from tests.harness.eventually import eventually
from tests.harness.invariants import at_rest, violations

LONG = """
steps:
  - name: long
    script: |
      echo try >> {folder}/tries
      echo $$ > {folder}/pid
      test "$(wc -l < {folder}/tries)" -ge 2 && exit 0
      sleep 600
{policy}
  - name: after
    command: echo after
"""
QUICK = "steps:\n  - name: one\n    command: echo 1\n  - name: two\n    command: echo 2\n"


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Embedded]:
    with Embedded(tmp_path / "up", lease_s=LEASE_S) as embedded:
        yield embedded


def crash_in_a_step(system: Embedded, folder: Path, policy: str) -> None:
    """Kill ``dagway up`` while a step runs, and start it again."""
    system.client.create("long", LONG.format(folder=folder, policy=policy))
    system.client.start("long")
    pid_in(folder / "pid")
    system.client.until_step("running", "long", "r1", "long")
    family = list(descendants(system.process.pid))
    system.kill9()
    eventually(lambda: [pid for pid in family if not gone(pid)] == [])
    system.start()


def test_the_interrupted_step_fails_as_lost(system: Embedded, tmp_path: Path) -> None:
    crash_in_a_step(system, tmp_path, "")

    run = system.client.until("failed", "long")
    assert system.client.steps("long") == {"long": "failed", "after": "aborted"}
    assert "was lost" in error_of(run, "long")
    assert attempts(system, "long") == [("long", 1, "lost", None)]
    assert (tmp_path / "tries").read_text() == "try\n"


def test_the_interrupted_step_is_tried_again_where_its_policy_says_so(system: Embedded, tmp_path: Path) -> None:
    crash_in_a_step(system, tmp_path, "    retryPolicy: {limit: 1, intervalSec: 0}")

    system.client.until("succeeded", "long")
    assert attempts(system, "long") == [
        ("long", 1, "lost", None),
        ("long", 2, "finished", "succeeded"),
        ("after", 1, "finished", "succeeded"),
    ]
    assert (tmp_path / "tries").read_text() == "try\ntry\n"


def test_dagway_ends_if_the_process_of_its_worker_does(system: Embedded, tmp_path: Path) -> None:
    system.client.create("long", LONG.format(folder=tmp_path, policy=""))
    system.client.start("long")
    pid_in(tmp_path / "pid")
    family = list(descendants(system.process.pid))
    worker = next(pid for pid in family if same_program(pid, system.process.pid))

    os.kill(worker, signal.SIGKILL)

    assert system.process.wait_exit() == 1
    assert "worker_process.died" in system.process.output()
    assert [pid for pid in family if not gone(pid)] == []


def same_program(pid: int, other: int) -> bool:
    """Return whether both processes were started with the same command line; a process that has ended was not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes() == Path(f"/proc/{other}/cmdline").read_bytes()
    return False


def test_what_was_accepted_is_not_lost(system: Embedded) -> None:
    client = system.client
    client.create("accepted", QUICK.replace("echo 1", "echo 1\n    retryPolicy: {limit: 3, intervalSec: 0}"))
    client.create("queued", QUICK.replace("echo 1", "sleep 0.3\n    retryPolicy: {limit: 3, intervalSec: 0}"))
    for number in range(5):
        client.ask("POST", "/dags/queued/enqueue", {"dagRunId": f"q{number}"})
    for number in range(15):
        client.start("accepted", f"n{number}")

    system.kill9()
    system.start()

    eventually(lambda: at_rest(system.engine))
    names = {row["dag_run_id"] for row in system.rows(t.dag_runs)}
    assert names == {f"q{number}" for number in range(5)} | {f"n{number}" for number in range(15)}
    assert violations(system.engine) == []
    for row in system.rows(t.dag_runs):
        finished = [done[0] for done in attempts(system, row["dag_name"], row["dag_run_id"]) if done[3] == "succeeded"]
        lost = [done for done in attempts(system, row["dag_name"], row["dag_run_id"]) if done[2] == "lost"]
        if row["status"] == "succeeded":
            assert finished == ["one", "two"]
        else:
            # Only the second step has no retries: it may have been the one interrupted.
            assert (row["status"], [name for name, *_ in lost][-1]) == ("failed", "two")


def test_crash_after_crash_loses_nothing(system: Embedded) -> None:
    client = system.client
    client.create("crashed", QUICK.replace("echo 1", "echo 1\n    retryPolicy: {limit: 9, intervalSec: 0}"))
    for number in range(5):
        body = {"dagRunId": f"n{number}"}
        assert client.ask("POST", "/dags/crashed/start", body, key=f"key-{number}").status == 200
        system.kill9()
        system.start()
        assert client.ask("POST", "/dags/crashed/start", body, key=f"key-{number}").status == 200

    eventually(lambda: at_rest(system.engine))
    assert len(system.rows(t.dag_runs)) == 5
    assert violations(system.engine, commands=[f"key-{number}" for number in range(5)]) == []
    # The worker's processes ended because their parents had died, which is no fault of theirs.
    assert "worker_process.crashed" not in system.process.output()
