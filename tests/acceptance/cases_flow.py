"""Cases of the order of steps, the failures of steps, and handlers."""

from tests.acceptance.world import Case, Seen, ran, states

__all__ = ["FLOW"]

HANDLERS = """
handlerOn:
  init: {command: echo init-$DAG_RUN_STATUS}
  success: {command: echo success-$DAG_RUN_STATUS}
  failure: {command: echo failure-$DAG_RUN_STATUS}
  abort: {command: echo abort-$DAG_RUN_STATUS}
  exit: {command: echo exit-$DAG_RUN_STATUS}
  wait: {command: echo waiting}
"""


def _prints_its_output(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "succeeded"}
    assert seen.log("cmd_1") == "hi\n"


def _failure_aborts_what_follows(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "failed", "cmd_2": "aborted"}
    assert seen.nodes["cmd_2"]["error"] == "upstream failed"


def _group_members_overlap(seen: Seen) -> None:
    one, two, after = seen.nodes["one"], seen.nodes["two"], seen.nodes["after"]
    assert one["started_at"] < two["finished_at"]
    assert two["started_at"] < one["finished_at"]
    assert after["started_at"] >= max(one["finished_at"], two["finished_at"])


def _starts_without_waiting(seen: Seen) -> None:
    assert seen.nodes["free"]["started_at"] < seen.nodes["first"]["finished_at"]


def _dag_precondition_aborts_the_run(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "not_started"}
    assert ran(seen) == ["onCancel", "onExit"]


def _handlers_of_success_run(seen: Seen) -> None:
    assert ran(seen) == ["onInit", "onSuccess", "onExit"]
    assert seen.out("onInit") == "init-running"
    assert seen.out("onExit") == "exit-succeeded"


def _failed_init_aborts_the_run(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "not_started"}
    assert ran(seen) == ["onInit", "onCancel", "onExit"]


def _mark(seen: Seen) -> None:
    assert seen.states() == {"cmd_1": "succeeded", "cmd_2": "succeeded"}


FLOW = [
    Case("A01", "minimal DAG", "steps: [echo hi]", _prints_its_output, status="succeeded"),
    Case("A02", "empty DAG", "description: nothing", states(), status="succeeded"),
    Case("A06", "chain default", "steps: [exit 1, echo b]", _failure_aborts_what_follows, status="failed"),
    Case(
        "A07",
        "graph",
        "type: graph\nsteps: [exit 1, echo b]",
        states(cmd_1="failed", cmd_2="succeeded"),
        status="failed",
    ),
    Case(
        "A09",
        "parallel group",
        """
steps:
  - - {name: one, command: 'touch {dir}/one; until test -e {dir}/two; do sleep 0.05; done'}
    - {name: two, command: 'touch {dir}/two; until test -e {dir}/one; do sleep 0.05; done'}
  - {name: after, command: echo x}
""",
        _group_members_overlap,
        status="succeeded",
    ),
    Case(
        "A10",
        "explicit no deps",
        """
placement: spread
steps:
  - {name: first, command: 'until test -e {dir}/free; do sleep 0.05; done'}
  - {name: second, command: "true"}
  - {name: free, command: 'touch {dir}/free', depends: []}
""",
        _starts_without_waiting,
        status="succeeded",
    ),
    Case(
        "A33",
        "precondition command on the DAG",
        f"preconditions: test -d {{dir}}/nope\nsteps: [echo never]{HANDLERS}",
        _dag_precondition_aborts_the_run,
        status="aborted",
    ),
    Case("A34", "handlers", f"steps: [echo x]{HANDLERS}", _handlers_of_success_run, status="succeeded"),
    Case(
        "A35",
        "handler failure",
        "steps: [echo x]\nhandlerOn: {exit: {command: exit 1}}",
        states(cmd_1="succeeded"),
        status="failed",
    ),
    Case(
        "A36",
        "init failure",
        "steps: [echo x]\nhandlerOn: {init: {command: exit 1}, abort: {command: echo a}, exit: {command: echo e}}",
        _failed_init_aborts_the_run,
        status="aborted",
    ),
    Case(
        "A51",
        "continueOn",
        "steps: [{command: exit 1, continueOn: failed}, echo b]",
        states(cmd_1="failed", cmd_2="succeeded"),
        status="partially_succeeded",
    ),
    Case(
        "A51 mark",
        "continueOn with markSuccess",
        "steps: [{command: exit 1, continueOn: {failure: true, markSuccess: true}}, echo b]",
        _mark,
        status="succeeded",
    ),
    Case(
        "A52",
        "continueOn exit code that does not match",
        "steps: [{command: exit 4, continueOn: {exitCode: [3]}}, echo b]",
        states(cmd_1="failed", cmd_2="aborted"),
        status="failed",
    ),
    Case(
        "A52 output",
        "continueOn output, in a later attempt's log too",
        r"""
steps:
  - command: "echo WARN x; exit 4"
    continueOn: {output: "re:^[[:upper:]]+ (?i)X"}
    retryPolicy: {limit: 1, intervalSec: 0}
  - echo b
""",
        states(cmd_1="failed", cmd_2="succeeded"),
        status="partially_succeeded",
    ),
    Case(
        "A52 silent",
        "continueOn output that was not printed",
        'steps: [{command: "echo fine; exit 4", continueOn: {output: ["re:^WARN", "re:["]}}, echo b]',
        states(cmd_1="failed", cmd_2="aborted"),
        status="failed",
    ),
    Case(
        "A53",
        "continueOn skipped",
        'steps: [{command: echo a, preconditions: "false", continueOn: skipped}, echo b]',
        states(cmd_1="skipped", cmd_2="succeeded"),
        status="succeeded",
    ),
]
