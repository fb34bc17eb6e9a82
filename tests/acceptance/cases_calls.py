"""Cases of runs that call other runs."""

import json

from services.scheduler.core.children import child_run_id
from shared.store import tables as t
from tests.acceptance.world import Case, Seen, World, equal, mend_and_retry
from tests.harness.eventually import eventually

__all__ = ["CALLS"]

SUB = """
---
name: sub
params: [{K: none}]
steps:
  - {command: "echo got-${K}", output: X}
"""


def _local_dag_is_called(seen: Seen) -> None:
    (child,) = seen.children()
    assert (child.run["dag_name"], child.status) == ("sub", "succeeded")
    assert child.run["root_key"] == child.run["parent_key"] == seen.run["run_key"]


def _result_of_a_sub_run(seen: Seen) -> None:
    (child,) = seen.children()
    params = 'K="a value with \\"quotes\\""'
    assert child.run["dag_run_id"] == child_run_id(seen.run["dag_run_id"], "dag_1", params)
    assert seen.json("dag_1") == {
        "name": "sub",
        "dagRunId": child.run["dag_run_id"],
        "params": 'K=a value with "quotes"',
        "outputs": {"X": "got-a value with quotes"},
        "status": "succeeded",
    }
    assert seen.out("cmd_2") == "got-a value with quotes succeeded"


def _failed_sub_run_fails_its_step(seen: Seen) -> None:
    (child,) = seen.children()
    assert seen.states() == {"dag_1": "failed", "cmd_2": "aborted"}
    assert seen.nodes["dag_1"]["error"] == f"sub DAG run {child.run['dag_run_id']} failed with status: failed"


def _retry_finds_its_sub_run(seen: Seen) -> None:
    (child,) = seen.children()
    assert (child.run["run_attempt"], child.status) == (2, "succeeded")
    assert child.states() == {"cmd_1": "succeeded", "cmd_2": "succeeded"}
    assert (seen.folder / "once").read_text() == "x\n"


def _parallel_results_in_order(seen: Seen) -> None:
    assert len(seen.children()) == 2
    result = seen.json("parallel_1")
    assert result["summary"] == {"total": 2, "succeeded": 2, "failed": 0}
    assert result["outputs"] == [{"X": "got-a"}, {"X": "got-b"}]
    assert [result["params"] for result in result["results"]] == ["K=a", "K=b"]
    assert seen.out("cmd_2") == "got-b 0"


def _items_from_a_variable(seen: Seen) -> None:
    assert sorted(child.run["given"] for child in seen.children()) == ['P="x"', 'P="y"']
    assert seen.json("scan")["outputs"] == [{"X": "got-x"}, {"X": "got-y"}]


def _one_sub_run_at_a_time(seen: Seen) -> None:
    one, two = (child.run for child in seen.children())
    assert one["finished_at"] <= two["started_at"]


def _no_items_fails(seen: Seen) -> None:
    assert "requires at least one item" in seen.nodes["parallel_1"]["error"]


def _failed_item_fails_the_step(seen: Seen) -> None:
    result = seen.json("parallel_1")
    assert result["summary"] == {"total": 3, "succeeded": 2, "failed": 1}
    assert len(result["results"]) == 3
    assert len(result["outputs"]) == 2
    assert "1 sub dag(s) failed" in seen.nodes["parallel_1"]["error"]


def _stop_child(world: World, case: Case) -> None:
    def ready() -> None:
        children = world.seen(case).children()
        assert [child for child in children for grand in child.children() if "ready" in grand.log("cmd_1")]

    eventually(ready)
    world.stop(case)


def _stopped(seen: Seen) -> None:
    (child,) = seen.children()
    (grandchild,) = child.children()
    assert [one.status for one in (child, grandchild)] == ["aborted", "aborted"]
    assert grandchild.nodes["onExit"]["status"] == "succeeded"
    assert seen.states() == {"dag_1": "aborted"}
    assert grandchild.run["root_key"] == seen.run["run_key"]
    assert grandchild.run["parent_key"] == child.run["run_key"]


def _missing(seen: Seen) -> None:
    assert "there is no DAG 'nowhere'" in seen.nodes["dag_1"]["error"]
    assert seen.children() == []


def _deep(seen: Seen) -> None:
    below = seen.world.rows(t.dag_runs, root_key=seen.run["run_key"])
    assert len(below) == 31, len(below)
    assert {row["status"] for row in below} == {"failed"}


