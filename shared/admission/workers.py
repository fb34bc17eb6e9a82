"""Decides which workers are live, and which satisfy a worker selector."""

from collections.abc import Mapping
from datetime import datetime

__all__ = ["is_live", "satisfies"]


def satisfies(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Return whether a worker with ``labels`` may run steps with the worker selector ``selector``."""
    return selector.items() <= labels.items()


def is_live(state: str, lease_until: datetime, now: datetime) -> bool:
    """Return whether a worker takes new tasks: it is not draining or stopped, and its lease has not expired."""
    return state == "live" and lease_until > now
