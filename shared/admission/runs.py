"""Which queued runs may start now, and why the others wait. Pure.

Order: first in, first out within a priority. A run of high priority goes before all that were queued
less than ``AGING`` before it, so a stream of urgent runs cannot starve the others. A run that continues
after its approvals goes before all others. A run that may not start yet (it is held, or no live worker
has its labels) lets those behind it pass.

Queue sharing: a running run lends its place in the queue to one below it that it called, at any depth.
Otherwise the caller would wait for the called run forever. So the places taken are the running runs
that have none of their queue running below them, and the end of a run never makes them more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.admission.workers import satisfies

__all__ = [
    "AGING",
    "HIGH",
    "LOW",
    "RESUMED",
    "Admitted",
    "BehindRuns",
    "Moment",
    "OpenPause",
    "QueueState",
    "QueuedRun",
    "admit",
    "admit_borrowers",
    "capacity_of",
    "explain",
    "no_worker",
    "obstacle",
    "pauses_queue",
    "place",
]

LOW, HIGH, RESUMED = 0, 1, 2
"""Priorities. ``RESUMED``: the run began already and goes before all that have not."""
AGING = timedelta(minutes=10)
"""How much older a run of low priority must be to go before one of high priority."""

_ACTIVE = frozenset({"queued", "running"})


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A queued run. It is held until ``not_before``, and until ``wait_s`` after the end of the run ``after``.

    ``after_status`` is ``None`` if it waits for no other run, or that run was deleted.
    """

    run_key: str
    queued_at: datetime
    priority: int = LOW
    selector: Mapping[str, str] = field(default_factory=dict)
    queue: str = ""
    file_name: str = ""
    not_before: datetime | None = None
    after: str = ""
    after_status: str | None = None
    after_finished_at: datetime | None = None
    wait_s: int = 0


@dataclass(frozen=True, slots=True)
class OpenPause:
    """A pause that nobody has resumed. ``scope``: global, queue or dag; ``name``: the queue or the dag's file."""

    scope: str
    name: str
    by: str = ""
    reason: str = ""

    def __str__(self) -> str:
        """Return what is paused, by whom and why."""
        what = {"global": "everything", "queue": f"queue {self.name}", "dag": f"DAG {self.name}"}[self.scope]
        return f"paused by {self.by}: {what}{f' ({self.reason})' if self.reason else ''}"


@dataclass(frozen=True, slots=True)
class Moment:
    """What decides about runs of all queues at one moment. ``labels``: those of each live worker."""

    now: datetime
    labels: Sequence[Mapping[str, str]] = ()
    pauses: Sequence[OpenPause] = ()


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue at one moment. ``running``: the names of the first few of the ``taken`` runs."""

    name: str
    capacity: int
    taken: int
    running: tuple[str, ...] = ()

    @property
    def free(self) -> int:
        return max(0, self.capacity - self.taken)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The runs that start. ``wake_at``: the earliest time at which a run held by time may start."""

    keys: tuple[str, ...]
    wake_at: datetime | None = None


# -- obstacles: why a run may not start; their text is what people read ---------------------------


@dataclass(frozen=True, slots=True)
class AfterRun:
    """Another run has to end first."""

    name: str
    status: str

    def __str__(self) -> str:
        return f"the end of run {self.name}, which is {self.status}"


@dataclass(frozen=True, slots=True)
class NotBefore:
    """The run is held until a time."""

    at: datetime

    def __str__(self) -> str:
        return f"not before {self.at.isoformat()}"


@dataclass(frozen=True, slots=True)
class NoWorker:
    """No live worker has the labels that the run's worker selector asks for."""

    selector: Mapping[str, str]

    def __str__(self) -> str:
        return "no live worker with labels " + ", ".join(
            f"{key}={value}" for key, value in sorted(self.selector.items())
        )


@dataclass(frozen=True, slots=True)
class QueueFull:
    """Each place of the queue is taken."""

    queue: QueueState

    def __str__(self) -> str:
        queue = self.queue
        more = queue.taken - len(queue.running)
        who = ", ".join(queue.running) + (f" and {more} more" if more > 0 else "")
        return f"queue {queue.name} is full ({queue.taken}/{queue.capacity}): {who}"


