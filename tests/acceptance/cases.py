"""All acceptance cases: those that start a run, and those that are refused before a run exists."""

from dataclasses import dataclass

from tests.acceptance.cases_approval import APPROVALS
from tests.acceptance.cases_calls import CALLS
from tests.acceptance.cases_facts import FACTS
from tests.acceptance.cases_flow import FLOW
from tests.acceptance.cases_launch import LAUNCH
from tests.acceptance.cases_runs import RUNS
from tests.acceptance.cases_text import TEXT

__all__ = ["CASES", "ELSEWHERE", "REFUSED", "Refusal"]

CASES = [*FLOW, *RUNS, *TEXT, *FACTS, *LAUNCH, *CALLS, *APPROVALS]


@dataclass(frozen=True)
class Refusal:
    """A case whose spec must be refused with this error text."""

    row: str
    spec: str
    words: str


REFUSED = [
    Refusal("A03", 'name: "a b"', "alphanumeric characters, dashes, dots, and underscores"),
    Refusal("A03 long", f"name: {'a' * 41}", "less than 40 characters"),
    Refusal("A04", "stepz: []", "has invalid keys: stepz"),
    Refusal("A05", 'timeoutSec: "60"', "timeoutSec"),
    Refusal("A08", "type: agent", "reserved and not yet supported"),
    Refusal("A11", "steps: [{command: a, depends: nope}]", "depends on non-existent step nope"),
    Refusal(
        "A12",
        "type: graph\nsteps: [{name: a, command: a, depends: b}, {name: b, command: b, depends: a}]",
        "cyclic plan detected",
    ),
    Refusal("A13", "steps: [{name: a, command: a}, {name: a, command: b}]", "step name must be unique"),
    Refusal("A13 id", "steps: [{id: a, command: a}, {id: a, command: b}]", "duplicate step ID"),
    Refusal("A14", "steps: [{id: output, command: a}]", "reserved word"),
    Refusal("A15", "schedule: {begin: '0 1 * * *'}", "unknown key"),
    Refusal("A30", "steps: [call: sub]\n---\nsteps: [echo x]", "must have a name"),
    Refusal(
        "A37", "handlerOn: {abort: {command: a}, cancel: {command: b}}", "cannot specify both 'abort' and 'cancel'"
    ),
    Refusal(
        "A56", "steps: [{command: a, retryPolicy: {limit: 1}}]", "intervalSec is required when retryPolicy is specified"
    ),
    Refusal("A63", "steps: [{command: a, signalOnStop: SIGNOPE}]", "invalid signal"),
    Refusal("A68", "steps: [{call: a, parallel: []}]", "requires at least one item"),
    Refusal(
        "A89",
        "steps: [{command: GET http://x, type: http, executor: http}]",
        "cannot use both 'type' and 'executor' fields",
    ),
    Refusal(
        "A90", "steps: [{type: jq, shell: bash, command: .a, script: '{}'}]", "does not support shell configuration"
    ),
]

ELSEWHERE = {
    **dict.fromkeys(("A15", "A16", "A17", "A18", "A19", "A82"), "tests/acceptance/test_schedules.py"),
    "A29": "tests/acceptance/test_base_config.py",
    "A85": "tests/faults/test_embedded_crash.py::test_the_interrupted_step_fails_as_lost",
} | dict.fromkeys(("A70", "A71", "A72", "A73", "A74", "A75", "A88", "A91"), "tests/acceptance/test_executors.py")
"""Rows of the reference that other tests cover: the test's file, or the file and the test."""
