"""Decides which queued runs may start now, and explains why the others wait. Pure.

Order: first in, first out within a priority. A run with high priority overtakes runs with low priority, unless
they were queued ``AGING`` or longer before it. So a stream of urgent runs cannot starve older ones. A run that
continues after its approvals overtakes all others. If a run may not start yet (it is held, i.e. paused or rescheduled
to a later time, its worker pool does not serve its workspace, or no live worker has its labels), the runs after it may
start.

Queue sharing: a running run lends its place in a queue to one of its sub-runs in the same queue, at any depth. Without
that, the calling run would wait for the sub-run forever, and the sub-run for a place. So a running run takes a place
only while none of its sub-runs, at any depth, runs in the same queue, and the end of a run never increases the number
of taken places.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from shared.admission.workers import NotServed, not_served, satisfies
from shared.workspaces import workspace_of

__all__ = [
    "AGING",
    "HIGH",
    "LOW",
    "PRIORITIES",
    "RESUMED",
    "Admitted",
    "BehindRuns",
    "InLine",
    "Moment",
    "OpenPause",
    "QueueState",
    "QueuedRun",
    "admission_order",
    "admit",
    "admit_borrowers",
    "behind",
    "capacity_of",
    "explain",
    "no_worker",
    "obstacle",
    "own_priority",
    "pauses_queue",
]

LOW, HIGH, RESUMED = 0, 1, 2
"""Priorities. ``RESUMED`` is added to that of a run that began already, which goes before runs that have not begun."""
PRIORITIES = (LOW, HIGH, RESUMED + LOW, RESUMED + HIGH)
AGING = timedelta(minutes=10)
"""How much earlier a run with low priority must be queued to go before a run with high priority."""

_ACTIVE = frozenset({"queued", "running"})
_EVER = datetime.min.replace(tzinfo=UTC)


class InLine(Protocol):
    """What a queued run's position in the order of admission follows from."""

    @property
    def run_key(self) -> str: ...
    @property
    def queued_at(self) -> datetime: ...
    @property
    def priority(self) -> int: ...


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A queued run. Its earliest start is ``not_before``, and ``wait_s`` seconds after the run ``after`` has ended.

    ``after`` is empty if the run need not wait for another run. ``after_status`` is the status of the run ``after``,
    or ``None`` if ``after`` is empty or the run was deleted.
    """

    run_key: str
    queued_at: datetime
    priority: int = LOW
    selector: Mapping[str, str] = field(default_factory=dict)
    queue: str = ""
    file_name: str = ""
    is_root: bool = True
    not_before: datetime | None = None
    after: str = ""
    after_status: str | None = None
    after_finished_at: datetime | None = None
    wait_s: int = 0


@dataclass(frozen=True, slots=True)
class OpenPause:
    """A pause that has not ended. ``scope`` is global, queue or dag. ``name``: the queue, or the dag's file name."""

    scope: str
    name: str
    by: str = ""
    reason: str = ""

    def covers(self, queue: str, file_name: str | None) -> bool:
        """Return whether it keeps a run in this queue, of the DAG with this file name, from starting."""
        return self.scope == "global" or self.name == (queue if self.scope == "queue" else file_name)

    def __str__(self) -> str:
        """Return what is paused, by whom and why."""
        what = {"global": "everything", "queue": f"queue {self.name}", "dag": f"DAG {self.name}"}[self.scope]
        return f"paused by {self.by}: {what}{f' ({self.reason})' if self.reason else ''}"


@dataclass(frozen=True, slots=True)
class Moment:
    """The state at one moment that is the same for all queues. ``labels``: the labels of each live worker.

    ``reserved``: the workspaces that each reserved worker pool serves.
    """

    now: datetime
    labels: Sequence[Mapping[str, str]] = ()
    pauses: Sequence[OpenPause] = ()
    reserved: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue at one moment. ``taken``: how many places are taken. ``running``: the names of the first runs in them."""

    name: str
    capacity: int
    taken: int
    running: tuple[str, ...] = ()

    @property
    def free(self) -> int:
        return max(0, self.capacity - self.taken)


@dataclass(frozen=True, slots=True)
class Admitted:
    """``keys``: the runs that start now.

    ``wake_at``: the earliest time of the runs with the obstacle ``NotBefore``, or ``None`` if there are none.
    """

    keys: tuple[str, ...]
    wake_at: datetime | None = None


# -- obstacles: why a run may not start; users see their text ------------------------------------


@dataclass(frozen=True, slots=True)
class AfterRun:
    """The obstacle that another run has not ended."""

    name: str
    status: str

    def __str__(self) -> str:
        return f"the end of run {self.name}, which is {self.status}"


@dataclass(frozen=True, slots=True)
class NotBefore:
    """The obstacle that a run must not start before a time."""

    at: datetime

    def __str__(self) -> str:
        return f"not before {self.at.isoformat()}"


@dataclass(frozen=True, slots=True)
class NoWorker:
    """The obstacle that no live worker satisfies the run's worker selector."""

    selector: Mapping[str, str]

    def __str__(self) -> str:
        return "no live worker with labels " + ", ".join(
            f"{key}={value}" for key, value in sorted(self.selector.items())
        )


@dataclass(frozen=True, slots=True)
class QueueFull:
    """The obstacle that all places of a queue are taken."""

    queue: QueueState

    def __str__(self) -> str:
        queue = self.queue
        more = queue.taken - len(queue.running)
        who = ", ".join(queue.running) + (f" and {more} more" if more > 0 else "")
        return f"queue {queue.name} is full ({queue.taken}/{queue.capacity}): {who}"


