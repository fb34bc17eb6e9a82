"""How steps are read: forms, names, edges, policies."""

from typing import Any

import pytest

from tests.unit.language.specs import dag_of, edges, step_of


def test_a_string_is_a_command_with_a_generated_name() -> None:
    step = step_of("echo 'a b'")

    assert (step.name, step.commands[0].text, step.commands[0].argv) == ("cmd_1", "echo 'a b'", ("echo", "a b"))


def test_generated_names_count_places_and_avoid_explicit_ones() -> None:
    text = """
steps:
  - echo
  - script: echo
  - {type: http, command: GET /}
  - {call: sub}
  - {call: sub, parallel: [a]}
  - - echo
    - echo
  - {container: {image: a}}
  - echo
  - {name: cmd_8, command: echo}
"""

    assert [step.name for step in dag_of(text).steps] == [
        "cmd_1", "script_2", "http_3", "dag_4", "parallel_5", "cmd_6", "cmd_7", "docker_7", "cmd_9", "cmd_8",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("head", "kind"),
    [("ssh: {user: u, host: h}", "ssh"), ("container: {image: a}", "container"), ("container: running", "container")],
)
def test_steps_that_a_dag_sends_elsewhere_are_named_for_where(head: str, kind: str) -> None:
    steps = "steps: [ls, {command: [a, b]}, {type: jq, command: .}, {call: sub}, {type: command, command: x}]"

    assert [step.name for step in dag_of(f"{head}\n{steps}").steps] == [
        f"{kind}_1", f"{kind}_2", "jq_3", "dag_4", "command_5",
    ]  # fmt: skip


def test_members_of_a_group_are_numbered_from_its_place() -> None:
    text = """
steps:
  - echo
  - [echo, {script: echo}, echo, {script: echo}]
  - {command: [echo, echo], script: ignored}
"""

    assert [step.name for step in dag_of(text).steps] == [
        "cmd_1", "cmd_2", "script_2", "cmd_3", "script_3", "script_4",
    ]  # fmt: skip


def test_a_chain_links_entries_and_groups() -> None:
    found = edges("""
steps:
  - {name: a, command: x}
  - - {name: b, command: x}
    - {name: c, command: x}
  - {name: d, command: x, depends: a}
  - {name: e, command: x}
  - {name: f, command: x, depends: []}
  - {name: g, command: x, depends: f}
""")

    assert found == {"a": (), "b": ("a",), "c": ("a",), "d": ("a", "b", "c"), "e": ("d",), "f": (), "g": ("f",)}


def test_a_graph_and_a_map_have_only_the_edges_written() -> None:
    assert edges("type: graph\nsteps: [{name: a, command: x}, [{name: b, command: x}], {name: c, command: x}]") == {
        "a": (),
        "b": (),
        "c": (),
    }
    assert edges("steps: {z: {command: x}, a: {command: x, depends: [z, z]}}") == {"z": (), "a": ("z",)}


def test_ids_in_depends_become_names() -> None:
    assert edges("type: graph\nsteps: [{name: long one, id: l, command: x}, {name: b, command: x, depends: [l]}]") == {
        "long one": (),
        "b": ("long one",),
    }


def test_numbers_in_depends_are_names() -> None:
    assert edges('type: graph\nsteps: [{name: "1", command: x}, {name: "2", command: x, depends: [1]}]') == {
        "1": (),
        "2": ("1",),
    }


def test_forty_bytes_of_cyrillic_are_a_legal_name() -> None:
    assert step_of(f"{{name: {'я' * 20}, command: a}}").name == "я" * 20


@pytest.mark.parametrize(
    ("text", "commands", "script"),
    [
        ("{command: [a b, 5, '', true]}", ["a b", "5", "true"], ""),
        ("{command: ' ls -l '}", ["ls -l"], ""),
        ('{command: "a\\nb\\n"}', [], "a\nb"),
        ('{command: "one line\\n"}', ["one line"], ""),
        ("{command: python3 -u, script: print(1)}", ["python3 -u"], "print(1)"),
        ("{command: [a, b], script: c}", ["a", "b"], ""),
        ("{script: '#!/bin/sh'}", [], "#!/bin/sh"),
    ],
)
def test_command_and_script_forms(text: str, commands: list[str], script: str) -> None:
    step = step_of(text)

    assert ([command.text for command in step.commands], step.script) == (commands, script)


