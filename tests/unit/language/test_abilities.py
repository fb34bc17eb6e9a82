"""Which steps none of the workers can do."""

import pytest

from shared.language.load import load
from shared.language.steps.requirements import Hands, beyond, needing

ACT = "steps:\n  - {name: a, type: gha, command: o/a@v1}\n  - {name: b, command: echo}\n"
ON_GPU = "workerSelector: {gpu: 'true'}\n" + ACT
ABLE, UNABLE = ("command", "gha"), ("command",)


def judged(spec: str, *workers: Hands) -> list[str]:
    return beyond(needing(load(spec).documents), workers)


@pytest.mark.parametrize(
    ("spec", "workers", "problems"),
    [
        (ACT, [Hands({}, UNABLE)], 1),
        (ACT, [Hands({}, UNABLE), Hands({}, ABLE)], 0),
        (ACT, [], 0),
        (ACT, [Hands({}, ())], 0),
        (ACT, [Hands({}, ()), Hands({}, UNABLE)], 1),
        (ON_GPU, [Hands({}, ABLE), Hands({"gpu": "true", "zone": "a"}, UNABLE)], 1),
        (ON_GPU, [Hands({}, UNABLE), Hands({"gpu": "true"}, ABLE)], 0),
        (ON_GPU, [Hands({}, UNABLE)], 0),
        ("env: [{PATH: /opt}]\n" + ACT, [Hands({}, UNABLE)], 0),
        (ACT.replace("o/a@v1", "o/a@v1, env: [{PATH: /opt}]"), [Hands({}, UNABLE)], 0),
        ("handlerOn: {exit: {type: jq, command: .}}\nsteps: [echo]\n", [Hands({}, UNABLE)], 1),
        ("steps: [echo]\n---\nname: sub\n" + ACT, [Hands({}, UNABLE)], 1),
    ],
)
def test_a_step_is_beyond_the_workers_that_could_get_it_and_say_what_they_can(
    spec: str, workers: list[Hands], problems: int
) -> None:
    assert len(judged(spec, *workers)) == problems


def test_the_problem_names_step_field_and_what_is_missing() -> None:
    [problem] = judged(ACT, Hands({}, UNABLE))

    assert problem == (
        'step "a": type: no live worker can do gha steps, which need the program act on the worker '
        "(https://github.com/nektos/act)"
    )
