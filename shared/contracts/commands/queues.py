"""Commands about queues and pauses."""

from typing import Literal

from pydantic import Field

from shared.contracts.commands import Command

__all__ = ["Pause", "QueueCommand", "RemovePool", "RemoveQueue", "Resume", "SetPool", "SetQueue"]

Scope = Literal["global", "queue", "dag"]


class QueueCommand(Command):
    """What commands about admission and schedules share."""


class SetQueue(QueueCommand):
    """Make a queue global with this limit, or change its limit; what runs goes on running."""

    type = "queue.set"
    name: str
    max_concurrency: int = Field(ge=1, le=1_000_000)


class RemoveQueue(QueueCommand):
    """Make a global queue a dag's own again; what waits in it stays."""

    type = "queue.remove"
    name: str


class SetPool(QueueCommand):
    """Give a pool this many places; who is in stays in."""

    type = "pool.set"
    name: str
    capacity: int = Field(ge=1, le=1_000_000)


class RemovePool(QueueCommand):
    """Make a pool as nobody had configured it: of one place."""

    type = "pool.remove"
    name: str


class Pause(QueueCommand):
    """Admit and fire nothing more: at all, from one queue, or of one dag (by its file name)."""

    type = "pause.set"
    scope: Scope
    name: str = ""
    reason: str = ""


class Resume(QueueCommand):
    """End a pause; ``catchup`` overrides what the dags say about the slots that passed meanwhile."""

    type = "pause.end"
    scope: Scope
    name: str = ""
    catchup: Literal["none", "latest", "all"] | None = None
