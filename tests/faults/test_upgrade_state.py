"""An upgrade, undone and made again, while runs wait for everything that a run can wait for.

The last release begins runs, and both versions side by side begin others. The last release alone carries on half of
them, as after a rollback, and this version the rest. So each version reads the rows and words that the other stored.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from shared.store import tables as t
from shared.store.engine import transaction
from tests.faults.test_upgrade import FromRelease
from tests.harness.cluster import running
from tests.harness.eventually import eventually
from tests.harness.invariants import at_rest, violations
from tests.harness.servers import PostgresServer, RabbitServer

NOTE = "echo $DAG_RUN_ID >> {done}"
GO = "until test -e {go}; do sleep 0.1; done; " + NOTE


@dataclass(frozen=True, slots=True)
class Wait:
    """A DAG whose runs wait for the file ``{{go}}`` or for a request, ``end``.

    ``seen``: the statuses of its runs until then. ``written``: what each of them writes to the file ``{{done}}``.
    """

    spec: str
    seen: frozenset[str] = frozenset({"running"})
    begin: str = "start"
    end: str = ""
    end_body: dict[str, Any] = field(default_factory=dict)
    ended: str = "succeeded"
    written: tuple[str, ...] = ("{run}",)


WAITS = {
    "approval": Wait(
        "secrets: [{{name: TOKEN, provider: stored, key: token}}]\n"
        "steps:\n  - {{name: ask, type: hitl, config: {{input: [WHO]}}}}\n"
        "  - {{name: after, command: 'test $TOKEN = s3cret-word && echo $DAG_RUN_ID $WHO >> {done}'}}\n",
        seen=frozenset({"waiting"}),
        end="steps/ask/approve",
        end_body={"inputs": {"WHO": "Ann"}},
        written=("{run} Ann",),
    ),
    "queue": Wait(
        "queue: narrow-{half}\nsteps:\n  - {{name: one, command: '" + GO + "'}}\n",
        seen=frozenset({"running", "queued"}),
        begin="enqueue",
    ),
    "pause": Wait(
        "steps:\n  - {{name: one, command: '" + NOTE + "'}}\n",
        seen=frozenset({"queued"}),
        begin="enqueue",
    ),
    "pool": Wait("steps:\n  - {{name: one, pool: single-{half}, command: '" + GO + "'}}\n"),
    "retry": Wait(
        "steps:\n  - name: one\n    command: 'test -e {go} && " + NOTE + "'\n"
        "    retryPolicy: {{limit: 1000, intervalSec: 0.5, backoff: 1.5, maxIntervalSec: 2}}\n"
    ),
    "repeat": Wait(
        "steps:\n  - name: one\n    command: 'true'\n"
        "    repeatPolicy: {{repeat: until, condition: test -e {go}, intervalSec: 1}}\n"
        "  - {{name: two, command: '" + NOTE + "'}}\n"
    ),
    "calls": Wait(
        "steps:\n  - name: one\n    call: below\n    params: RUN=$DAG_RUN_ID ITEM=$ITEM\n"
        "    parallel: {{items: [x, y, z], maxConcurrent: 1}}\n"
        "---\nname: below\nparams: [RUN: none, ITEM: none]\nsteps:\n"
        "  - {{name: below, command: 'until test -e {go}; do sleep 0.1; done; echo $RUN $ITEM >> {done}'}}\n",
        written=("{run} x", "{run} y", "{run} z"),
    ),
    "failure": Wait(
        "steps:\n  - {{name: one, command: 'true'}}\n  - {{name: two, command: 'test -e {go} && " + NOTE + "'}}\n",
        seen=frozenset({"failed"}),
        end="retry",
    ),
    "stop": Wait(
        "steps:\n  - {{name: one, command: sleep 600}}\n",
        end="stop",
        ended="aborted",
        written=(),
    ),
}
HALVES = ("back", "on")
"""The runs that the last release carries on after a rollback, and those that this version carries on."""


@pytest.fixture
def system(servers: tuple[RabbitServer, PostgresServer], tmp_path: Path) -> Iterator[FromRelease]:
    with closing(FromRelease(tmp_path / "system", *running(*servers))) as prepared:
        yield prepared


def test_each_version_carries_on_what_the_other_began(system: FromRelease, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    begun: list[str] = []

    def send(method: str, path: str, body: dict[str, Any] | None = None) -> None:
        answer = system.client.settle(method, path, body, key=f"{method}:{path}:{len(begun)}:{body}".replace(" ", ""))
        assert answer.status < 300, answer

    def create(half: str) -> None:
        send("PUT", f"/queues/narrow-{half}", {"maxConcurrency": 1})
        for name, wait in WAITS.items():
            dag = f"{name}-{half}"
            system.client.create(dag, wait.spec.format(half=half, go=folder / half, done=folder / f"{dag}.done"))
        send("POST", f"/dags/pause-{half}/pause")

    def begin(*runs: str) -> None:
        """Begin these runs of every DAG, and wait until all wait."""
        for run in runs:
            for half in HALVES:
                for name, wait in WAITS.items():
                    send("POST", f"/dags/{name}-{half}/{wait.begin}", {"dagRunId": run})
            begun.append(run)
        eventually(all_wait)

    def statuses(half: str) -> dict[str, dict[str, str]]:
        runs = t.dag_runs.c
        with transaction(system.engine) as connection:
            # Not all columns: the last release does not know them all.
            rows = connection.execute(select(runs.dag_name, runs.dag_run_id, runs.status)).all()
        return {name: {run: status for dag, run, status in rows if dag == f"{name}-{half}"} for name in WAITS}

    def all_wait() -> None:
        for half in HALVES:
            assert {name: set(runs.values()) for name, runs in statuses(half).items()} == {
                name: wait.seen for name, wait in WAITS.items()
            }
        assert Counter(row["name"] for row in system.rows(t.pool_waits)) == {
            f"single-{half}": len(begun) - 1 for half in HALVES
        }

    def carry_on(half: str) -> None:
        (folder / half).touch()
        send("POST", f"/dags/pause-{half}/resume")
        for name, wait in WAITS.items():
            for run in begun if wait.end else ():
                body = wait.end_body or {"dagRunId": run}
                send("POST", f"/dag-runs/{name}-{half}/{run}/{wait.end}", body)
        wanted = {name: dict.fromkeys(begun, wait.ended) for name, wait in WAITS.items()}

        def ended() -> None:
            assert statuses(half) == wanted

        eventually(ended)
        for name, wait in WAITS.items():
            done = folder / f"{name}-{half}.done"
            lines = sorted(done.read_text().splitlines()) if done.exists() else []
            assert lines == sorted(line.format(run=run) for run in begun for line in wait.written)

    their_scheduler, their_gateway, _ = system.theirs
    our_scheduler, our_gateway, _ = system.ours
    system.start(*system.theirs)
    send("PUT", "/secrets/token", {"value": "s3cret-word"})
    for half in HALVES:
        create(half)
    begin("r1", "r2")

    system.migrate()
    system.start(*system.ours)
    begin("r3", "r4")

    assert [process.terminate() for process in (our_scheduler, our_gateway, their_scheduler)] == [0, 0, 0]
    system.start(their_scheduler)
    carry_on("back")

    system.start(our_scheduler, our_gateway)
    assert [process.terminate() for process in (their_scheduler, their_gateway)] == [0, 0]
    carry_on("on")

    eventually(lambda: at_rest(system.engine))
    assert violations(system.engine) == []
