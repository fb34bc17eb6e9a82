"""Rows about executions again, limits, stops, queues and retried runs."""

from collections.abc import Callable
from itertools import pairwise

from shared.contracts import commands as c
from shared.store import tables as t
from tests.acceptance.world import Case, Seen, World
from tests.harness.eventually import eventually

__all__ = ["RUNS"]


def states(**expected: str) -> Callable[[Seen], None]:
    def check(seen: Seen) -> None:
        assert seen.states() == expected

    return check


def ran(seen: Seen) -> list[str]:
    """Return the handlers that ran, in the order they began."""
    rows = [row for row in seen.nodes.values() if row["kind"] == "handler" and row["started_at"] is not None]
    return [row["name"] for row in sorted(rows, key=lambda row: row["started_at"])]


def _a54(seen: Seen) -> None:
    assert seen.nodes["cmd_1"]["retry_count"] == 2
    assert seen.seconds("cmd_1") >= 2


def _a55(seen: Seen) -> None:
    assert seen.nodes["picky"]["retry_count"] == 0
    assert seen.nodes["grows"]["retry_count"] == 3
    assert seen.seconds("grows") >= 0.3 * (1 + 2 + 4)
    assert seen.nodes["text"]["retry_count"] == 1


def _a57(seen: Seen) -> None:
    assert seen.nodes["poll"]["done_count"] == 3
    assert seen.nodes["never"]["done_count"] == 3
    assert seen.nodes["never"]["status"] == "succeeded"


def _a58(seen: Seen) -> None:
    assert seen.nodes["cmd_1"]["done_count"] == 3
    assert seen.nodes["cmd_1"]["exit_code"] == 0


def _a59(seen: Seen) -> None:
    node = seen.nodes["cmd_1"]
    assert (node["exit_code"], node["retry_count"]) == (124, 0)
    assert "timed out" in node["error"]
    assert seen.seconds("cmd_1") < 8


def _a60(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "aborted", "cmd_2": "aborted"}
    assert ran(seen) == ["onFailure", "onExit"]


def _stop_when_running(world: World, case: Case) -> None:
    world.until_node(case, "cmd_1", "running")
    eventually(lambda: "ready" in world.seen(case).log("cmd_1"), timeout_s=30)
    world.stop(case)


def _a61(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "aborted", "cmd_2": "not_started"}
    assert ran(seen) == ["onCancel", "onExit"]


def _a62(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "aborted"}
    assert 2 <= seen.seconds("cmd_1") < 30


def _a63(seen: Seen) -> None:
    assert (seen.folder / "trapped").read_text() == "int\n"
    assert seen.states() == {"cmd_1": "aborted"}


def _a81_retry(world: World, case: Case) -> None:
    world.until(case, "failed")
    (world.dir(case) / "fixed").touch()
    world.must(c.RetryRun(dag_name=case.dag, dag_run_id=case.run_id))
    eventually(lambda: world.seen(case).run["run_attempt"] == 2)


def _a81(seen: Seen) -> None:
    assert seen.states() == {"a": "succeeded", "b": "succeeded", "after": "succeeded"}
    assert (seen.folder / "a").read_text() == "ran\n"
    assert seen.out("after") == "kept", (seen.out("after"), seen.nodes["a"]["outputs"])


def _a80_edit(world: World, case: Case) -> None:
    world.must(c.PutSpec(file_name=case.dag, spec="steps: [echo new]"))


def _a87(seen: Seen) -> None:
    rows = [seen.nodes[name] for name in seen.states()]
    for row in rows:
        others = [one for one in rows if one["started_at"] <= row["started_at"] < one["finished_at"]]
        assert len(others) <= 2


def _delay(seen: Seen) -> None:
    assert None not in [seen.nodes[name]["started_at"] for name in seen.states()], seen.nodes
    starts = sorted(seen.nodes[name]["started_at"] for name in seen.states())
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(starts)]
    assert min(gaps) > 0.8


def _a78(world: World, case: Case) -> None:
    for number in (2, 3):
        world.must(c.EnqueueRun(file_name=case.dag, dag_run_id=f"{case.run_id}-{number}"))


def _a78_check(seen: Seen) -> None:
    case = next(one for one in RUNS if one.row == "A78")
    runs = [seen.run, *(seen.world.until(case, run_id=f"{case.run_id}-{number}").run for number in (2, 3))]
    for earlier, later in pairwise(runs):
        assert earlier["finished_at"] <= later["started_at"]


def _a79(world: World, case: Case) -> None:
    world.must(c.EnqueueRun(file_name=case.dag, dag_run_id="second"))
    world.must(c.DequeueRun(dag_name=case.dag, dag_run_id="second"))
    (world.dir(case) / "go").touch()


def _a79_check(seen: Seen) -> None:
    assert seen.world.rows(t.dag_runs, dag_name=seen.run["dag_name"], dag_run_id="second") == []


def _a86(seen: Seen) -> None:
    (attempt,) = seen.world.rows(t.attempts, run_key=seen.run["run_key"])
    assert attempt["worker_id"] == "w2"


def _stop_repeat(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "succeeded"}


