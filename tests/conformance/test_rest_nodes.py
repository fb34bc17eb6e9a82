"""The nodes of a finished run: counts, times, and the conditions that were not met."""

from typing import Any

from tests.conformance.rest_live import Live

SKIPS = """\
steps:
  - name: cond
    command: echo x
    preconditions:
      - {condition: abc, expected: def}
      - {condition: abc, expected: abc}
      - test -f /nowhere
  - name: unwanted
    command: echo x
    depends: []
    preconditions: [{condition: "true", negate: true}]
  - name: unclear
    command: echo x
    depends: []
    preconditions:
      - {condition: "`exit 3`", expected: b}
      - exit 7
  - name: after
    command: echo after
    depends: cond
"""
FAILS = """\
steps:
  - name: flaky
    command: exit 4
    retryPolicy: {limit: 2, intervalSec: 0}
  - name: never
    command: echo never
handlerOn:
  failure: {command: echo sorry}
"""
REPEATS = """\
steps:
  - name: again
    command: echo again
    repeatPolicy: {repeat: while, condition: "true", limit: 3, intervalSec: 0}
"""
UNWANTED = """\
preconditions:
  - {condition: abc, expected: def}
  - "true"
  - "false"
steps:
  - name: a
    command: echo a
"""


def ended(live: Live, spec: str, name: str, status: int) -> tuple[dict[str, Any], dict[str, Any]]:
    live.dag(name, spec)
    found = live.until(name, live.start(name), status)
    return found, {node["step"]["name"]: node for node in found["nodes"]}


def errors(conditions: list[dict[str, Any]]) -> list[str | None]:
    return [each.get("error") for each in conditions]


def test_a_skipped_step_gives_the_reason_of_each_condition(live: Live) -> None:
    found, nodes = ended(live, SKIPS, "skips", 4)

    assert errors(nodes["cond"]["step"]["preconditions"]) == [
        'condition was not met: expected "def", got "abc"',
        "other condition was not met",
        "condition was not met: exit status 1",
    ]
    assert errors(nodes["unwanted"]["step"]["preconditions"]) == [
        "condition was not met: condition matched but negate is true"
    ]
    unclear = errors(nodes["unclear"]["step"]["preconditions"])
    assert unclear == ["back-quoted command `exit 3` failed: exit status 3", "condition was not met: exit status 7"]
    assert (nodes["unclear"]["error"], "error" in nodes["cond"]) == (unclear[0], False)
    assert [nodes[name]["doneCount"] for name in ("cond", "unwanted", "after")] == [0, 0, 0]
    assert nodes["cond"]["finishedAt"]
    assert (nodes["after"]["status"], nodes["after"]["startedAt"], nodes["after"]["finishedAt"]) == (5, "", "")
    assert "error" not in live.get("/dags/skips")["dag"]["steps"][0]["preconditions"][0]
    again = live.get("/dags/skips/dag-runs")["dagRuns"][0]
    assert again["nodes"] == found["nodes"]


def test_a_run_with_unmet_preconditions_gives_the_reason_of_each(live: Live) -> None:
    found, nodes = ended(live, UNWANTED, "unwanted", 3)

    assert errors(found["preconditions"]) == [
        'condition was not met: expected "def", got "abc"',
        "other condition was not met",
        "condition was not met: exit status 1",
    ]
    assert (nodes["a"]["status"], nodes["a"]["finishedAt"]) == (0, "")


def test_all_tries_of_a_step_are_one_execution_and_handlers_are_not_counted(live: Live) -> None:
    found, nodes = ended(live, FAILS, "fails", 2)

    assert (nodes["flaky"]["retryCount"], nodes["flaky"]["doneCount"]) == (2, 1)
    assert (nodes["never"]["status"], nodes["never"]["doneCount"], nodes["never"]["finishedAt"]) == (3, 0, "")
    assert (found["onFailure"]["status"], found["onFailure"]["doneCount"]) == (4, 0)


