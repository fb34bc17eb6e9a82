"""Cases of retries, repetitions, limits, stops and queues."""

from datetime import timedelta
from itertools import pairwise

from shared.contracts import commands as c
from shared.store import tables as t
from tests.acceptance.world import Case, Seen, World, equal, mend_and_retry, ran
from tests.harness.eventually import eventually

__all__ = ["RUNS"]


def _retried_twice(seen: Seen) -> None:
    assert seen.nodes["cmd_1"]["retry_count"] == 2
    assert seen.seconds("cmd_1") >= 2


def _retry_waits_grow(seen: Seen) -> None:
    assert seen.nodes["picky"]["retry_count"] == 0
    assert seen.nodes["grows"]["retry_count"] == 3
    assert seen.seconds("grows") >= 0.3 * (1 + 2 + 4)
    assert seen.nodes["text"]["retry_count"] == 1


def _repeats_until(seen: Seen) -> None:
    assert seen.nodes["poll"]["done_count"] == 3
    assert seen.nodes["never"]["done_count"] == 3
    assert seen.nodes["never"]["status"] == "succeeded"


def _repeats_while_exit_code(seen: Seen) -> None:
    assert seen.nodes["cmd_1"]["done_count"] == 3
    assert seen.nodes["cmd_1"]["exit_code"] == 0


def _step_times_out(seen: Seen) -> None:
    node = seen.nodes["cmd_1"]
    assert (node["exit_code"], node["retry_count"]) == (124, 0)
    assert "timed out" in node["error"]


def _dag_times_out(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "aborted", "cmd_2": "aborted"}
    assert ran(seen) == ["onFailure", "onExit"]


def _stop_when_running(world: World, case: Case) -> None:
    world.until_node(case, "cmd_1", "running")
    eventually(lambda: "ready" in world.seen(case).log("cmd_1"))
    world.stop(case)


def _stop_and_let_end(world: World, case: Case) -> None:
    _stop_when_running(world, case)
    (world.dir(case) / "go").touch()


def _stop_runs_abort_handlers(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "aborted", "cmd_2": "not_started"}
    assert ran(seen) == ["onCancel", "onExit"]


def _stop_kills_after_clean_up_time(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "aborted"}
    assert seen.seconds("cmd_1") >= 2


def _stop_sends_its_signal(seen: Seen) -> None:
    assert (seen.folder / "trapped").read_text() == "int\n"
    assert seen.states() == {"cmd_1": "aborted"}


def _retry_keeps_what_succeeded(seen: Seen) -> None:
    assert seen.states() == {"a": "succeeded", "b": "succeeded", "after": "succeeded"}
    assert (seen.folder / "a").read_text() == "ran\n"
    assert seen.out("after") == "kept", (seen.out("after"), seen.nodes["a"]["outputs"])


def _edit_while_running(world: World, case: Case) -> None:
    world.must(c.PutSpec(file_name=case.dag, spec="steps: [echo new]"))


def _at_most_two_steps_at_once(seen: Seen) -> None:
    rows = [seen.nodes[name] for name in seen.states()]
    for row in rows:
        others = [one for one in rows if one["started_at"] <= row["started_at"] < one["finished_at"]]
        assert len(others) <= 2


def _delay(seen: Seen) -> None:
    # Not when they started: a worker on a busy machine may take longer for the first than for the second.
    rows = seen.world.rows(t.attempts, run_key=seen.run["run_key"])
    sent = sorted(row["dispatched_at"] for row in rows)
    assert len(sent) == 3
    assert [later - earlier >= timedelta(seconds=1) for earlier, later in pairwise(sent)] == [True, True]


def _enqueue_two_more(world: World, case: Case) -> None:
    for number in (2, 3):
        world.must(c.EnqueueRun(file_name=case.dag, dag_run_id=f"{case.run_id}-{number}"))


def _queued_runs_follow_each_other(seen: Seen) -> None:
    case = next(one for one in RUNS if one.row == "A78")
    runs = [seen.run, *(seen.world.until(case, run_id=f"{case.run_id}-{number}").run for number in (2, 3))]
    for earlier, later in pairwise(runs):
        assert earlier["finished_at"] <= later["started_at"]


