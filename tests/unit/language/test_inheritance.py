"""A base configuration and a document: for each field, which one wins, or how they are merged."""

import pytest

from shared.language.expansion.resolve import resolve_params
from shared.language.load import load
from shared.language.model import Dag, Handler


def under(base: str, child: str) -> Dag:
    loaded = load(child, file_name="kid.yaml", base=base)
    assert loaded.errors == []
    assert loaded.dag is not None
    return loaded.dag


@pytest.mark.parametrize(
    ("base", "child", "attribute", "expected"),
    [
        ("env: [A=1, B=2]", "env: [B=3]", "env", (("A", "1"), ("B", "2"), ("B", "3"))),
        ("env: {A: 1}", "env: {B: 2}", "env", (("A", "1"), ("B", "2"))),
        # An empty list adds nothing, and takes nothing away.
        ("env: [A=1]", "env: []", "env", (("A", "1"),)),
        ("tags: a", "tags: []", "tags", ("a",)),
        ("tags: [a]", "tags: b", "tags", ("a", "b")),
        ("dotenv: [a]", "dotenv: []", "dotenv", (".env", "a")),
        ("dotenv: []", "name: kid", "dotenv", ()),
        ("name: base", "queue: q", "name", "kid"),
        ("histRetentionDays: 77", "histRetentionDays: 0", "hist_retention_days", 77),
        ("skipIfSuccessful: true", "skipIfSuccessful: false", "skip_if_successful", True),
        ("description: d", "description: ''", "description", "d"),
        ("preconditions: a", "preconditions: []", "preconditions", "a"),
        ("preconditions: a", "precondition: b", "preconditions", "b"),
        ("precondition: a", "preconditions: [b]", "preconditions", "b"),
        ("preconditions: a", "precondition: ''", "preconditions", "a"),
        ("type: graph", "steps: []", "type", "graph"),
    ],
)
def test_which_of_base_and_document_wins(base: str, child: str, attribute: str, expected: object) -> None:
    found = getattr(under(base, child), attribute)

    assert ([each.condition for each in found] if attribute == "preconditions" else found) == (
        [expected] if attribute == "preconditions" else expected
    )


def test_parameters_of_base_and_document_are_joined() -> None:
    dag = under("params: A=1 B=2", "params: []")

    assert [(param.name, param.value) for param in dag.params] == [("A", "1"), ("B", "2")]


def test_positional_parameters_count_within_their_own_document() -> None:
    dag = under('params: "a b"', 'params: "c K=v d"')

    assert [(param.name, param.value) for param in dag.params] == [
        ("1", "a"),
        ("2", "b"),
        ("1", "c"),
        ("K", "v"),
        ("3", "d"),
    ]
    assert resolve_params(dag)[0] == (("1", "c"), ("2", "b"), ("K", "v"), ("3", "d"))


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("queue: q\ntimeoutSec: soon\n", "line 2, column 1: timeoutSec: expected a number"),
        ("env: 3\n", "line 1, column 6: env[0]: "),
        ("env:\n  - A=1\n  - {'': 1}\n", "line 3, column 6: env[1]: "),
        ("handlerOn:\n  exit:\n    comand: x\n", "line 3, column 5: handlerOn.exit: has invalid keys: comand"),
        ("smtp:\n  host: [a]\n", "line 2, column 3: smtp.host: "),
        ("queue: a: b\n", "line 1, column 9: invalid YAML: "),
        ("queue: a\nqueue: b\n", 'line 2, column 1: duplicate key "queue"'),
        ("- a\n", "line 1, column 1: the base configuration must be a map of fields"),
    ],
)
def test_a_problem_in_the_base_configuration_names_it(base: str, expected: str) -> None:
    """The line numbers of the base configuration do not apply to the file."""
    errors = [str(issue) for issue in load("\n\nenv: [A=1]\nsmtp: {port: '25'}\n", base=base, file_name="kid").errors]

    assert any(error.startswith(f"base configuration: {expected}") for error in errors), errors
    assert not [error for error in errors if not error.startswith("base configuration: ")]


def test_a_problem_in_the_file_names_no_base_configuration() -> None:
    errors = load("env:\n  - [A]\n", base="env: [B=1]\ntags: {a: 1}\n", file_name="kid").errors

    assert [(issue.source, issue.line) for issue in errors] == [("", 2), ("base configuration", 2)]


@pytest.mark.parametrize("name", ["cancel", "abort", "Cancel"])
@pytest.mark.parametrize("of_base", ["cancel", "abort"])
def test_a_handler_replaces_the_bases_handler_of_the_same_event_under_either_name(name: str, of_base: str) -> None:
    base = f"handlerOn: {{{of_base}: {{command: old, env: [A=1]}}, exit: {{command: bye}}}}"
    handlers = under(base, f"handlerOn: {{{name}: {{command: new}}}}").handlers

    assert {handler: (each.commands[0].text, each.env) for handler, each in handlers.items()} == {
        Handler.ABORT: ("new", ()),
        Handler.EXIT: ("bye", ()),
    }


@pytest.mark.parametrize("empty", ["", "null", "{}"])
def test_an_empty_handler_leaves_the_bases_handler_in_force(empty: str) -> None:
    base = "handlerOn: {failure: {command: alarm}, cancel: {command: undo}}"
    handlers = under(base, f"handlerOn:\n  failure: {empty}\n  abort: {empty}\n  exit: {{command: bye}}\n").handlers

    assert {handler: each.commands[0].text for handler, each in handlers.items()} == {
        Handler.FAILURE: "alarm",
        Handler.ABORT: "undo",
        Handler.EXIT: "bye",
    }


_TYPES = {"container": "container: {image: alpine}", "ssh": "ssh: {host: there, user: me}"}


@pytest.mark.parametrize("kind", _TYPES)
def test_steps_and_handlers_run_where_their_own_file_says(kind: str) -> None:
    """A default for steps of the type must not send the commands of all workflows to another machine."""
    based = f"{_TYPES[kind]}\nhandlerOn: {{exit: {{command: a}}}}\n"
    child = f"handlerOn: {{init: {{command: b}}}}\nsteps:\n  - command: c\n  - {{type: {kind}, command: d}}\n"

    def types(base: str, text: str) -> list[str]:
        dag = under(base, text)
        return [each.type for each in (*dag.steps, dag.handlers[Handler.INIT], dag.handlers[Handler.EXIT])]

    here = under("", "steps: [a]").steps[0].type
    assert types(based, child) == [here, kind, here, kind]
    assert types(based, f"{kind}: {{user: you}}\n" + child) == [kind] * 4
    assert types("handlerOn: {exit: {command: a}}", f"{_TYPES[kind]}\n{child}") == [kind, kind, kind, here]
    assert getattr(under(based, child), kind)
