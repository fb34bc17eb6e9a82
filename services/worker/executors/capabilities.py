"""The types of step that this worker can run, depending on the programs and packages installed on it."""

import shutil
from importlib.util import find_spec

from services.worker.inputs.environment import host_variables
from shared.language.steps.executor_types import known_types
from shared.language.steps.requirements import REQUIREMENTS, Requirement

__all__ = ["available_types"]


def available_types() -> tuple[str, ...]:
    """Return the types of step that this worker can run. Not cached: a program can be installed while it runs."""
    path = host_variables().get("PATH")
    return tuple(name for name in known_types() if name not in REQUIREMENTS or _is_installed(REQUIREMENTS[name], path))


def _is_installed(need: Requirement, path: str | None) -> bool:
    if need.program:
        return shutil.which(need.program, path=path) is not None
    return find_spec(need.package) is not None