@dataclass(frozen=True, slots=True)
class BehindRuns:
    """The queue has a free place, which those before this run are entitled to."""

    queue: str

    def __str__(self) -> str:
        return f"its turn in queue {self.queue}"


Obstacle = OpenPause | AfterRun | NotBefore | NoWorker | QueueFull | BehindRuns


def obstacle(run: QueuedRun, moment: Moment) -> Obstacle | None:
    """Return the first thing that keeps a run from starting however many places its queue has."""
    for pause in moment.pauses:
        if pause.scope == "global" or pause.name == (run.queue if pause.scope == "queue" else run.file_name):
            return pause
    if run.after_status in _ACTIVE:
        return AfterRun(run.after, run.after_status or "")
    due_at = _due_at(run)
    if due_at is not None and due_at > moment.now:
        return NotBefore(due_at)
    return no_worker(run.selector, moment.labels)


def no_worker(selector: Mapping[str, str], labels: Iterable[Mapping[str, str]]) -> NoWorker | None:
    """Return an obstacle if none of the live workers, which have these labels, satisfies a selector."""
    return NoWorker(selector) if selector and not any(satisfies(each, selector) for each in labels) else None


def explain(
    run: QueuedRun, moment: Moment, queue: QueueState, *, ahead: int | None, borrows: bool = False
) -> Obstacle | None:
    """Return why a run waits; ``None`` exactly if ``admit`` or ``admit_borrowers`` starts it at this moment.

    ``ahead``: how many runs before it have no obstacle of their own (``None``: unknown).
    ``borrows``: a run above it lends it its place.
    """
    found = obstacle(run, moment)
    if found is not None or borrows:
        return found
    if not queue.free:
        return QueueFull(queue)
    return BehindRuns(queue.name) if ahead is None or ahead >= queue.free else None


# -- decisions ------------------------------------------------------------------------------------


def place(run: QueuedRun) -> tuple[bool, datetime, str]:
    """Return the sort key of a queued run. It never changes, so neither does the order of two runs."""
    resumed = run.priority == RESUMED
    return not resumed, run.queued_at - (0 if resumed else run.priority) * AGING, run.run_key


def capacity_of(max_concurrency: int | None, max_active_runs: int) -> int:
    """Return a queue's limit: its own if it is global, else the ``maxActiveRuns`` of its first run's dag."""
    return max(1, max_active_runs if max_concurrency is None else max_concurrency)


def pauses_queue(pauses: Iterable[OpenPause], queue: str) -> bool:
    """Whether a pause keeps all runs of a queue from starting."""
    return any(pause.scope == "global" or (pause.scope == "queue" and pause.name == queue) for pause in pauses)


def admit(runs: Iterable[QueuedRun], moment: Moment, *, free: int) -> Admitted:
    """Choose at most ``free`` of the runs, which come in order (``place``). Reads no more of them than it must."""
    keys: list[str] = []
    wake_at: datetime | None = None
    if free <= 0:
        return Admitted(())
    for run in runs:
        found = obstacle(run, moment)
        if isinstance(found, NotBefore):
            wake_at = found.at if wake_at is None else min(wake_at, found.at)
        if found is not None:
            continue
        keys.append(run.run_key)
        if len(keys) == free:
            break
    return Admitted(tuple(keys), wake_at)


def admit_borrowers(runs: Iterable[QueuedRun], moment: Moment, lenders: Mapping[str, str]) -> tuple[str, ...]:
    """Choose the runs that start in the place of a run above them: for each lender the first that may start.

    ``lenders``: the lending run by the key of each run that may borrow from it. ``runs``: the borrowers in order.
    """
    chosen: dict[str, str] = {}
    for key in admit(runs, moment, free=len(lenders)).keys:
        chosen.setdefault(lenders[key], key)
    return tuple(chosen.values())


def _due_at(run: QueuedRun) -> datetime | None:
    moments = [run.not_before] if run.not_before is not None else []
    if run.after_finished_at is not None and run.wait_s:
        moments.append(run.after_finished_at + timedelta(seconds=run.wait_s))
    return max(moments, default=None)
