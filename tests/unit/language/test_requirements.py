"""Which steps none of the workers can run."""

import pytest

from shared.language.load import load
from shared.language.steps.requirements import Capabilities, steps_with_requirements, unsatisfied

ACT = "steps:\n  - {name: a, type: gha, command: o/a@v1}\n  - {name: b, command: echo}\n"
ON_GPU = "workerSelector: {gpu: 'true'}\n" + ACT
ABLE, UNABLE = ("command", "gha"), ("command",)


def judged(spec: str, *workers: Capabilities) -> list[str]:
    return unsatisfied(steps_with_requirements(load(spec).documents), workers)


@pytest.mark.parametrize(
    ("spec", "workers", "problems"),
    [
        (ACT, [Capabilities({}, UNABLE)], 1),
        (ACT, [Capabilities({}, UNABLE), Capabilities({}, ABLE)], 0),
        (ACT, [], 0),
        (ACT, [Capabilities({}, ())], 0),
        (ACT, [Capabilities({}, ()), Capabilities({}, UNABLE)], 1),
        (ON_GPU, [Capabilities({}, ABLE), Capabilities({"gpu": "true", "zone": "a"}, UNABLE)], 1),
        (ON_GPU, [Capabilities({}, UNABLE), Capabilities({"gpu": "true"}, ABLE)], 0),
        (ON_GPU, [Capabilities({}, UNABLE)], 0),
        ("env: [{PATH: /opt}]\n" + ACT, [Capabilities({}, UNABLE)], 0),
        (ACT.replace("o/a@v1", "o/a@v1, env: [{PATH: /opt}]"), [Capabilities({}, UNABLE)], 0),
        ("handlerOn: {exit: {type: jq, command: .}}\nsteps: [echo]\n", [Capabilities({}, UNABLE)], 1),
        ("steps: [echo]\n---\nname: sub\n" + ACT, [Capabilities({}, UNABLE)], 1),
    ],
)
def test_a_step_is_unsatisfied_by_workers_that_could_get_it_and_list_their_capabilities(
    spec: str, workers: list[Capabilities], problems: int
) -> None:
    assert len(judged(spec, *workers)) == problems


def test_the_problem_names_step_field_and_what_is_missing() -> None:
    [problem] = judged(ACT, Capabilities({}, UNABLE))

    assert problem == (
        'step "a": type: no live worker can run gha steps, which need the program act on the worker'
        ": install it there (https://github.com/nektos/act)"
    )
