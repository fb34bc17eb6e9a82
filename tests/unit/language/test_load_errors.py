"""The exact error messages of wrong specs: one table for each part of the language."""

import pytest

from shared.language.issues import Issue
from shared.language.load import load
from tests.unit.language.specs import errors_of

_DAG_ERRORS = [
    ('name: "a b"', "name must only contain alphanumeric characters, dashes, dots, and underscores"),
    (f"name: {'a' * 41}", "name must be less than 40 characters"),
    ("name: 123", "name: expected a string, got integer (value: 123) (put the value in quotes)"),
    ("stepz: []", 'line 1, column 1: has invalid keys: stepz (did you mean "steps"?)'),
    ("timeoutSec: 1e3", "(write the number without an exponent)"),
    ('timeoutSec: "60"', "timeoutSec: expected a number, got string (value: 60) (remove the quotes)"),
    # ``strip`` takes off more kinds of white space than ``int`` and ``float`` do.
    ('timeoutSec: "60\\x1d"', "expected a number, got string (value: 60\x1d) (remove the quotes)"),
    ("timeoutSec: .nan", "timeoutSec must be a finite number (value: NaN)"),
    ("maxActiveRuns: -.inf", "maxActiveRuns must be a finite number (value: -Inf)"),
    *(
        (f"timeoutSec: {given}", "expected a number, got string (value: 99999999999999999999) (write a smaller number)")
        for given in ("99999999999999999999", '"99999999999999999999"')
    ),
    (f"timeoutSec: {'9' * 500}", "(write a smaller number)"),
    ("timeoutSec: true", "expected a number, got boolean"),
    ("timeoutSec: 1000000000000", "timeoutSec must be at most 1000000000"),
    ("skipIfSuccessful: yes", "skipIfSuccessful: expected a boolean, got string (value: yes) (write true or false)"),
    ("description: 5", "expected a string"),
    ("type: agent", "type 'agent' is reserved and not yet supported"),
    ("type: tree", "invalid type: tree (must be one of: graph, chain)"),
    ("steps: 5", "steps must be an array or a map"),
    ("schedule: {begin: '0 1 * * *'}", 'schedule: unknown key "begin" (expected start, stop, or restart)'),
    ("schedule: ['0 1 * * *', 5]", "schedule[1]: expected string, got integer"),
    ("schedule: '0 0 * * 8'", "invalid schedule"),
    ("schedule: '0 0 31 2 *'", "invalid schedule"),
    ("schedule: '5-1 * * * *'", "invalid schedule: the range 5-1 in field 1 (minute) ends before it begins"),
    ("schedule: '0 0 * * 1,Fri-MON/2'", "the range Fri-MON in field 5 (day of week) ends before it begins"),
    ("schedule: '0 0 1-? * *'", "invalid schedule: not a valid cron expression"),
    ("schedule: '0 0 0 * * *'", "invalid schedule: expected exactly 5 fields, found 6"),
    ("schedule: '0 0 L * *'", "invalid schedule: syntax error in field 3 (day of month): L"),
    ("schedule: '0 0 15W * *'", "invalid schedule: syntax error in field 3 (day of month): 15W"),
    ("schedule: '0 0 * * 5#3'", "invalid schedule: syntax error in field 5 (day of week): 5#3"),
    ("schedule: '@reboot'", 'invalid schedule: unknown descriptor "@reboot"'),
    ("schedule: 'CRON_TZ=Mars/Base 0 0 * * *'", 'invalid schedule: unknown time zone "Mars/Base"'),
    ("schedule: 'TZ=../etc/passwd 0 0 * * *'", "unknown time zone"),
    ("env: 5", "env config should be map of strings or array of key=value formatted string: 5"),
    ("env: [NOEQ]", 'line 1, column 7: env[0]: invalid format "NOEQ" (expected KEY=value)'),
    ("params: 5", "invalid parameter value: integer"),
    ("params: [[1]]", "invalid parameter value: list"),
    ("secrets: {a: b}", "secrets must be a list"),
    ("secrets: [{provider: env, key: X}]", "secret at index 0: 'name' field is required"),
    ("secrets: [{name: A, provider: env, key: X}, {name: A, provider: env, key: Y}]", 'duplicate secret name "A"'),
    ("preconditions: 5", "precondition must be a string or an array of strings"),
    ("preconditions: [{condition: a, expect: b}]", "precondition has invalid key: expect"),
    ("preconditions: [{condition: 5}]", "precondition value must be a string"),
    ("preconditions: [{condition: a, negate: 'yes'}]", "precondition negate must be a boolean"),
    ("preconditions: [{expected: a}]", "condition is required"),
    ("handlerOn: {abort: {command: a}, cancel: {command: b}}", "cannot specify both 'abort' and 'cancel'"),
    ("handlerOn: {exit: {command: a}, end: {command: b}}", "has invalid keys: end"),
    ("logOutput: both", "invalid logOutput value"),
    ("otel: true", "otel must be a map"),
    ("otel: {timeout: soon}", "invalid duration: soon"),
    ("otel: {timeout: 1h0}", "invalid duration: 1h0"),
    ("registryAuths: 5", "registryAuths: invalid type"),
    ("mailOn: {failure: 'true'}", "mailOn.failure: expected a boolean"),
    ("smtp: {host: a, port: 25.5}", "smtp.port: expected an integer"),
    ("container: ''", "container name cannot be empty"),
    ("container: {exec: a, image: b}", "'exec' and 'image' are mutually exclusive"),
    ("container: {user: a}", "either 'exec' or 'image' must be specified"),
    ("container: {exec: a, ports: ['80']}", "fields [ports] cannot be used with 'exec'"),
    ("container: {image: a, pullPolicy: often}", "failed to parse pull policy: often"),
    ("container: {image: a, ports: [web]}", "invalid port format: web"),
    ("container: {image: a, volumes: ['/a:/b:rx']}", "invalid volume format"),
    ("llm: {provider: acme}", "invalid provider: acme"),
    ("llm: {temperature: 3}", "temperature must be at most 2"),
    ("llm: {maxTokens: 0}", "maxTokens must be >= 1"),
    ("- a", "a workflow must be a map of fields"),
    ("", "no DAGs found in file"),
    ("# nothing", "no DAGs found in file"),
    ("workerSelector: {gpu: 'true'}\nsteps: [{type: hitl}]", "DAG with HITL steps cannot be dispatched to workers"),
    ("handlerOn: {exit: {type: hitl}}", "a handler cannot wait for approval"),
    ("container: {image: a}\nsteps: ['a\n\n b']", 'executor type "container" does not support script field'),
    ("ssh: {host: a}\nsteps: [{script: a}]", 'executor type "ssh" does not support script field'),
    ("onWorkerShutdown: again", "invalid onWorkerShutdown: again (must be one of: fail, rerun)"),
    ("catchup: true", "invalid catchup: true (must be one of: none, latest, all)"),
    ("placement: near", "invalid placement: near (must be one of: stick, spread)"),
]


