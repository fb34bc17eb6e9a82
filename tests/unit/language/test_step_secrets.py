"""Which of the workflow's secrets a step gets."""

import pytest

from shared.language.load import load

SECRETS = "secrets: [{name: DB, provider: env, key: X}, {name: API, provider: env, key: Y}]\n"


@pytest.mark.parametrize(
    ("written", "names"),
    [("", None), (", secrets: []", ()), (", secrets: [DB]", ("DB",)), (", secrets: 'DB, API'", ("DB", "API"))],
)
def test_a_step_names_its_secrets(written: str, names: tuple[str, ...] | None) -> None:
    loaded = load(f"{SECRETS}steps: [{{command: a{written}}}]\n")

    assert loaded.issues == ()
    assert loaded.dag is not None
    assert loaded.dag.steps[0].secrets == names


def test_a_secret_that_the_workflow_does_not_have_is_an_error() -> None:
    loaded = load(
        f"{SECRETS}steps: [{{command: a, secrets: [DBB]}}]\nhandlerOn: {{exit: {{command: a, secrets: [X]}}}}\n"
    )

    assert sorted((issue.message, issue.hint) for issue in loaded.issues) == [
        ("the workflow has no secret 'DBB'", 'did you mean "DB"?'),
        ("the workflow has no secret 'X'", "name it in the secrets of the workflow, with its provider"),
    ]
    assert {issue.severity for issue in loaded.issues} == {"error"}
