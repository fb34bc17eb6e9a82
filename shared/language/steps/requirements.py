"""Find steps that need a program or package that not every worker has, and check that some worker has it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from shared.admission.workers import satisfies
from shared.language.model import Dag, Step
from shared.language.steps.executor_types import CONTAINER_TYPES, GHA_TYPES, plugin_types

__all__ = ["REQUIREMENTS", "Capabilities", "Requirement", "steps_with_requirements", "unsatisfied"]


class Requirement(NamedTuple):
    """A program on the worker's ``PATH``, or a Python package in its environment."""

    program: str = ""
    package: str = ""
    get: str = ""
    """How to install it."""

    def __str__(self) -> str:
        """Return the end of an error message: ``the program act on the worker: install it there (…)``."""
        what = f"the program {self.program}" if self.program else f"the Python package {self.package}"
        return f"{what} on the worker: install it there{f' ({self.get})' if self.get else ''}"


_ACT = Requirement(program="act", get="https://github.com/nektos/act")
_ENGINE = Requirement(package="docker", get="pip install '.[docker]' in a clone of Dagway")
REQUIREMENTS: Mapping[str, Requirement] = {
    "jq": Requirement(package="jq", get="pip install '.[jq]' in a clone of Dagway"),
    "ssh": Requirement(program="ssh"),
    **dict.fromkeys(CONTAINER_TYPES, _ENGINE),
    **dict.fromkeys(GHA_TYPES, _ACT),
}
"""By executor type. A type from a plugin needs the plugin's package; all other types need nothing."""


class Capabilities(NamedTuple):
    """What a live worker reports about itself."""

    labels: Mapping[str, str]
    executors: Sequence[str]
    """The executor types that it can run; empty if it does not report them."""


def steps_with_requirements(dags: Iterable[Dag]) -> list[tuple[Dag, Step]]:
    """Return the steps that not every worker can run, each with its dag.

    A step that needs a program is left out if the step or its dag sets ``PATH``, where the program may be.
    """
    found = []
    for dag in dags:
        for step in (*dag.steps, *dag.handlers.values()):
            requirement = REQUIREMENTS.get(step.type)
            if requirement is None and step.type not in plugin_types():
                continue
            sets_path = any(name == "PATH" for name, _ in (*dag.env, *step.env))
            if not (sets_path and requirement is not None and requirement.program):
                found.append((dag, step))
    return found


def unsatisfied(
    steps: Iterable[tuple[Dag, Step]], workers: Iterable[Capabilities], *, no_worker: str = "no live worker"
) -> list[str]:
    """Return one error text for each step that none of the workers can run, with what the step needs.

    Say nothing about a step if no worker has the labels that its dag selects: such a worker may appear later.
    ``no_worker`` begins each text.
    """
    known = [one for one in workers if one.executors]
    problems = []
    for dag, step in steps:
        fit = [one for one in known if satisfies(one.labels, dag.worker_selector)]
        if fit and not any(step.type in one.executors for one in fit):
            requirement = REQUIREMENTS.get(step.type) or "a plugin's package on the worker: install it there"
            problems.append(
                f'step "{step.name}": type: {no_worker} can run {step.type} steps, which need {requirement}'
            )
    return problems
