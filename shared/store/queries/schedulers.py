"""The condition that selects schedulers among the processes that send heartbeats."""

from shared.store import tables as t

__all__ = ["IS_SCHEDULER"]

IS_SCHEDULER = t.services.c.kind == "scheduler"
