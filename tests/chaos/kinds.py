"""The kinds of faults, by lane.

Faults of one lane follow each other and those of different lanes overlap. So a process can die while the database is
away, but no two faults of the same server contradict each other.
"""

from dataclasses import dataclass

from tests.chaos.model import CLUSTERED, DISTRIBUTED, EMBEDDED

__all__ = ["EARLIER", "LANES", "LINK_LANE", "SERVER_LANES", "Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: how long it lasts at least and at most, and for how long its lane rests after it, in leases."""

    name: str
    shortest: float = 0.0
    longest: float = 0.0
    rest: float = 0.0


_PROCESSES = (
    *(Kind(f"{service} killed") for service in ("gateway", "scheduler", "worker")),
    *(Kind(f"{service} frozen", 0.5, 2.5) for service in ("gateway", "scheduler", "worker")),
    *(Kind(f"{service} restarted") for service in ("gateway", "scheduler")),
    Kind("worker away, back with its queue filled", 1.5, 2.5),
    Kind("scheduler killed after a commit", 1, 2),
    Kind("scheduler killed before it sends", 1, 2),
    Kind("scheduler killed after a confirm", 1, 2),
    Kind("scheduler killed before it tells a caller", 1, 2),
    Kind("all schedulers killed", 0, 1),
    Kind("all workers killed"),
    *(Kind(f"{service} with a wrong clock", 1, 2) for service in ("gateway", "scheduler", "worker")),
)
EARLIER = tuple(Kind(f"{service} of the earlier version", 1, 4) for service in ("gateway", "scheduler", "worker"))
"""Further kinds of the lane ``processes``, if there is an earlier version to run."""
_LINKS = (
    *(Kind(f"link to the {server} slow", 1, 2) for server in ("broker", "database")),
    *(Kind(f"link to the {server} stalled", 0.5, 2) for server in ("broker", "database")),
    *(Kind(f"link to the {server} half open", 0.5, 2) for server in ("broker", "database")),
    *(Kind(f"link to the {server} reset", 0, 1) for server in ("broker", "database")),
)
_SERVERS = (
    Kind("database killed"),
    Kind("database away", 1, 2),
    Kind("database frozen", 0.5, 2),
    Kind("database connections cut"),
    Kind("database read-only", 0.5, 2),
    Kind("database out of connections", 0.5, 1.5),
    Kind("broker killed"),
    Kind("broker application stopped", 0.2, 1),
    Kind("broker in memory alarm", 1, 2),
    Kind("broker connections closed"),
    Kind("task queues purged"),
    Kind("tasks delivered twice and late", 1, 1.5),
)
_BROKER_NODES = (
    Kind("broker node killed", 1, 4),
    Kind("broker node cut off", 1, 4),
)
_FAILOVERS = (
    # As long as the replica lags behind. The runs of the rest lose nothing, so that there is something to judge.
    Kind("database fails over", 0.1, 0.5, rest=2),
)
_EMBEDDED = (
    Kind("dagway up killed", 0, 1),
    Kind("dagway up killed after a commit", 1, 2),
    Kind("dagway up frozen", 0.5, 2),
    Kind("dagway up restarted"),
    Kind("worker process killed"),
    Kind("worker process frozen", 0.5, 2),
    Kind("disk full", 0.5, 1),
)
LINK_LANE = "links"
LANES: dict[str, dict[str, tuple[Kind, ...]]] = {
    DISTRIBUTED: {"processes": _PROCESSES, LINK_LANE: _LINKS, "servers": _SERVERS},
    CLUSTERED: {"processes": _PROCESSES, "broker nodes": _BROKER_NODES, "failovers": _FAILOVERS},
    EMBEDDED: {"machine": _EMBEDDED},
}
SERVER_LANES = frozenset({"servers", "broker nodes", "failovers"})
"""The lanes whose faults are of the broker or the database."""
