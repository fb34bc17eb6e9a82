"""Unusual specs that Dagu accepts mean the same here, with a warning where they are probably mistakes."""

import pytest

from shared.language.load import load
from shared.language.model import Condition, Handler
from shared.language.steps.approval import declared_inputs, required_inputs
from tests.unit.language.specs import dag_of, errors_of, step_of


def warnings_of(text: str) -> list[str]:
    return [issue.message for issue in load(text).warnings]


@pytest.mark.parametrize(
    ("text", "attribute", "expected"),
    [
        ("timeoutSec: 1_000", "timeout_sec", 1000),
        ("maxActiveSteps: 010", "max_active_steps", 8),
        ("maxActiveSteps: -3", "max_active_steps", 0),
        ("maxOutputSize: -3", "max_output_size", 1_048_576),
        ("tags: [a, null, b]", "tags", ("a", "b")),
        ("tags: [{Env: prod, tier: 1}, a]", "tags", ("env=prod", "tier=1", "a")),
        ("tags:\n  - a\n  -\n", "tags", ("a",)),
        ("dotenv: [null, x.env]", "dotenv", (".env", "x.env")),
        ("shell: [bash, null, -e]", "shell", ("bash", "-e")),
        ("errorMail: {to: [a, null]}\n", "tags", ()),
        ("preconditions: ''", "preconditions", ()),
        ("preconditions: [null, '', [' ', [a]]]", "preconditions", (Condition(condition="a"),)),
        ("registryAuths: {h: {password: 1, email: x}}", "registry_auths", {"h": {"password": "1"}}),
        ("otel: {enabled: true, endpoint: e, sampler: x}", "otel", {"enabled": True, "endpoint": "e"}),
        ("otel: {enabled: 'true', timeout: 30, headers: [a]}", "otel", {}),
        ("description: 99999999999999999999", "description", "99999999999999999999"),
    ],
)  # fmt: skip
def test_dag_fields_are_read(text: str, attribute: str, expected: object) -> None:
    assert getattr(dag_of(text), attribute) == expected


@pytest.mark.parametrize(
    ("text", "attribute", "expected"),
    [
        ("{command: a, output: {name: O, key: 5, omit: 'yes', trim: true}}", "output", {"name": "O"}),
        ("{command: a, preconditions: ['']}", "preconditions", ()),
        ("{call: c, parallel: {items: [a], max_concurrent: 2}}", "parallel", {"items": ("a",)}),
        ("{command: a, config: {}, executor: shell}", "type", "shell"),
        ("{command: GET /, config: , executor: {type: http, config: {timeout: 5}}}", "config", {"timeout": 5}),
        ("{command: a, timeoutSec: 1_0}", "timeout_sec", 10),
        ("{command: a, parallel: }", "parallel", None),
    ],
)
def test_step_fields_are_read(text: str, attribute: str, expected: object) -> None:
    found = getattr(step_of(text), attribute)

    assert (found.model_dump(exclude_defaults=True) if hasattr(found, "model_dump") else found) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{limit: -1, intervalSec: 0}", (0, 0, 0, 0)),
        ("{limit: '', intervalSec: -2}", (0, 0, 0, 0)),
        ("{limit: 1, intervalSec: 1, backoff: -1.0, maxIntervalSec: -5}", (1, 1, 0, 0)),
        ("{limit: 1_0, intervalSec: 1_0}", (10, 10, 0, 0)),
    ],
)
def test_a_retry_takes_negative_numbers_as_zero(text: str, expected: tuple[object, ...]) -> None:
    policy = step_of(f"{{command: a, retryPolicy: {text}}}").retry_policy

    assert policy is not None
    assert (policy.limit, policy.interval_sec, policy.backoff, policy.max_interval_sec) == expected


def test_a_repetition_takes_negative_numbers_as_zero() -> None:
    policy = step_of(
        "{command: a, repeatPolicy: {repeat: true, limit: -1, intervalSec: -1, backoff: -2}}"
    ).repeat_policy

    assert policy is not None
    assert (policy.limit, policy.interval_sec, policy.backoff) == (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{image: i, user: 1000}", {"image": "i", "user": "1000"}),
        ("{image: i, volumes: '/a:/b', ports: 80}", {"image": "i", "volumes": ["/a:/b"], "ports": ["80"]}),
        ("{image: i, keepContainer: 1, pullPolicy: ''}", {"image": "i", "keepContainer": True}),
        ("{image: i, keepContainer: ''}", {"image": "i", "keepContainer": False}),
        ("{image: i, env: A=b=c}", {"image": "i", "env": ["A=b=c"]}),
        ("{exec: 5}", {"exec": "5"}),
    ],
)
def test_values_of_a_container_need_no_quotes(text: str, expected: dict[str, object]) -> None:
    assert step_of(f"{{command: a, container: {text}}}").container == expected