def test_each_repetition_of_a_step_is_counted(live: Live) -> None:
    _, nodes = ended(live, REPEATS, "repeats", 4)

    assert nodes["again"]["doneCount"] == 3


def test_the_parameters_beside_the_outputs_are_a_json_list_or_nothing(live: Live) -> None:
    for name, params, text in (("with", 'params: {A: "1", B: "x y"}\n', '["A=1","B=x y"]'), ("without", "", "")):
        live.dag(name, f"{params}steps:\n  - name: a\n    command: echo hi\n    output: OUT\n")
        run_id = live.start(name)
        live.until(name, run_id, 4)
        assert live.get(f"/dag-runs/{name}/{run_id}/outputs")["metadata"]["params"] == text


def test_sub_runs_of_earlier_repetitions_are_listed_separately(live: Live) -> None:
    live.dag("kid", "params: WHO=x\nsteps:\n  - name: k\n    command: echo ${WHO}\n")
    spec = (
        "steps:\n  - name: loop\n    call: kid\n    parallel: [a, b]\n    params: WHO=${ITEM}\n"
        '    repeatPolicy: {repeat: while, condition: "true", limit: 2, intervalSec: 0}\n'
        "  - name: once\n    call: kid\n    params: WHO=last\n"
    )
    found, nodes = ended(live, spec, "loops", 4)

    loop, once = nodes["loop"], nodes["once"]
    params = ['WHO="a"', 'WHO="b"']
    assert (
        [each["params"] for each in loop["subRuns"]] == [each["params"] for each in loop["subRunsRepeated"]] == params
    )
    assert (len(once["subRuns"]), once["subRunsRepeated"]) == (1, [])
    wanted = [*loop["subRuns"], *loop["subRunsRepeated"], *once["subRuns"]]
    assert len({each["dagRunId"] for each in wanted}) == 5
    listed = live.get(f"/dag-runs/loops/{found['dagRunId']}/sub-dag-runs")["subRuns"]
    assert [(each["dagRunId"], each["params"]) for each in listed] == [
        (each["dagRunId"], each["params"]) for each in wanted
    ]
    # Only the details of a run count attempts.
    assert [node.pop("attemptCount", 1) for node in found["nodes"]] == [4, 1]
    assert live.get("/dags/loops/dag-runs")["dagRuns"][0]["nodes"] == found["nodes"]


def test_a_run_that_could_not_be_called_is_not_shown_as_called(live: Live) -> None:
    found, nodes = ended(live, "steps:\n  - name: lost\n    call: nowhere\n", "calls-nothing", 2)

    assert nodes["lost"]["subRuns"] == []
    assert "nowhere" in nodes["lost"]["error"]
    assert live.get(f"/dag-runs/calls-nothing/{found['dagRunId']}/sub-dag-runs")["subRuns"] == []


def test_commands_of_a_run_show_its_values(live: Live) -> None:
    spec = (
        "params: {WHO: world, N: 5}\nenv: {HIDDEN: h}\nsteps:\n"
        "  - {name: says, command: 'echo \"hello ${WHO}\" $N $HIDDEN', output: SAID}\n"
        "  - {name: repeats, script: 'echo $SAID ${N}'}\n"
        "  - {name: fails, command: 'test ${WHO} = x'}\n"
        "  - {name: never, command: 'echo ${WHO}'}\n"
    )
    _, nodes = ended(live, spec, "values", 2)

    steps = {name: node["step"] for name, node in nodes.items()}
    assert steps["says"]["commands"] == [{"command": "echo", "args": ["hello world", "5", "$HIDDEN"]}]
    assert steps["repeats"]["script"].strip() == "echo hello world 5 h 5"
    assert steps["fails"]["commands"][0]["args"] == ["world", "=", "x"]
    assert steps["never"]["commands"][0]["args"] == ["${WHO}"]
    defined = live.get("/dags/values")["dag"]["steps"]
    assert defined[0]["commands"][0]["args"] == ["hello ${WHO}", "$N", "$HIDDEN"]