@pytest.mark.parametrize(("text", "expected"), _DAG_ERRORS)
def test_a_wrong_dag_field_is_named(text: str, expected: str) -> None:
    assert any(expected in error for error in errors_of(text)), errors_of(text)


_POOL_ERRORS = [
    ("pool: 5", "steps[0].pool: pool must be a name or a list of names"),
    ("pool: [gpu, 5]", "steps[0].pool[1]: pool must be a name or a list of names"),
    ("pool: ''", "invalid pool: ''"),
    (
        "lock: '${TABLE}'",
        "invalid lock: '${TABLE}' (use 1 to 100 letters, digits, dots, dashes or underscores; variables are not",
    ),
    ("lock: [a, a]", "lock 'a' is listed twice"),
    (
        "rateLimit: [3]",
        "steps[0].rateLimit: expected a map with name, limit and intervalSec, or a list of such maps, got integer",
    ),
    ("rateLimit: {name: api}", "steps[0].rateLimit: rateLimit.limit is required"),
    ("rateLimit: {limit: 1, intervalSec: 1}", "rateLimit.name is required"),
    ("rateLimit: {name: api, limit: 0, intervalSec: 1}", "limit must be >= 1"),
    ("rateLimit: {name: api, limit: 1, intervalSec: 0}", "intervalSec must be more than 0"),
    ("rateLimit: {name: api, limit: 20000, intervalSec: 1}", "limit must be at most 10000"),
    ("rateLimit: {name: api, rate: 1, intervalSec: 1}", "has invalid keys: rate"),
    (
        "rateLimit: [{name: a, limit: 1, intervalSec: 1}, {name: a, limit: 1, intervalSec: 1}]",
        "name 'a' is listed twice",
    ),
]


