"""Commands that reserve worker pools for workspaces. They are sent in the default workspace."""

from shared.contracts.commands.base import Command

__all__ = ["ReleaseWorkerPool", "ReserveWorkerPool"]


class ReserveWorkerPool(Command):
    """Let a worker pool serve these workspaces only. Replaces an earlier reservation of the pool."""

    type = "worker_pool.reserve"
    name: str
    workspaces: tuple[str, ...]
    """Names of workspaces, at least one; an empty name is the default workspace."""


class ReleaseWorkerPool(Command):
    """Let a worker pool serve all workspaces again."""

    type = "worker_pool.release"
    name: str
