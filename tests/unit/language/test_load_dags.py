"""How documents are read: names, fields, schedules, parameters, handlers."""

from typing import Any

import pytest

from shared.language.load import LoadResult, load
from shared.language.model import Dag, Handler
from shared.language.parameters import inline_schema
from tests.unit.language.specs import dag_of, errors_of


def test_the_name_is_the_given_one_then_its_own_then_the_files() -> None:
    names: list[Any] = [
        load("name: own", file_name="x/file.yaml", dag_name="given").dag,
        load("name: own", file_name="x/file.yaml").dag,
        load("steps: []", file_name="x/file.yaml").dag,
        load("steps: []").dag,
    ]

    assert [dag.name for dag in names] == ["given", "own", "file", ""]


def test_a_broken_file_still_has_its_name() -> None:
    loaded = load("a: [", file_name="etl.yml")

    assert loaded.dag == Dag(name="etl")
    assert load("a: [") == LoadResult(documents=(), issues=load("a: [").issues)
    assert load("a: [").dag is None


def test_an_empty_dag_is_valid_and_has_the_defaults_of_the_language() -> None:
    for text in ("name: a", "name: a\nsteps: []", "name: a\nsteps:\nenv:\nparams:\nschedule: ''\n"):
        assert dag_of(text).model_dump() == Dag(name="a").model_dump()


def test_local_dags_follow_the_main_one() -> None:
    documents = load("name: main\nsteps: [{call: sub}]\n---\nname: sub\nsteps: [echo]\n").documents

    assert [dag.name for dag in documents] == ["main", "sub"]


def test_another_letter_case_is_accepted_with_a_warning() -> None:
    loaded = load("Name: a\nhandlerOn: {Exit: {Command: b}}\nsteps: [{Command: c}]")

    assert loaded.ok
    assert loaded.dag is not None
    assert (loaded.dag.name, loaded.dag.handlers[Handler.EXIT].commands[0].text) == ("a", "b")
    assert 'key "Name" should be written "name"' in str(loaded.warnings[0])


def test_a_parameter_given_twice_is_accepted_with_a_warning() -> None:
    loaded = load("params: A=1 B=2 A=3")

    assert loaded.ok
    assert [str(each) for each in loaded.warnings] == [
        'line 1, column 1: params: parameter "A" is given twice (the later value is used)'
    ]


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        ("tags: ' A, b,,C '", "tags", ("a", "b", "c")),
        ("tags: [X, 'y,z']", "tags", ("x", "y", "z")),
        ("env: [{A: 1}, B=2]", "env", (("A", "1"), ("B", "2"))),
        ("env: {A: [a, 2], B: {c: 1}}", "env", (("A", '["a",2]'), ("B", '{"c":1}'))),
        ("dotenv: []", "dotenv", ()),
        ("dotenv: a.env", "dotenv", (".env", "a.env")),
        ("dotenv: [.env, b.env]", "dotenv", (".env", "b.env")),
        ("maxActiveRuns: 0", "max_active_runs", 1),
        ("maxActiveRuns: -1", "max_active_runs", -1),
        ("histRetentionDays: 0", "hist_retention_days", 30),
        ("histRetentionDays: -1", "hist_retention_days", -1),
        ("maxActiveSteps: 2.9", "max_active_steps", 2),
        ("timeoutSec: -5", "timeout_sec", 0),
        ("shell: [bash, -e]", "shell", ("bash", "-e")),
        ("smtp: {host: h, port: 25}", "smtp", {"host": "h", "port": "25"}),
        ("ssh: {host: h, port: 22, strictHostKey: false}", "ssh", {"host": "h", "port": "22", "strictHostKey": False}),
        ("container: box", "container", "box"),
        ("container: {image: a, env: {A: 1}, ports: [80], workDir: /w, pullPolicy: true}", "container",
         {"image": "a", "env": ["A=1"], "ports": ["80"], "workingDir": "/w", "pullPolicy": "always"}),
        ("placement: spread", "placement", "spread"),
        ("logOutput: MERGED", "log_output", "merged"),
        ("workerSelector: {gpu: 'true'}", "worker_selector", {"gpu": "true"}),
    ],
)  # fmt: skip
def test_dag_fields_are_read(text: str, field: str, expected: object) -> None:
    assert getattr(dag_of(text), field) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'a b'", [("1", "a"), ("2", "b")]),
        ("'RATE=0.5 NAME=\"Ada L\" first'", [("RATE", "0.5"), ("NAME", "Ada L"), ("3", "first")]),
        ("'a K=v b'", [("1", "a"), ("K", "v"), ("3", "b")]),
        ("'K=\"say \\\"hi\\\"\"'", [("K", 'say "hi"')]),
        ("\"K='a b'\"", [("K", "'a"), ("2", "b'")]),
        ("'K='", [("1", "K=")]),
        ("'`date +%F` x'", [("1", "`date +%F`"), ("2", "x")]),
        ('[A=1, {B: 2}, {C: "`date +%F`"}]', [("A", "1"), ("B", "2"), ("C", "`date +%F`")]),
        ("[a b, c]", [("1", "a"), ("2", "b"), ("3", "c")]),
        ("{B: 2, A: 1.0}", [("A", "1"), ("B", "2")]),
        ('[{B: "${A}x", A: 1}, {C: 2}]', [("A", "1"), ("B", "${A}x"), ("C", "2")]),
        ("'{\"n\": 1000000, \"o\": {\"k\": [1.50, null]}, \"z\": null}'",
         [("n", "1000000"), ("o", '{"k":[1.50,null]}'), ("z", "")]),
        ("{L: [a, 1.0, 010, null], M: {k: [1], j: no}}", [("L", '["a",1.0,"010",null]'), ("M", '{"k":[1],"j":"no"}')]),
        ("{schema: s.json, values: {batch: 10}}", [("batch", "10")]),
        ("{schema: s.json, values: {size: 3, batch: 10}}", [("batch", "10"), ("size", "3")]),
    ],
)  # fmt: skip
def test_params_forms(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(param.name, param.value) for param in dag_of(f"params: {text}").params] == expected


