"""Problems of an executor's step are reported when the workflow is loaded, as far as they can be known then."""

import pytest

from shared.language.load import load
from tests.unit.language.specs import errors_of


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("{type: http, command: GET https://a/b}", ""),
        ("{type: http, command: get https://a/b}", ""),
        ("{type: http, command: '${M} ${U}'}", ""),
        ("{type: http, command: https://a/b}", "needs the method and the URL"),
        ("{type: http}", 'executor type "http" needs the field command: METHOD URL'),
        ("{type: jq, script: '1'}", ""),
        ("{type: jq}", 'executor type "jq" needs the field command'),
        ("{type: archive, command: list, config: {source: a.zip}}", ""),
        ("{type: archive, command: '${OP}', config: {source: a.zip}}", ""),
        ("{type: archive, command: extrct, config: {source: a.zip}}", "unknown archive operation: extrct"),
        ("{type: archive, command: list}", "source is required"),
        ("{type: archive, command: create, config: {source: a}}", "destination is required"),
        ("{type: archive, command: create, config: {source: a, dryRun: true}}", ""),
        ("{type: archive, command: create, config: {source: a, destination: b.zip}}", ""),
        ("{type: gha, command: actions/checkout@v4}", ""),
        ("{type: gha, command: actions/checkout}", "invalid GitHub action: actions/checkout"),
        ("{type: gha}", 'executor type "gha" needs the field command'),
    ],
)
def test_a_step_that_must_fail_is_a_warning_and_the_workflow_loads(step: str, expected: str) -> None:
    loaded = load(f"steps:\n  - echo fine\n  - {step}\n", file_name="a.yaml")

    assert loaded.ok
    assert [expected in str(warning) for warning in loaded.warnings] == ([True] if expected else [])


def test_an_archive_step_without_an_operation_is_an_error() -> None:
    """As in Dagu."""
    (error,) = errors_of("steps:\n  - {type: archive}\n")

    assert 'executor type "archive" needs the field command: create, extract, list' in error


def test_an_http_method_of_some_servers_own_is_a_warning() -> None:
    (warning,) = load("steps: [{type: http, command: GTE https://a/b}]", file_name="a.yaml").warnings

    assert (warning.message, warning.hint) == ("unknown http method: GTE", 'did you mean "GET"?')


def test_a_dag_level_container_keeps_its_run_on_one_worker() -> None:
    spec = "placement: spread\ncontainer: {container}\nsteps: [{command: ls}]\n"

    (error,) = errors_of(spec.replace("{container}", "{image: i}"))
    assert "'spread' cannot be used with a DAG-level container" in error
    assert errors_of(spec.replace("{container}", "theirs")) == []


@pytest.mark.parametrize(
    ("step", "config"),
    [
        (
            "{type: http, command: GET http://a/, config: {Silent: true, skipTlsVerify: true, JSON: true, other: 1}}",
            {"silent": True, "skipTLSVerify": True, "json": True, "other": 1},
        ),
        ("{executor: {type: jq, config: {Raw: true, raw: false}}, command: .a}", {"raw": False}),
        ("{type: mine, config: {Silent: true}}", {"Silent": True}),
    ],
)
def test_settings_are_known_in_any_case(step: str, config: dict[str, object]) -> None:
    dag = load(f"steps: [{step}]", file_name="a.yaml").dag

    assert dag is not None
    assert dag.steps[0].config == config
