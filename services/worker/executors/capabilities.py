"""The types of step that this worker can run, depending on the programs and packages installed on it."""

import logging
import shutil
import time
from collections.abc import Callable
from importlib.util import find_spec

from services.worker.inputs.environment import host_variables
from shared.language.steps.executor_types import known_types
from shared.language.steps.requirements import REQUIREMENTS, Requirement

__all__ = ["InstalledTypes", "available_types"]

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 30.0


def available_types() -> tuple[str, ...]:
    """Return the types of step that this worker can run now. It looks for programs and packages on the disk."""
    path = host_variables().get("PATH")
    return tuple(name for name in known_types() if name not in REQUIREMENTS or _is_installed(REQUIREMENTS[name], path))


class InstalledTypes:
    """What ``look`` returned last, at most 30 s ago if it could look: a program can be installed meanwhile.

    Each heartbeat names these types, and to look for them takes as long as the rest of the heartbeat. ``steady`` is a
    clock in seconds.
    """

    def __init__(self, look: Callable[[], tuple[str, ...]], steady: Callable[[], float] = time.monotonic) -> None:
        self._look, self._steady = look, steady
        self._found: tuple[str, ...] = ()
        self._until_s = float("-inf")

    def __call__(self) -> tuple[str, ...]:
        if self._steady() >= self._until_s:
            try:
                self._found = self._look()
            except OSError as error:
                # Too many open files, for instance: no reason to send no heartbeat.
                _log.warning("worker.types_unknown", extra={"error": str(error)})
            self._until_s = self._steady() + _LOOK_EVERY_S
        return self._found


def _is_installed(need: Requirement, path: str | None) -> bool:
    if need.program:
        return shutil.which(need.program, path=path) is not None
    return find_spec(need.package) is not None
