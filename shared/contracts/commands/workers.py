"""Commands about workers."""

from shared.contracts.commands.base import Command

__all__ = ["DrainWorker", "ResumeWorker"]


class DrainWorker(Command):
    """Give the worker no new runs. It goes on with those that it works on, because their steps share its files."""

    type = "worker.drain"
    worker_id: str
    reason: str = ""


class ResumeWorker(Command):
    """Give a drained worker new runs again."""

    type = "worker.resume"
    worker_id: str