def _equal(found: object, expected: object) -> None:
    assert found == expected


RUNS = [
    Case(
        "A54",
        "retry",
        'steps: [{command: "echo x >> {dir}/count; test $(wc -l < {dir}/count) -ge 3", '
        "retryPolicy: {limit: 2, intervalSec: 1}}]",
        _a54,
        status="succeeded",
    ),
    Case(
        "A55",
        "retry by exit code, with growing waits, with numbers from the host",
        """
type: graph
steps:
  - {name: picky, command: exit 1, retryPolicy: {limit: 3, intervalSec: 0, exitCode: [9]}}
  - {name: grows, command: exit 1, retryPolicy: {limit: 3, intervalSec: 0.3, backoff: 2.0, maxIntervalSec: 60}}
  - {name: text, command: exit 1, retryPolicy: {limit: "${ACCEPTANCE_LIMIT}", intervalSec: "`echo 0`"}}
""",
        _a55,
        status="failed",
    ),
    Case(
        "A57",
        "repeat until",
        """
steps:
  - name: poll
    command: echo x >> {dir}/count; test $(wc -l < {dir}/count) -ge 3 && echo done || echo wait
    output: O
    repeatPolicy: {repeat: until, condition: "${O}", expected: done, limit: 9, intervalSec: 0}
  - name: never
    command: echo no
    output: N
    repeatPolicy:
      {repeat: until, condition: "${N}", expected: done, limit: 3, intervalSec: 0.1, backoff: 1.5, maxIntervalSec: 1}
""",
        _a57,
        status="succeeded",
    ),
    Case(
        "A58",
        "repeat while exit code",
        """
steps:
  - command: echo x >> {dir}/count; test $(wc -l < {dir}/count) -ge 3
    repeatPolicy: {repeat: while, exitCode: [1], intervalSec: 0}
""",
        _a58,
        status="succeeded",
    ),
    Case(
        "A59",
        "step timeout",
        "steps: [{command: sleep 20, timeoutSec: 1, retryPolicy: {limit: 3, intervalSec: 0}}]",
        _a59,
        status="failed",
    ),
    Case(
        "A60",
        "DAG timeout",
        "timeoutSec: 2\nsteps: [sleep 30, echo b]\nhandlerOn: {failure: {command: echo f}, exit: {command: echo e}}",
        _a60,
        status="failed",
    ),
    Case(
        "A61",
        "stop",
        "steps: [echo ready; sleep 60, echo b]\n"
        "handlerOn: {abort: {command: echo a}, exit: {command: echo e}, success: {command: echo s}}",
        _a61,
        meanwhile=_stop_when_running,
        status="aborted",
    ),
    Case(
        "A62",
        "stop escalation",
        """maxCleanUpTimeSec: 2\nsteps: ["trap '' TERM; echo ready; sleep 60; sleep 60"]""",
        _a62,
        meanwhile=_stop_when_running,
        status="aborted",
    ),
    Case(
        "A63",
        "signalOnStop",
        """
steps:
  - name: cmd_1
    signalOnStop: SIGINT
    script: |
      trap 'echo int > {dir}/trapped; exit 0' INT
      echo ready
      while :; do sleep 0.1; done
""",
        _a63,
        meanwhile=_stop_when_running,
        status="aborted",
    ),
    Case(
        "A61 repeat",
        "a stopped repetition ends its execution",
        'steps: [{command: "echo ready; sleep 2", repeatPolicy: {repeat: true, intervalSec: 30}}]',
        _stop_repeat,
        meanwhile=_stop_when_running,
        status="succeeded",
    ),
    Case("A78", "queue", "queue: q\nsteps: [sleep 0.3]", _a78_check, meanwhile=_a78, queued=True, status="succeeded"),
    Case(
        "A79",
        "dequeue",
        "steps: [while ! test -e {dir}/go; do sleep 0.1; done]",
        _a79_check,
        meanwhile=_a79,
        status="succeeded",
    ),
    Case(
        "A80",
        "snapshot",
        "steps: [sleep 1, echo old]",
        lambda seen: _equal(seen.out("cmd_2"), "old"),
        meanwhile=_a80_edit,
        queued=True,
        status="succeeded",
    ),
    Case(
        "A81",
        "retry run",
        """
steps:
  - {name: a, command: "echo ran >> {dir}/a; echo kept", output: A}
  - {name: b, command: test -e {dir}/fixed}
  - {name: after, command: "echo ${A}"}
""",
        _a81,
        meanwhile=_a81_retry,
        status="succeeded",
    ),
    Case("A86", "worker selector", 'workerSelector: {gpu: "true"}\nsteps: [echo x]', _a86, status="succeeded"),
    Case(
        "A87",
        "maxActiveSteps",
        "type: graph\nmaxActiveSteps: 2\nplacement: spread\nsteps: [sleep 1, sleep 1, sleep 1, sleep 1]",
        _a87,
        status="succeeded",
    ),
    Case(
        "T30",
        "delaySec",
        "type: graph\ndelaySec: 1\nplacement: spread\nsteps: [echo a, echo b, echo c]",
        _delay,
        status="succeeded",
    ),
]
