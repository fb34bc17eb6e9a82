"""jq filters in references, such as ``${OUT.items | length}``, through a real worker and a real child process."""

import json
from typing import Any

import pytest

from services.worker.attempt import policies
from services.worker.process import jq_filter
from shared.language.model import Condition, Dag, RepeatMode, RepeatPolicy, Step, StepCommand
from tests.harness.worker_rig import Rig, command, task

VALUE = {
    "arr": [3, 1, 2],
    "n": 5,
    "s": "it's $(id) `id`",
    "o": {"z": 1, "a": [2]},
    "rows": [{"name": "x", "v": 1}, {"name": "y", "v": 20}],
}


def shown(rig: Rig, text: str, **more: Any) -> str:
    """Return what a step prints whose command has ``text`` between double quotes."""
    step = Step(name="s", commands=(StepCommand(text=f'printf %s "<{text}>"'),), **more)
    finished = rig.run(task(step, outputs=(("OUT", json.dumps(VALUE)),)))
    assert finished.outcome == "succeeded", finished.error
    return rig.log(finished, "stdout").decode()[1:-1]


def test_a_filter_in_a_command_gives_its_first_result(rig: Rig) -> None:
    cases = {
        "${OUT.arr | length}": "3",
        '${OUT.arr|map(tostring)|join(",")}': "3,1,2",
        "${OUT.rows[] | select(.v > 10) | .name}": "y",
        '${OUT.nope // "none"}': "none",
        "${OUT.n-1} ${OUT.n / 2} ${OUT.n * 1000000}": "4 2.5 5000000",
        "${OUT.arr | length as $x | $x}": "3",
        "${OUT.o | to_entries | map(.key)}": '["a","z"]',
        "${OUT.nope | .x}": "",
        "${OUT.s | .}": "it's $(id) `id`",
        "${OUT.arr | env | length} ${OUT.arr | $ENV.PATH}": "0 ",
        "${OUT.arr | range(1e12)}": "0",
    }
    assert {text: shown(rig, text) for text in cases} == cases


def test_a_filter_in_env_is_evaluated_too(rig: Rig) -> None:
    env = (("N", "${OUT.arr | length}"), ("BAD", "${OUT.arr | nosuch}"))
    assert shown(rig, "$N $BAD", env=env) == "3 "


def test_a_filter_that_fails_stays_for_the_shell(rig: Rig) -> None:
    step = Step(name="s", script="cat <<'E'\n${OUT.n | error}${OUT.n ? 1 : 2}\nE\n")
    finished = rig.run(task(step, outputs=(("OUT", json.dumps(VALUE)),)))
    assert rig.log(finished, "stdout") == b"${OUT.n | error}${OUT.n ? 1 : 2}\n"


def test_an_endless_filter_fails_the_step(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jq_filter, "CPU_S", 0.0)
    step = Step(name="s", commands=(StepCommand(text="echo ${OUT.n | last(range(1e12))}"),))
    finished = rig.run(task(step, outputs=(("OUT", json.dumps(VALUE)),)))
    assert (finished.outcome, "jq exceeded a limit" in finished.error) == ("broken", True), finished.error
    assert "last(range(1e12))" in finished.error


def test_a_worker_without_jq_says_what_to_install(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jq_filter, "find_spec", lambda _name: None)
    step = Step(name="s", commands=(StepCommand(text="echo ${OUT.n | floor}"),))
    finished = rig.run(task(step, outputs=(("OUT", json.dumps(VALUE)),)))
    assert (finished.outcome, "pip install" in finished.error) == ("broken", True), finished.error
    assert shown(rig, "${OUT.not-there}") == ""


def test_a_step_whose_time_is_over_starts_no_run_with_half_of_its_values(rig: Rig) -> None:
    step = Step(name="s", call="child", param_pairs=(("N", "${OUT.arr | last(range(1e12))}"),))
    finished = rig.run(task(step, outputs=(("OUT", json.dumps(VALUE)),), timeout_s=0.5))
    assert (finished.outcome, finished.children) == ("timed_out", ())


def test_a_run_whose_time_is_over_has_no_values_yet(rig: Rig) -> None:
    dag = Dag(name="d", env=(("J", "[1]"), ("N", "${J.[0] | last(range(1e12))}")))
    options = {"prepare": {"dag": dag.model_dump(mode="json"), "given": ""}}
    finished = rig.run(task(command(), kind="prepare", options=options, timeout_s=0.5))
    assert (finished.outcome, finished.outputs) == ("timed_out", {})


def test_a_filter_counts_in_a_condition_after_the_time_of_the_step(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # A process might need longer than this step has.
    monkeypatch.setattr(policies, "run_filter_in", lambda _supervisor: lambda _given, _text: "5")
    policy = RepeatPolicy(repeat=RepeatMode.UNTIL, condition=Condition(condition="${OUT.n | floor}", expected="5"))
    step = command("sleep 60", repeat_policy=policy)
    finished = rig.run(task(step, outputs=(("OUT", json.dumps(VALUE)),), timeout_s=0.5))
    assert (finished.outcome, finished.repeat_condition_met) == ("timed_out", True)


def test_a_step_does_not_run_in_another_folder_because_a_filter_is_in_its_name(rig: Rig) -> None:
    env = (("CFG", '{"dirs": ["sub"]}'),)
    finished = rig.run(task(command("pwd", working_dir="${CFG.dirs | first}"), env=env))
    assert rig.log(finished, "stdout").decode().strip().endswith("/${CFG.dirs | first}")
