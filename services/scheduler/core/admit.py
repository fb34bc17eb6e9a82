"""Admission: which queued runs may start now. Pure.

Order: first in, first out within a priority; a run of high priority goes before all that were queued
less than ``AGING`` before it, so nothing waits for ever however many urgent runs keep coming. One that
goes on after its approvals goes before all others. A run that may not start yet (held, or no worker has
its labels) lets those behind it pass.

Runs that call each other have one place together, or the caller would keep the called one waiting for
ever: a running run lends its place to one below it, at any depth. So the places taken are the running
runs that have none of their queue running below them, and no end of a run ever makes them more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

__all__ = ["AGING", "HIGH", "LOW", "RESUMED", "Admitted", "Candidate", "admit", "borrowers", "capacity_of", "place"]

LOW, HIGH, RESUMED = 0, 1, 2
"""Priorities. ``RESUMED``: it began already, and goes before all that have not."""
AGING = timedelta(minutes=10)
"""How much older a low run must be to go before a high one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A queued run. It is held until ``not_before``, and until ``wait_s`` after ``after_status`` is over.

    ``after_status`` is ``None`` where it waits for no other run, or that run is gone.
    """

    run_key: str
    queued_at: datetime
    priority: int = LOW
    selector: Mapping[str, str] = field(default_factory=dict)
    not_before: datetime | None = None
    after_status: str | None = None
    after_finished_at: datetime | None = None
    wait_s: int = 0


@dataclass(frozen=True, slots=True)
class Admitted:
    """``wake_at``: when the first of those held by time may start."""

    keys: tuple[str, ...]
    wake_at: datetime | None = None


def place(candidate: Candidate) -> tuple[bool, datetime, str]:
    """Return what candidates are ordered by; it never changes, so the order of two never does."""
    resumed = candidate.priority == RESUMED
    return not resumed, candidate.queued_at - (0 if resumed else candidate.priority) * AGING, candidate.run_key


def capacity_of(max_concurrency: int | None, max_active_runs: int) -> int:
    """Return a queue's limit: its own where it is global, else that of its first run's dag."""
    return max(1, max_active_runs if max_concurrency is None else max_concurrency)


def admit(
    candidates: Iterable[Candidate], *, free: int, now: datetime, labels: Sequence[Mapping[str, str]]
) -> Admitted:
    """Choose at most ``free`` of the candidates, which come in order; ``labels`` are those of live workers."""
    keys: list[str] = []
    wake_at: datetime | None = None
    if free <= 0:
        return Admitted(())
    for candidate in candidates:
        if candidate.after_status in {"running", "queued"}:
            continue
        due = _due_at(candidate)
        if due is not None and due > now:
            wake_at = due if wake_at is None else min(wake_at, due)
            continue
        if candidate.selector and not any(candidate.selector.items() <= worker.items() for worker in labels):
            continue
        keys.append(candidate.run_key)
        if len(keys) == free:
            break
    return Admitted(tuple(keys), wake_at)


def borrowers(keys: Iterable[str], lenders: Mapping[str, str]) -> tuple[str, ...]:
    """Choose who takes over the place of a run above it: the first for each; ``lenders`` by who may borrow."""
    chosen: dict[str, str] = {}
    for key in keys:
        chosen.setdefault(lenders[key], key)
    return tuple(chosen.values())


def _due_at(candidate: Candidate) -> datetime | None:
    moments = [candidate.not_before] if candidate.not_before is not None else []
    if candidate.after_finished_at is not None and candidate.wait_s:
        moments.append(candidate.after_finished_at + timedelta(seconds=candidate.wait_s))
    return max(moments, default=None)