def _enqueue_and_dequeue(world: World, case: Case) -> None:
    world.must(c.EnqueueRun(file_name=case.dag, dag_run_id="second"))
    world.must(c.DequeueRun(dag_name=case.dag, dag_run_id="second"))
    (world.dir(case) / "go").touch()


def _dequeued_run_is_gone(seen: Seen) -> None:
    assert seen.world.rows(t.dag_runs, dag_name=seen.run["dag_name"], dag_run_id="second") == []


def _selected_worker_runs_it(seen: Seen) -> None:
    (attempt,) = seen.world.rows(t.attempts, run_key=seen.run["run_key"])
    assert attempt["worker_id"] == "w2"


def _stop_repeat(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "succeeded"}


RUNS = [
    Case(
        "A54",
        "retry",
        'steps: [{command: "echo x >> {dir}/count; test $(wc -l < {dir}/count) -ge 3", '
        "retryPolicy: {limit: 2, intervalSec: 1}}]",
        _retried_twice,
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
        _retry_waits_grow,
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
        _repeats_until,
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
        _repeats_while_exit_code,
        status="succeeded",
    ),
    Case(
        "A59",
        "step timeout",
        "steps: [{command: sleep 600, timeoutSec: 1, retryPolicy: {limit: 3, intervalSec: 0}}]",
        _step_times_out,
        status="failed",
    ),
    Case(
        "A60",
        "DAG timeout",
        "timeoutSec: 2\nsteps: [sleep 600, echo b]\nhandlerOn: {failure: {command: echo f}, exit: {command: echo e}}",
        _dag_times_out,
        status="failed",
    ),
    Case(
        "A61",
        "stop",
        "steps: [echo ready; sleep 600, echo b]\n"
        "handlerOn: {abort: {command: echo a}, exit: {command: echo e}, success: {command: echo s}}",
        _stop_runs_abort_handlers,
        meanwhile=_stop_when_running,
        status="aborted",
    ),
    Case(
        "A62",
        "stop escalation",
        """maxCleanUpTimeSec: 2\nsteps: ["trap '' TERM; echo ready; sleep 600; sleep 600"]""",
        _stop_kills_after_clean_up_time,
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
        _stop_sends_its_signal,
        meanwhile=_stop_when_running,
        status="aborted",
    ),
    Case(
        "A61 repeat",
        "a stopped repetition ends its execution",
        'steps: [{command: "echo ready; until test -e {dir}/go; do sleep 0.1; done", '
        "repeatPolicy: {repeat: true, intervalSec: 30}}]",
        _stop_repeat,
        meanwhile=_stop_and_let_end,
        status="succeeded",
    ),
    Case(
        "A78",
        "queue",
        "queue: q\nsteps: [sleep 0.3]",
        _queued_runs_follow_each_other,
        meanwhile=_enqueue_two_more,
        queued=True,
        status="succeeded",
    ),
    Case(
        "A79",
        "dequeue",
        "steps: [while ! test -e {dir}/go; do sleep 0.1; done]",
        _dequeued_run_is_gone,
        meanwhile=_enqueue_and_dequeue,
        status="succeeded",
    ),
    Case(
        "A80",
        "snapshot",
        "steps: [sleep 1, echo old]",
        lambda seen: equal(seen.out("cmd_2"), "old"),
        meanwhile=_edit_while_running,
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
        _retry_keeps_what_succeeded,
        meanwhile=mend_and_retry,
        status="succeeded",
    ),
    Case(
        "A86",
        "worker selector",
        'workerSelector: {gpu: "true"}\nsteps: [echo x]',
        _selected_worker_runs_it,
        status="succeeded",
    ),
    Case(
        "A87",
        "maxActiveSteps",
        "type: graph\nmaxActiveSteps: 2\nplacement: spread\nsteps: [sleep 1, sleep 1, sleep 1, sleep 1]",
        _at_most_two_steps_at_once,
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
