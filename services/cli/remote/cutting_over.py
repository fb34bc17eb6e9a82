"""Moves the schedule of a workflow from another server to this one, between two of its scheduled times."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from services.cli.errors import GatewayError
from services.cli.remote.gateway import Gateway, path
from shared.language.cron import fires_between

__all__ = ["CutOver", "Workflow", "cut_over"]

_MARGIN = timedelta(seconds=15)
"""No scheduled time may be nearer: clocks of two servers differ, and Dagu starts runs some seconds late."""
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class CutOver:
    """How it ended. ``in_doubt``: scheduled times that passed meanwhile, for which neither server may have run.

    ``suspended``: it is here and suspended. ``already``: it was here before, and suspended there: nothing was done.
    """

    name: str
    done: bool
    why: str = ""
    in_doubt: tuple[str, ...] = ()
    suspended: bool = False
    already: bool = False


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow on the other server. ``expressions``: its schedule; ``tz``: the zone of those that name none."""

    name: str
    text: str
    expressions: Sequence[str]
    tz: tzinfo
    suspended: bool = False

    def scheduled_times(self, after: datetime, until: datetime) -> list[datetime]:
        """Return the scheduled times ``after < t <= until``, in order."""
        return sorted({at for each in self.expressions for at in fires_between(each, after, until, self.tz)})


def cut_over(
    there: Gateway,
    here: Gateway,
    workflow: Workflow,
    now: Callable[[], datetime] = _now,
    pause: Callable[[float], None] = time.sleep,
) -> CutOver:
    """Suspend a workflow there, and store and resume it here. Repeated after an interruption, it goes on.

    The workflow is stored here only after it was suspended there. If that fails, it is resumed there, unless it may be
    scheduled here by then. A workflow that was ``suspended`` there is suspended here when it is stored; one that is
    here already stays as it is.
    """
    name, text, suspended = workflow.name, workflow.text, workflow.suspended
    try:
        known = str(here.get(path("dags", name, "spec"))["spec"])
    except GatewayError as error:
        if error.status != 404:
            raise
        known = ""
    if known and known != text:
        return CutOver(name, done=False, why="another text is here; delete or rename it first")
    if known and suspended:
        # Cut over before, or never scheduled there: that server has no say any more in whether it is suspended here.
        here_too = bool(here.get(path("dags", name))["suspended"])
        return CutOver(name, done=True, already=True, suspended=here_too)
    _wait_for_a_gap(workflow, now, pause)
    began = now()
    _suspend(there, name, suspend=True)
    stored = False
    try:
        if not known:
            here.post("/dags", {"name": name, "spec": text})
            stored = True
        _suspend(here, name, suspend=suspended)
    except GatewayError as error:
        # Without a refusal, the request may have been carried out.
        stored = stored or not (known or 400 <= error.status < 500)
        if stored and (doubt := _why_scheduled(here, name)):
            why = f"{error}. It stays suspended there, because it may be scheduled here: {doubt}"
            return CutOver(name, done=False, why=why)
        if not suspended:
            _suspend(there, name, suspend=False)
        return CutOver(name, done=False, why=str(error))
    passed = [] if suspended else workflow.scheduled_times(began, now())
    return CutOver(name, done=True, in_doubt=tuple(slot.isoformat() for slot in passed), suspended=suspended)


def _why_scheduled(gateway: Gateway, name: str) -> str:
    """Suspend a workflow that may or may not have been stored. Return why it may go on; empty if it does not."""
    try:
        _suspend(gateway, name, suspend=True)
    except GatewayError as error:
        # Nothing of that name is there.
        return "" if error.status == 404 else str(error)
    return ""


def _suspend(gateway: Gateway, name: str, *, suspend: bool) -> None:
    gateway.post(f"{path('dags', name)}/suspend", {"suspend": suspend})


def _wait_for_a_gap(workflow: Workflow, now: Callable[[], datetime], pause: Callable[[float], None]) -> None:
    """Return when no scheduled time is near. Every schedule has such gaps, because it has whole minutes."""
    while workflow.scheduled_times((at := now()) - _MARGIN, at + _MARGIN):
        pause(_PAUSE_S)