@pytest.mark.parametrize("command", ["echo $'it\\'s'", "echo it's # fine", "cat <<X\\", 'echo "unbalanced'])
def test_a_shell_may_know_quotes_that_the_loader_does_not(command: str) -> None:
    text = f"steps:\n  - name: a\n    command: >-\n      {command}\n"

    (step,) = dag_of(text).steps

    assert (step.commands[0].text, step.commands[0].argv) == (command, tuple(command.split()))
    assert any("failed to parse command" in warning for warning in warnings_of(text))


def test_a_command_of_several_lines_goes_before_a_script() -> None:
    text = 'steps: [{command: "a\\nb", script: c}]'

    assert dag_of(text).steps[0].script == "a\nb"
    assert warnings_of(text) == ["script is ignored: a command of several lines is already a script"]


def test_what_may_be_given_with_an_approval_may_be_one_name() -> None:
    step = step_of("{type: hitl, config: {input: WHO, required: WHO}}")

    assert (declared_inputs(step), required_inputs(step)) == (("WHO",), ("WHO",))


def test_a_step_in_a_map_is_called_by_its_key() -> None:
    text = "steps: {fetch: {name: other, command: a}}"

    assert [step.name for step in dag_of(text).steps] == ["fetch"]
    assert warnings_of(text) == ["name is ignored: in a map of steps, each key is the name of its step"]


@pytest.mark.parametrize("handler", ["{}", "{description: later}", "{script: ' '}"])
def test_a_handler_that_does_nothing_is_left_out(handler: str) -> None:
    text = f"handlerOn: {{exit: {handler}, failure: {{command: a}}}}"

    assert set(dag_of(text).handlers) == {Handler.FAILURE}
    assert warnings_of(text) == ["the handler is ignored: it has no command"]


@pytest.mark.parametrize("step", ["{script: ' '}", "{call: ''}", "{name: a, run: ' '}", "{script: ''}"])
def test_blank_text_is_no_command(step: str) -> None:
    assert any("step command is required" in error for error in errors_of(f"steps: [{step}]"))


def test_a_chat_step_may_leave_its_model_to_the_base_configuration() -> None:
    text = "steps: [{name: ask, type: chat, messages: [{role: user, content: hi}]}]"

    assert [warning.partition(":")[0] for warning in warnings_of(text)] == ["a chat step needs llm"]
    assert load(text, base="llm: {provider: local, model: m}").issues == ()


@pytest.mark.parametrize("place", ["{selector}\nsteps: [{{command: a}}]", "steps: [{{call: a, {selector}}}]"])
def test_a_worker_pool_that_cannot_exist_is_pointed_out(place: str) -> None:
    assert warnings_of(place.format(selector="workerSelector: {worker-pool: gpu_1}")) == []
    assert warnings_of(place.format(selector="workerSelector: {worker-pool: gpu-1}")) == [
        "'gpu-1' is not the name of a worker pool: expected 1 to 40 lower-case letters, digits or underscores"
    ]


def test_a_command_in_log_dir_is_ignored_with_a_warning() -> None:
    assert warnings_of("logDir: /var/log/$DAY") == []
    assert warnings_of("logDir: /var/log/`date +%F`") == [
        "logDir is ignored: it contains a command in back quotes, which may not run there"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "preconditions: [{condition: a, expected: 're:['}]",
        "steps: [{command: a, continueOn: {output: [fine, 're:[']}}]",
        "steps: [{command: a, repeatPolicy: {condition: a, expected: 're:[', limit: 1}}]",
    ],
)
def test_an_invalid_pattern_warns_and_never_matches(text: str) -> None:
    assert warnings_of(text) == ["the pattern re:[ is invalid and never matches: missing ]: ["]


@pytest.mark.parametrize(("text", "code"), [("1_0", 10), ("010", 8), ('"010"', 10), ("4\x1d", 4)])
def test_an_exit_code_is_read_like_any_other_number(text: str, code: int) -> None:
    policies = f"continueOn: {{exitCode: {text}}}, retryPolicy: {{limit: 1, intervalSec: 0, exitCode: [{text}]}}"

    step = load(f"steps: [{{command: a, {policies}}}]", file_name="x").documents[0].steps[0]

    assert step.continue_on.exit_code == (code,)
    assert step.retry_policy is not None
    assert step.retry_policy.exit_code == (code,)