def test_a_schema_is_kept_beside_the_values() -> None:
    assert dag_of("params: {schema: s.json}").param_schema == "s.json"


def test_a_schema_in_the_spec_is_kept_as_json() -> None:
    dag = dag_of("params: {schema: {properties: {n: {type: integer, maximum: 9, pattern: 'a$'}}}, values: {n: 1}}")

    assert inline_schema(dag.param_schema) == {"properties": {"n": {"type": "integer", "maximum": 9, "pattern": "a$"}}}
    assert [(param.name, param.value) for param in dag.params] == [("n", "1")]
    assert inline_schema("s.json") is None
    assert inline_schema("") is None


def test_a_schema_in_the_spec_that_is_none_is_an_error_at_its_line() -> None:
    [error] = errors_of("steps: [echo x]\nparams:\n  schema: {properties: {n: {type: whole}}}\n")

    assert error.startswith("line 3, column 3: params.schema: not a valid JSON Schema: properties.n.type: 'whole'")


@pytest.mark.parametrize(
    "schema",
    ["{$schema: 7}", "{$schema: {}}", "{$schema: []}", "{$schema: 'http://['}",
     "{properties: {n: {pattern: '['}}}", "{properties: {n: {pattern: '(?=a)'}}}"],
)  # fmt: skip
def test_no_schema_in_the_spec_keeps_its_file_from_being_read(schema: str) -> None:
    [error] = errors_of(f"steps: [echo x]\nparams:\n  schema: {schema}\n")

    assert error.startswith("line 3, column 3: params.schema: not a valid JSON Schema: ")


@pytest.mark.parametrize("pattern", [r"^\pL+\z", "a{99999999999999999999}", f"{'(' * 2000}a{')' * 2000}"])
def test_a_pattern_of_a_schema_in_the_spec_is_one_of_re2(pattern: str) -> None:
    assert dag_of(f"params: {{schema: {{properties: {{n: {{pattern: '{pattern}'}}}}}}}}").param_schema


@pytest.mark.parametrize(
    "expression",
    ["*/15 9-17 * * MON-FRI", "0 0 * * 7", "0 0 ? * sun", "0 0 1 jan,JUL *", "@daily", "@hourly", "0 1,2 * * *",
     "CRON_TZ=Asia/Tokyo 0 9 * * *", "TZ=UTC @daily", "5/15 * * * *",
     "0 12 * ? *", "? ? ? ? ?", "?/5 1,? * * *", "0 0 * * FRI-SUN"],
)  # fmt: skip
def test_cron_forms(expression: str) -> None:
    assert dag_of(f"schedule: '{expression}'").schedule.start == (expression,)


def test_schedule_forms() -> None:
    schedule = dag_of("schedule: {start: ['0 1 * * *', '0 3 * * *'], stop: '0 2 * * *'}").schedule

    assert (schedule.start, schedule.stop, schedule.restart) == (("0 1 * * *", "0 3 * * *"), ("0 2 * * *",), ())


def test_handlers_get_their_forced_names_and_lose_what_does_not_apply() -> None:
    loaded = load("handlerOn: {cancel: {command: a, depends: x}, exit: {name: n, script: b, env: {A: 1}}}")

    assert loaded.ok
    assert loaded.dag is not None
    handlers = loaded.dag.handlers
    assert {handler.value: step.name for handler, step in handlers.items()} == {
        "onCancel": "onCancel",
        "onExit": "onExit",
    }
    assert (handlers[Handler.ABORT].depends, handlers[Handler.EXIT].env) == ((), (("A", "1"),))
    assert "depends is ignored on a handler" in str(loaded.warnings[0])


def test_only_what_was_written_is_set() -> None:
    assert dag_of("name: a\nenv: {A: 1}").model_fields_set == {"name", "env"}
