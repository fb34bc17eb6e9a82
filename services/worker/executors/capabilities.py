"""Which types of step this worker can do, by what is installed on it."""

import shutil
from importlib.util import find_spec

from services.worker.inputs.environment import host_variables
from shared.language.steps.executor_types import known_types
from shared.language.steps.requirements import REQUIREMENTS, Requirement

__all__ = ["able_types"]


def able_types() -> tuple[str, ...]:
    """Return them; a program may come and go while the worker runs."""
    path = host_variables().get("PATH")
    return tuple(name for name in known_types() if name not in REQUIREMENTS or _is_here(REQUIREMENTS[name], path))


def _is_here(need: Requirement, path: str | None) -> bool:
    if need.program:
        return shutil.which(need.program, path=path) is not None
    return find_spec(need.package) is not None
