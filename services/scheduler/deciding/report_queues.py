"""Which scheduler gets the reports about a run, so that its state stays in the memory of one process (ADR 30).

The run's key names one of the broker queues ``EVENT_SHARDS``, and each task names that queue to its worker. All
schedulers consume all of them, with different priorities (rendezvous hashing): the broker delivers a message to the
scheduler with the highest priority of those that are connected and keep up. So a scheduler that dies or falls behind
is replaced at once, and nobody has to notice. The key of a new run is chosen so that its reports come to the scheduler
that creates it (ADR 40). Commands have priorities too, so one scheduler creates all runs as long as it keeps up (ADR
70). All this is an optimisation only: whoever gets a message handles it correctly.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any
from zlib import crc32

from shared.ids import new_run_id
from shared.transport.base import COMMANDS, EVENT_SHARDS, EVENTS, BrokerQueue

__all__ = ["ReportQueues", "priority", "shard_of"]

_PRIORITY_BYTES = 2
_DRAWS = 50
"""How many keys are drawn for a new run. With eight shards, one run in a thousand gets none that fits."""


def priority(instance_id: str, queue: str) -> int:
    """Return the priority, at least 1, with which a scheduler consumes from a shard."""
    digest = blake2b(f"{instance_id} {queue}".encode(), digest_size=_PRIORITY_BYTES).digest()
    return 1 + int.from_bytes(digest)


def shard_of(run_key: str) -> int:
    """Return the number of a run's shard. It is the same in every process."""
    return crc32(run_key.encode()) % len(EVENT_SHARDS)


class ReportQueues:
    """The broker queues for reports, as one scheduler uses them.

    ``shards``: whether the runs are spread over shards. The only scheduler that there ever is has the common queue
    alone. ``version`` is that of the program.
    """

    def __init__(self, instance_id: str, version: str, *, shards: bool) -> None:
        self._instance_id, self._version = instance_id, version
        self._used = EVENT_SHARDS if shards else ()
        self._all_know = False
        """Whether all schedulers consume the shards and wait for their markers: none has another version."""
        self._own: int | None = None
        """The shard for the reports about new runs: the one of the highest priority, of those where no other scheduler
        has a higher one. Only one, because what comes by the same queue shares messages and acknowledgements."""

    @property
    def queues(self) -> tuple[BrokerQueue, ...]:
        """The queues on which reports may come."""
        return (EVENTS, *self._used)

    @property
    def priorities(self) -> Mapping[str, int]:
        """This scheduler's priority in each shard, and for commands the highest of these.

        So the scheduler that comes first for commands also comes first in a shard, for the reports about its runs.
        """
        shards = {shard.name: priority(self._instance_id, shard.name) for shard in self._used}
        return {**shards, COMMANDS.name: max(shards.values(), default=priority(self._instance_id, COMMANDS.name))}

    def note(self, schedulers: Iterable[Mapping[str, Any]]) -> None:
        """Note which schedulers there are: all rows of the table ``services``."""
        rows = list(schedulers)
        self._all_know = all(row["version"] == self._version for row in rows)
        others = {row["instance_id"] for row in rows} - {self._instance_id}
        won = (
            (priority(self._instance_id, shard.name), number)
            for number, shard in enumerate(self._used)
            if all(priority(self._instance_id, shard.name) > priority(other, shard.name) for other in others)
        )
        _, self._own = max(won, default=(0, None))

    def new_run_key(self) -> str:
        """Return the key of a new run, if possible of one whose reports come to this scheduler (ADR 40)."""
        key = new_run_id()
        if not self._all_know or self._own is None:
            return key
        for _ in range(_DRAWS):
            if shard_of(key) == self._own:
                break
            key = new_run_id()
        return key

    def reports_to(self, run_key: str) -> str:
        """Return the name of the queue for reports about a run; empty for the common one."""
        if not self._used or not self._all_know:
            return ""
        return EVENT_SHARDS[shard_of(run_key)].name