@pytest.mark.parametrize(("text", "expected"), _POOL_ERRORS)
def test_a_wrong_pool_is_named(text: str, expected: str) -> None:
    found = errors_of(f"steps:\n  - command: a\n    {text}\n")

    assert any(expected in error for error in found), found


def test_a_handler_waits_for_no_pool() -> None:
    found = errors_of("steps: [a]\nhandlerOn: {exit: {command: b, lock: x}}\n")

    assert any("a handler cannot wait for a pool, lock or rate limit" in error for error in found), found


_STEP_ERRORS = [
    ("[[a]]", "invalid step data"),
    ("5", "invalid step data"),
    ("{}", "step command is required"),
    ("{command: ' '}", "step command is empty"),
    ("{command: ['', ' ']}", "step command is empty"),
    ("{command: {a: b}}", "step command must be an array of strings or a string"),
    ("{command: [[a]]}", "step command must be an array of strings or a string"),
    ("{command: 42}", "step command must be an array of strings or a string"),
    ("{command: true}", "step command must be an array of strings or a string"),
    (f"{{name: {'a' * 41}, command: a}}", "step name must be less than 40 characters"),
    (f"{{name: {'я' * 21}, command: a}}", "step name must be less than 40 characters"),
    ("{name: a, comand: b}", 'steps[0]: has invalid keys: comand (did you mean "command"?)'),
    ("{id: 1a, command: a}", "invalid step ID format"),
    ("{id: Output, command: a}", "is a reserved word"),
    ("{command: a, depends: 5}", "depends must be a string or an array of strings"),
    ("{command: a, depends: [[b]]}", "depends must be a string or an array of strings"),
    ("{name: s, command: a, depends: nope}", "step s depends on non-existent step nope"),
    ("{name: s, command: a, depends: ''}", "step s depends on non-existent step "),
    ("{name: s, command: a, depends: s}", "cyclic plan detected: s -> s"),
    ("{type: http, executor: http, command: GET /}", "cannot use both 'type' and 'executor' fields"),
    ("{config: {a: 1}, executor: http, command: GET /}", "cannot use both 'config' and 'executor' fields"),
    ("{executor: {kind: http}, command: a}", "executor has invalid key: kind"),
    ("{executor: [http], command: a}", "executor config must be string or map"),
    ("{type: jq, command: .a, shell: bash}", 'executor type "jq" does not support shell configuration'),
    ("{type: mail, command: a}", 'executor type "mail" does not support command field'),
    ("{type: archive, command: create, script: a}", 'executor type "archive" does not support script field'),
    ("{type: http, command: [a, b]}", "executor does not support multiple commands"),
    ("{type: http, command: a, container: {image: a}}", 'executor type "http" does not support container field'),
    ("{type: http, call: a}", 'executor type "http" does not support sub-DAG execution'),
    ("{command: a, workerSelector: {gpu: 'true'}}", "does not support workerSelector field"),
    ("{command: a, llm: {provider: local}}", "does not support llm field"),
    ("{type: htp, command: a}", 'executor type "htp" does not support command field'),
    ("{type: htp, command: a}", 'executor type "htp" is not registered (did you mean "http"?)'),
    ("{type: htp}", 'executor type "htp" is not registered (did you mean "http"?)'),
    ("{command: a, stdout: x, stderr: x}", "stdout and stderr cannot point to the same file"),
    ("{command: a, logOutput: both}", "invalid logOutput value"),
    ("{command: a, output: {key: a}}", "output.name is required when using object form"),
    ("{command: a, output: [a]}", "output must be a string or object"),
    ("{command: a, continueOn: always}", "expected 'skipped' or 'failed'"),
    ("{command: a, continueOn: {failure: 'yes'}}", "continueOn.failure: expected boolean"),
    ("{command: a, continueOn: {fail: true}}", "has invalid keys: fail"),
    ("{command: a, continueOn: {exitCode: x}}", "continueOn.ExitCode must be an int or an array of ints"),
    ("{command: a, continueOn: {exitCode: --4}}", "continueOn.ExitCode must be an int or an array of ints"),
    ("{command: a, continueOn: {output: 5}}", "continueOn.Output must be a string or an array of strings"),
    ("{command: a, retryPolicy: {limit: 1}}", "intervalSec is required when retryPolicy is specified"),
    ("{command: a, retryPolicy: {intervalSec: 1}}", "limit is required when retryPolicy is specified"),
    ("{command: a, retryPolicy: {limit: 1, intervalSec: 1, backoff: 1}}", "backoff must be greater than 1.0"),
    ("{command: a, repeatPolicy: {repeat: until}}", "repeat mode 'until' requires either 'condition' or 'exitCode'"),
    ("{command: a, repeatPolicy: {repeat: often}}", "invalid value for repeat"),
    ("{command: a, timeoutSec: -1}", "timeoutSec must be >= 0"),
    ("{command: a, signalOnStop: SIGFOO}", "invalid signal: SIGFOO"),
    ("{command: a, mailOnError: 'yes'}", "expected a boolean"),
    ("{parallel: [a]}", "parallel execution is only supported for child-DAGs"),
    ("{call: a, parallel: 5}", "parallel must have either items array or variable reference"),
    ("{call: a, parallel: []}", "parallel execution requires at least one item"),
    ("{call: a, parallel: {items: [a], maxConcurrent: 0}}", "maxConcurrent must be greater than 0"),
    ("{call: a, parallel: [[a]]}", "parallel items must be strings, numbers, or objects of scalars"),
    ("{type: chat, llm: {provider: local}, messages: [{role: user, content: a}]}", "model is required"),
    ("{type: chat, llm: {model: m}, messages: [{role: user, content: a}]}", "provider is required"),
    ("{type: chat, llm: {provider: local, model: m}}", "at least one message is required"),
    ("{type: chat, llm: {provider: local, model: m}, messages: [{role: boss, content: a}]}", "invalid role: boss"),
    ("{type: hitl, config: {input: [A], required: [B]}}", 'required field "B" is not in input list'),
    ("{executor: {type: hitl, config: {required: [B]}}}", 'required field "B" is not in input list'),
    ("{type: hitl, config: {input: {A: B}}}", "config.input must be a list of strings"),
    ("{type: hitl, config: {input: [A=B]}}", "cannot be the name of a variable"),
    ("{type: hitl, config: {prompt: [A]}}", "config.prompt must be a string"),
    ("{type: hitl, command: a}", 'executor type "hitl" does not support command field'),
    ("{type: hitl, workerSelector: {a: b}}", 'executor type "hitl" does not support workerSelector field'),
    ("{command: a, container: {image: a}, shell: bash}", "does not support shell configuration"),
]


