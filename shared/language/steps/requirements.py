"""Which steps need more of a worker than every worker has, and who can do them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from shared.admission.workers import satisfies
from shared.language.model import Dag, Step
from shared.language.steps.executor_types import plugin_types

__all__ = ["REQUIREMENTS", "Capabilities", "Requirement", "steps_with_requirements", "unsatisfied"]


class Requirement(NamedTuple):
    """A program on the worker's ``PATH``, or a Python package beside it."""

    program: str = ""
    package: str = ""
    get: str = ""
    """How to get it."""

    def __str__(self) -> str:
        """Return it as the end of a sentence."""
        what = f"the program {self.program}" if self.program else f"the Python package {self.package}"
        return f"{what} on the worker{f' ({self.get})' if self.get else ''}"


_ACT = Requirement(program="act", get="https://github.com/nektos/act")
_ENGINE = Requirement(package="docker", get="pip install 'dagway[docker]'")
REQUIREMENTS: Mapping[str, Requirement] = {
    "jq": Requirement(package="jq", get="pip install 'dagway[jq]'"),
    "ssh": Requirement(program="ssh"),
    **dict.fromkeys(("docker", "container"), _ENGINE),
    **dict.fromkeys(("gha", "github_action", "github-action"), _ACT),
}
"""By type of step. A type that another package brings needs that package; all others need nothing."""


class Capabilities(NamedTuple):
    """A worker that takes work, as far as its own words go."""

    labels: Mapping[str, str]
    executors: Sequence[str]
    """The types of step it can do; empty: it does not say."""


def steps_with_requirements(dags: Iterable[Dag]) -> list[tuple[Dag, Step]]:
    """Return the steps that not every worker can do, each with its dag.

    Left out is a step whose program may be found through a ``PATH`` of its own or its dag's.
    """
    plugins = plugin_types()
    found = []
    for dag in dags:
        for step in (*dag.steps, *dag.handlers.values()):
            need = REQUIREMENTS.get(step.type)
            own_path = need is not None and need.program and any(name == "PATH" for name, _ in (*dag.env, *step.env))
            if (need is not None or step.type in plugins) and not own_path:
                found.append((dag, step))
    return found


def unsatisfied(
    steps: Iterable[tuple[Dag, Step]], workers: Iterable[Capabilities], *, no_worker: str = "no live worker"
) -> list[str]:
    """Return why none of the workers can do these steps, one line for each that nobody can.

    Judged are steps that some worker could get by its labels; without such a worker nothing is known.
    """
    known = [one for one in workers if one.executors]
    problems = []
    for dag, step in steps:
        fit = [one for one in known if satisfies(one.labels, dag.worker_selector)]
        if fit and not any(step.type in one.executors for one in fit):
            need = REQUIREMENTS.get(step.type) or "the package that brings them on the worker"
            problems.append(f'step "{step.name}": type: {no_worker} can run {step.type} steps, which need {need}')
    return problems
