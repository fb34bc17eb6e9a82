"""What a campaign plans and what it records: plain data, without any I/O."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "CLUSTERED",
    "DISTRIBUTED",
    "EMBEDDED",
    "DagPlan",
    "Fault",
    "Plan",
    "Request",
    "StepPlan",
    "Strike",
    "Undone",
    "Verb",
]

DISTRIBUTED, CLUSTERED, EMBEDDED = "distributed", "clustered", "embedded"
"""The deployments. ``CLUSTERED`` is ``DISTRIBUTED`` on a broker of three nodes and a Postgres with a replica."""


class Verb(StrEnum):
    """What a user asks for."""

    START = "start"
    ENQUEUE = "enqueue"
    STOP = "stop"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step of a generated DAG.

    ``fails``: ``""``, ``once`` (its first execution fails) or ``always``. ``retried``: it has a ``retryPolicy``.
    ``repeats``: how often it runs.
    """

    name: str
    retried: bool
    fails: str
    repeats: int = 1


@dataclass(frozen=True, slots=True)
class DagPlan:
    """A generated DAG. ``steps`` are its own and those of its sub-DAGs that write to the ledger, by DAG name."""

    name: str
    spec: str
    steps: dict[str, tuple[StepPlan, ...]]
    cron: bool = False
    asks: bool = False
    """Whether a step waits for an approval, in its own runs or below them."""

    @property
    def fails(self) -> bool:
        """Whether a step without a ``retryPolicy`` fails by itself."""
        return any(step.fails and not step.retried for steps in self.steps.values() for step in steps)


@dataclass(frozen=True, slots=True)
class Request:
    """One write request, with its own Idempotency-Key ``key``.

    ``run_id`` is empty if the server shall choose the id. ``repeats``: how often it is sent again, with the same key.
    """

    at_s: float
    verb: Verb
    dag: str
    run_id: str
    key: str
    repeats: int = 0
    queue: str = ""
    priority: str = "low"


@dataclass(frozen=True, slots=True)
class Fault:
    """One planned fault. ``target`` chooses its victim among those that the kind can have; ``lasts_s`` its length."""

    at_s: float
    lane: str
    kind: str
    target: int
    lasts_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a seed decides. ``queues`` are the global queues with their limits."""

    seed: int
    deployment: str
    seconds: float
    queues: dict[str, int]
    dags: tuple[DagPlan, ...]
    requests: tuple[Request, ...]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Undone:
    """The runs, as ``(DAG, run id)``, that lost commits in failovers of the database.

    ``runs`` lost any commit; ``created``, a part of them, lost the one that created them.
    """

    runs: frozenset[tuple[str, str]] = frozenset()
    created: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault as it was carried out, with its times (seconds since the epoch).

    ``touches``: the workers that may justly be declared lost. ``error``: why it could not be carried out.
    """

    kind: str
    victim: str
    began: float
    ended: float
    touches: tuple[str, ...] = ()
    error: str = ""