@pytest.mark.parametrize(("text", "expected"), _STEP_ERRORS)
def test_a_wrong_step_field_is_named(text: str, expected: str) -> None:
    found = errors_of(f"steps:\n  - {text}\n")

    assert any(expected in error for error in found), found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps:\n  - {name: a, command: x}\n  - {name: a, command: x}", "step name must be unique: a"),
        ("steps:\n  - {id: a, command: x}\n  - {id: a, command: x}", "duplicate step ID: a"),
        ("steps:\n  - {name: a, command: x}\n  - {id: a, command: x}", "conflicts with another step's name"),
        (
            "type: graph\nsteps:\n  - {name: a, command: x, depends: b}\n  - {name: b, command: x, depends: a}",
            "line 3, column 27: steps[0].depends: cyclic plan detected: a -> b -> a",
        ),
        ("steps: []\n---\nsteps: []", "DAG at index 1 must have a name in multi-DAG file"),
        ("name: a\n---\nname: a", 'line 3, column 1: name: duplicate DAG name "a" found'),
        ("name: a\n---\nname: b\n---\nname: b", 'duplicate DAG name "b" found'),
        ("name: a\n---\nname: b\nstepz: 1", "line 4, column 1: has invalid keys: stepz"),
    ],
)
def test_what_does_not_fit_together_is_named(text: str, expected: str) -> None:
    assert any(expected in error for error in errors_of(text)), errors_of(text)