@dataclass(frozen=True, slots=True)
class WorkspaceFull:
    """The obstacle that a workspace runs at least as many root runs as its quota allows."""

    running: int
    limit: int

    def __str__(self) -> str:
        return f"the workspace runs {self.running} of at most {self.limit} runs at once"


@dataclass(frozen=True, slots=True)
class BehindRuns:
    """The obstacle that runs before this run are entitled to free places of a queue, or that nobody has looked yet."""

    queue: str

    def __str__(self) -> str:
        return f"its turn in queue {self.queue}"


Obstacle = OpenPause | AfterRun | NotBefore | NotServed | NoWorker | WorkspaceFull | QueueFull | BehindRuns


def obstacle(run: QueuedRun, moment: Moment) -> Obstacle | None:
    """Return the first obstacle that keeps a run from starting even if its queue has free places, or ``None``."""
    for pause in moment.pauses:
        if pause.covers(run.queue, run.file_name):
            return pause
    if run.after_status in _ACTIVE:
        return AfterRun(run.after, run.after_status or "")
    due_at = _due_at(run)
    if due_at is not None and due_at > moment.now:
        return NotBefore(due_at)
    barred = not_served(run.selector, workspace_of(run.queue), moment.reserved)
    return barred or no_worker(run.selector, moment.labels)


def no_worker(selector: Mapping[str, str], labels: Iterable[Mapping[str, str]]) -> NoWorker | None:
    """Return an obstacle if no live worker satisfies ``selector``, else ``None``. ``labels``: per live worker."""
    return NoWorker(selector) if selector and not any(satisfies(each, selector) for each in labels) else None


def explain(
    run: QueuedRun,
    moment: Moment,
    queue: QueueState,
    *,
    borrows: bool = False,
    quota: tuple[int, int] | None = None,
) -> Obstacle:
    """Return why a run waits. Without another obstacle, it waits for its turn.

    ``borrows``: whether a run that called this run, directly or not, lends its place. ``quota``: how many root runs of
    its workspace are running, and how many may.
    """
    found = obstacle(run, moment)
    if found is not None:
        return found
    if not borrows:
        if quota is not None and run.is_root and quota[0] >= quota[1]:
            return WorkspaceFull(*quota)
        if not queue.free:
            return QueueFull(queue)
    return BehindRuns(queue.name)


# -- decisions ------------------------------------------------------------------------------------


def admission_order(run: InLine) -> tuple[bool, datetime, str]:
    """Return the sort key of a queued run. The key never changes, so the order of two queued runs never changes."""
    return run.priority < RESUMED, run.queued_at - own_priority(run.priority) * AGING, run.run_key


def behind(run: InLine) -> dict[int, tuple[datetime, str]]:
    """Return by priority which runs come behind this one: those whose ``(queued_at, run_key)`` is greater.

    A priority that the result lacks has none. Raises ``OverflowError`` if ``run`` is almost at the end of all time.
    """
    not_begun, at, run_key = admission_order(run)
    from_there = {
        priority: (at + own_priority(priority) * AGING, run_key)
        for priority in PRIORITIES
        if (priority < RESUMED) == not_begun
    }
    return from_there if not_begun else from_there | {LOW: (_EVER, ""), HIGH: (_EVER, "")}


def own_priority(priority: int) -> int:
    """Return the priority of a run without ``RESUMED``: ``LOW`` or ``HIGH``."""
    return priority % RESUMED


def capacity_of(max_concurrency: int | None, max_active_runs: int) -> int:
    """Return the limit of a queue.

    The limit is ``max_concurrency`` if the queue is global, else ``max_active_runs`` of the DAG of its first run.
    """
    return max(1, max_active_runs if max_concurrency is None else max_concurrency)


def pauses_queue(pauses: Iterable[OpenPause], queue: str) -> bool:
    """Return whether one of ``pauses`` keeps all runs of ``queue`` from starting."""
    return any(pause.scope == "global" or (pause.scope == "queue" and pause.name == queue) for pause in pauses)


def admit(runs: Iterable[QueuedRun], moment: Moment, *, free: int, room: int | None = None) -> Admitted:
    """Choose at most ``free`` runs to start. ``runs`` is sorted by ``admission_order``, and read only as far as needed.

    ``room``: how many root runs the quota of the workspace allows; ``None``: any number. A sub-run does not count: its
    root run waits for it.
    """
    keys: list[str] = []
    wake_at: datetime | None = None
    if free <= 0:
        return Admitted(())
    for run in runs:
        found = obstacle(run, moment)
        if isinstance(found, NotBefore):
            wake_at = found.at if wake_at is None else min(wake_at, found.at)
        if found is not None or (run.is_root and room is not None and room <= 0):
            continue
        keys.append(run.run_key)
        if run.is_root and room is not None:
            room -= 1
        if len(keys) == free:
            break
    return Admitted(tuple(keys), wake_at)


def admit_borrowers(runs: Iterable[QueuedRun], moment: Moment, lenders: Mapping[str, str]) -> tuple[str, ...]:
    """Choose the sub-runs that start in the place of a run that lends it: for each lender, the first that may start.

    ``runs``: the sub-runs that may borrow a place, sorted by ``admission_order``.
    ``lenders``: for the key of each of ``runs``, the key of the run that lends its place.
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