@pytest.mark.parametrize(
    ("text", "above", "expected"),
    [
        ("{command: a}", "", ""),
        ("{command: a}", "container: {image: i}", "container"),
        ("{command: a}", "ssh: {host: h}", "ssh"),
        ("{command: a, container: {image: i}}", "ssh: {host: h}", "docker"),
        ("{executor: {type: http}, command: GET /}", "", "http"),
        ("{type: shell, command: a}", "container: {image: i}", "shell"),
        ("{call: a}", "", "dag"),
        ("{run: a}", "", "dag"),
        ("{call: a, executor: http}", "", "dag"),
        ("{call: a, type: subworkflow}", "", "subworkflow"),
        ("{call: a, parallel: '${L}'}", "", "parallel"),
    ],
)
def test_the_executor_type_is_inferred(text: str, above: str, expected: str) -> None:
    assert step_of(text, above).type == expected


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        ("{command: a, shell: bash -e}", "shell", ("bash", "-e")),
        ("{command: a, shell: [bash, -e]}", "shell", ("bash", "-e")),
        ("{command: a, shell: direct}", "shell", ("direct",)),
        ("{command: a, shell: []}", "shell", None),
        ("{command: a, dir: x}", "working_dir", "x"),
        ("{command: a, dir: x, workingDir: y}", "working_dir", "y"),
        ("{command: a, env: {A: 1.0, B: true, C: }}", "env", (("A", "1"), ("B", "true"), ("C", ""))),
        ("{command: a, env: [B=1=2, {A: 1e3, Z: 1.10}]}", "env", (("B", "1=2"), ("A", "1e3"), ("Z", "1.1"))),
        ("{command: a, timeoutSec: 0.5}", "timeout_sec", 0.5),
        ("{command: a, signalOnStop: SIGINT}", "signal_on_stop", "SIGINT"),
        ("{command: a, logOutput: Merged}", "log_output", "merged"),
        ("{call: a, params: {K: v, A: 3}}", "params", 'A="3" K="v"'),
        ("{call: a, params: {K: v, A: 3}}", "param_pairs", (("A", "3"), ("K", "v"))),
        ("{call: a, params: [x, K=v, {B: 'a\"b'}]}", "params", '"x" K="v" B="a\\"b"'),
        ("{call: a, params: 'K=v x'}", "params", 'K="v" "x"'),
        ("{call: a, params: 'K=v x'}", "param_pairs", (("K", "v"), ("2", "x"))),
        ("{call: a, params: '${ALL}'}", "params", "${ALL}"),
        ("{call: a, params: '${ALL}'}", "param_pairs", None),
        ("{call: a, workerSelector: {' gpu ': true}}", "worker_selector", {"gpu": "true"}),
        ("{type: http, command: GET /, config: {timeout: 5}}", "config", {"timeout": 5}),
        ("{command: a, preconditions: [b], precondition: {command: c, negate: true}}", "preconditions", "len 2"),
    ],
)
def test_step_fields_are_read(text: str, field: str, expected: object) -> None:
    found = getattr(step_of(text), field)

    assert (f"len {len(found)}" if expected == "len 2" else found) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("failed", {"failure": True}),
        ("Skipped", {"skipped": True}),
        ("{failed: true, markSuccess: true}", {"failure": True, "mark_success": True}),
        ("{exitCode: 3}", {"exit_code": (3,)}),
        ("{exitCode: [3, '4'], output: WARN}", {"exit_code": (3, 4), "output": ("WARN",)}),
    ],
)
def test_continue_on_forms(text: str, expected: dict[str, Any]) -> None:
    assert step_of(f"{{command: a, continueOn: {text}}}").continue_on.model_dump(exclude_defaults=True) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{limit: 2, intervalSec: 1}", (2, 1, 0)),
        ("{limit: '2', intervalSec: '${WAIT}', backoff: true}", (2, "${WAIT}", 2.0)),
        ("{limit: 2, intervalSec: 1, backoff: 2}", (2, 1, 2.0)),
        ("{limit: 2, intervalSec: 1, backoff: 0}", (2, 1, 0)),
    ],
)
def test_retry_policy_forms(text: str, expected: tuple[object, ...]) -> None:
    policy = step_of(f"{{command: a, retryPolicy: {text}}}").retry_policy

    assert policy is not None
    assert (policy.limit, policy.interval_sec, policy.backoff) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{repeat: true}", "while"),
        ("{repeat: until, condition: a, expected: b}", "until"),
        ("{condition: a, expected: b}", "until"),
        ("{condition: a}", "while"),
        ("{exitCode: [1]}", "while"),
        ("{repeat: false, condition: a}", "while"),
        ("{repeat: false}", None),
        ("{intervalSec: 1}", None),
    ],
)
def test_repeat_modes(text: str, expected: str | None) -> None:
    policy = step_of(f"{{command: a, repeatPolicy: {text}}}").repeat_policy

    assert (policy.repeat.value if policy else None) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'${L}'", {"variable": "${L}"}),
        ("[a, 5, {Z: true, A: x}]", {"items": ("a", "5", '{"A":"x","Z":"true"}')}),
        ("{items: [a], maxConcurrent: 2}", {"items": ("a",), "max_concurrent": 2}),
    ],
)
def test_parallel_forms(text: str, expected: dict[str, Any]) -> None:
    parallel = step_of(f"{{call: c, parallel: {text}}}").parallel

    assert parallel is not None
    assert parallel.model_dump(exclude_defaults=True) == expected