def test_all_problems_are_reported_at_once_in_the_order_of_lines() -> None:
    loaded = load(
        "name: etl\nschedul: x\nsteps:\n  - name: note\n    command: echo hi\n  - name: b\n    depends: nope\n"
    )

    assert [str(issue) for issue in loaded.errors] == [
        'line 2, column 1: has invalid keys: schedul (did you mean "schedule"?)',
        "line 6, column 5: steps[1]: step command is required",
        'line 7, column 5: steps[1].depends: step b depends on non-existent step nope (did you mean "note"?)',
    ]
    assert not loaded.ok
    assert loaded.dag is not None
    assert [step.name for step in loaded.dag.steps] == ["note", "b"]


def test_only_a_number_is_told_to_lose_its_quotes() -> None:
    assert errors_of("maxActiveRuns: many\nsteps: [a]") == [
        "line 1, column 1: maxActiveRuns: expected an integer, got string (value: many)"
    ]


def test_an_issue_without_a_place_is_still_one_line() -> None:
    assert str(Issue("too large")) == "too large"


def test_a_hint_prefers_the_word_that_was_begun() -> None:
    issues = load("preconditions: [{cond: a}]", file_name="x").errors
    assert [issue.hint for issue in issues if "invalid key" in issue.message] == ['did you mean "condition"?']


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("functions: []", "make each function a workflow, and start it with call"),
        ("maxActiveRun: 2", 'did you mean "maxActiveRuns"?'),
        ("name: ' nightly  report '", 'for instance "nightly-report"'),
        ("schedule: '0 0 6 * * *'", "leave out the seconds: minute hour day month weekday"),
        ("steps: [{command: a, retryPolicy: {limit: 3}}]", "for instance intervalSec: 3"),
        ('steps: [{type: docker, command: "a\\nb", config: {image: x}}]', "a command of several lines is a script"),
    ],
)
def test_a_hint_says_what_to_write_instead(text: str, hint: str) -> None:
    assert [issue.hint for issue in load(text, file_name="x").errors] == [hint]


def test_two_steps_with_one_name_are_reported_once() -> None:
    (error,) = load("steps: [{name: a, command: x}, {name: a, command: y}]", file_name="x").errors
    assert error.message == "step name must be unique: a"


def test_scalars_in_a_list_of_texts_are_texts() -> None:
    loaded = load("tags: [2024, True, 1.50, etl]", file_name="x")
    assert loaded.issues == ()
    assert loaded.documents[0].tags == ("2024", "true", "1.5", "etl")
