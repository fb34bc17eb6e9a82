"""Commands about queues."""

from pydantic import Field

from shared.contracts.commands.base import Command

__all__ = ["RemoveQueue", "SetQueue"]


class SetQueue(Command):
    """Make a queue global with this limit, or change its limit. Running runs go on."""

    type = "queue.set"
    name: str
    max_concurrency: int = Field(ge=1, le=1_000_000)


class RemoveQueue(Command):
    """Turn a global queue back into one that belongs to a DAG. Queued runs stay in it."""

    type = "queue.remove"
    name: str