def _partial(seen: Seen) -> None:
    assert seen.states() == {"dag_1": "partially_succeeded", "cmd_2": "succeeded"}


def _timed(seen: Seen) -> None:
    (child,) = seen.children()
    assert (child.status, seen.states()) == ("aborted", {"dag_1": "aborted"})


def _by_file(seen: Seen) -> None:
    (child,) = seen.children()
    assert (child.run["dag_name"], child.run["file_name"]) == ("a01", "a01")


def _selector(seen: Seen) -> None:
    (child,) = seen.children()
    (attempt,) = seen.world.rows(t.attempts, run_key=child.run["run_key"])
    assert attempt["worker_id"] == "w2"


def _handler(seen: Seen) -> None:
    (child,) = seen.children()
    assert child.status == "succeeded"
    assert seen.nodes["onExit"]["status"] == "succeeded"


def _handlers_of_a_stop(seen: Seen) -> None:
    (child,) = seen.children()
    assert child.status == "succeeded"
    assert {name: seen.nodes[name]["status"] for name in ("onCancel", "onExit")} == dict.fromkeys(
        ("onCancel", "onExit"), "succeeded"
    )
    assert (seen.json("onCancel")["status"], seen.json("onCancel")["outputs"]) == ("succeeded", {"Y": "y"})


def _repeats(seen: Seen) -> None:
    assert len(seen.children()) == 3
    assert seen.nodes["dag_1"]["done_count"] == 3


def _file(seen: Seen) -> None:
    result = seen.json("first")
    assert (result["status"], result["outputs"]) == ("succeeded", {"X": "got-none"})
    assert json.loads(seen.out("read")) == json.loads((seen.folder / "copy.txt").read_text()) == result


def _until(seen: Seen) -> None:
    assert (len(seen.children()), seen.nodes["loop"]["done_count"]) == (3, 3)
    assert seen.out("after") == "3"


