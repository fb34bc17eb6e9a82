"""Which workers count, and which of them a worker selector allows."""

from collections.abc import Mapping
from datetime import datetime

__all__ = ["is_live", "satisfies"]


def satisfies(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Whether a worker with these labels may run steps with this worker selector."""
    return selector.items() <= labels.items()


def is_live(state: str, lease_until: datetime, now: datetime) -> bool:
    """Whether a worker takes new tasks: it is not draining or stopped, and its lease has not expired."""
    return state == "live" and lease_until > now
