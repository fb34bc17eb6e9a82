"""Commands about queues."""

from pydantic import Field

from shared.contracts.commands.base import Command

__all__ = ["RemoveQueue", "SetQueue"]


class SetQueue(Command):
    """Make a queue global with a limit, or change the limit of a global queue. Active runs continue."""

    type = "queue.set"
    name: str
    max_concurrency: int = Field(ge=1, le=1_000_000)


class RemoveQueue(Command):
    """Make a global queue the queue of a DAG again, with the DAG's limit. Queued runs stay in the queue."""

    type = "queue.remove"
    name: str