CALLS = [
    Case("A30", "multi-document", f"steps: [call: sub]{SUB}", _local_dag_is_called, status="succeeded"),
    Case(
        "A64",
        "call",
        f"""steps:
  - call: sub
    params: {{K: "a value with \\"quotes\\""}}
    output: R
  - command: printf '%s %s' '${{R.outputs.X}}' ${{R.status}}
    shell: direct
{SUB}""",
        _result_of_a_sub_run,
        status="succeeded",
    ),
    Case(
        "A64 failed",
        "a child that fails",
        "steps: [call: sub, echo x]\n---\nname: sub\nsteps: [exit 3]\n",
        _failed_sub_run_fails_its_step,
        status="failed",
    ),
    Case(
        "A65",
        "deterministic child ID",
        """
steps: [call: sub]
---
name: sub
steps: ["echo x >> {dir}/once", "test -e {dir}/fixed"]
""",
        _retry_finds_its_sub_run,
        meanwhile=mend_and_retry,
        status="succeeded",
    ),
    Case(
        "A66",
        "parallel static",
        f"""steps:
  - {{call: sub, parallel: [K=a, K=b, K=a], output: R}}
  - "echo ${{R.outputs[1].X}} ${{R.summary.failed}}"
{SUB}""",
        _parallel_results_in_order,
        status="succeeded",
    ),
    Case(
        "A67",
        "parallel dynamic",
        """
steps:
  - {command: 'echo ''["x","y"]''', output: L}
  - {name: scan, call: sub, parallel: "${L}", params: "P=${ITEM}"}
---
name: sub
params: P=none
steps: [{command: "echo got-${P}", output: X}]
""",
        _items_from_a_variable,
        status="succeeded",
    ),
    Case(
        "A67 maps",
        "parallel with maps as items",
        """
steps:
  - call: sub
    parallel: {items: [{P: x, Q: 1}, {P: y, Q: 2}]}
    params: "P=${ITEM.P}${ITEM.Q}"
---
name: sub
params: P=none
steps: [{command: "echo ${P}", output: X}]
""",
        lambda seen: equal(seen.json("parallel_1")["outputs"], [{"X": "x1"}, {"X": "y2"}]),
        status="succeeded",
    ),
    Case(
        "A68",
        "maxConcurrent",
        "steps: [{call: sub, parallel: {items: [a, b], maxConcurrent: 1}}]\n---\nname: sub\nsteps: [sleep 0.2]\n",
        _one_sub_run_at_a_time,
        status="succeeded",
    ),
    Case(
        "A68 empty",
        "no items",
        'params: L=\'[]\'\nsteps: [{command: "echo []", output: N}, {name: parallel_1, call: sub, parallel: "${N}"}]\n---\nname: sub\nsteps: [echo x]\n',  # noqa: E501 - a spec reads best in one piece
        _no_items_fails,
        status="failed",
    ),
    Case(
        "A69",
        "parallel failure",
        """
steps: [{call: sub, parallel: ["1", "2", "3"]}]
---
name: sub
steps: [{command: "echo $1; test $1 != 2", output: N}]
""",
        _failed_item_fails_the_step,
        status="failed",
    ),
    Case(
        "T stop",
        "a stop goes through the levels",
        """
steps: [call: middle]
---
name: middle
steps: [call: low]
---
name: low
handlerOn: {exit: {command: echo bye}}
steps: [echo ready; sleep 600]
""",
        _stopped,
        meanwhile=_stop_child,
        status="aborted",
    ),
    Case(
        "T call file",
        "the result of a call in its log file and its stdout file",
        f"""steps:
  - {{name: first, id: c, call: sub, stdout: {{dir}}/copy.txt}}
  - {{name: read, command: "cat ${{c.stdout}}"}}
{SUB}""",
        _file,
        status="succeeded",
    ),
    Case(
        "T call until",
        "a call repeated until its result is right",
        """
steps:
  - name: loop
    call: sub
    output: R
    repeatPolicy: {repeat: until, condition: "${R.outputs.N}", expected: "3", intervalSec: 0, limit: 9}
  - {name: after, command: "echo ${R.outputs.N}"}
---
name: sub
steps: [{command: "echo x >> {dir}/count; wc -l < {dir}/count", output: N}]
""",
        _until,
        status="succeeded",
    ),
    Case(
        "T call output",
        "a failed call forgiven for what its result says",
        """
steps:
  - {name: failing, call: sub, continueOn: {output: '"status": "failed"'}}
  - echo on
---
name: sub
steps: [exit 3]
""",
        lambda seen: equal(seen.states(), {"failing": "failed", "cmd_2": "succeeded"}),
        status="partially_succeeded",
    ),
    Case("T missing", "a dag that is not there", "steps: [call: nowhere]", _missing, status="failed"),
    Case(
        "T deep",
        "a dag that calls itself",
        "steps: [call: own]\n---\nname: own\nsteps: [call: own]\n",
        _deep,
        status="failed",
    ),
    Case(
        "T partial",
        "a child that partially succeeded",
        "steps: [call: sub, echo x]\n---\nname: sub\nsteps: [{command: exit 1, continueOn: failed}, echo y]\n",
        _partial,
        status="partially_succeeded",
    ),
    Case(
        "T timeout",
        "a time limit ends children too",
        "timeoutSec: 2\nsteps: [call: sub]\n---\nname: sub\nsteps: [sleep 600]\n",
        _timed,
        status="failed",
    ),
    Case("T file", "a dag of another file", "steps: [call: a01]", _by_file, status="succeeded"),
    Case(
        "T62",
        "the step's labels go before the child's",
        'steps: [{call: sub, workerSelector: {gpu: "true"}}]\n---\nname: sub\nsteps: [echo x]\n',
        _selector,
        status="succeeded",
    ),
    Case(
        "T handler",
        "a handler that calls",
        "steps: [echo x]\nhandlerOn: {exit: {call: sub}}\n---\nname: sub\nsteps: [echo y]\n",
        _handler,
        status="succeeded",
    ),
    Case(
        "T abort",
        "a handler of a run that stops calls too",
        "preconditions: 'false'\nsteps: [echo x]\n"
        "handlerOn: {abort: {call: sub, output: O}, exit: {command: echo $O}}\n"
        "---\nname: sub\nsteps: [{command: sleep 0.2; echo y, output: Y}]\n",
        _handlers_of_a_stop,
        status="aborted",
    ),
    Case(
        "T repeat",
        "a repeated call makes a child each time",
        "steps: [{call: sub, repeatPolicy: {repeat: true, limit: 3}}]\n---\nname: sub\nsteps: [echo y]\n",
        _repeats,
        status="succeeded",
    ),
]
