"""Control: what schedulers tell workers and gateways beside tasks.

It may be lost: the database holds the same facts, and the next heartbeat's answer says them again.
"""

from datetime import datetime

from pydantic import Field

from shared.contracts.base import Message

__all__ = ["CHANGES", "RouteOpened", "RunTraced", "RunsChanged", "StopAttempt"]

CHANGES = "changes"
"""The topic of ``RunsChanged``."""


class StopAttempt(Message):
    """End one attempt, or do not begin it. ``revoked``: it is fenced already, so its report will be ignored.

    It goes to the worker that has the task, or to all where any of several may take it.
    """

    type = "control.stop_attempt"
    token: str
    revoked: bool = False
    reason: str = ""


class RouteOpened(Message):
    """Tasks for workers with these labels may arrive: whoever satisfies them should consume."""

    type = "control.route_opened"
    selector: dict[str, str]


class RunsChanged(Message):
    """Transitions of these runs were committed: whoever follows them should read on.

    ``run_keys`` is empty where they are too many to name.
    """

    type = "control.runs_changed"
    run_keys: list[str] = Field(default_factory=list, max_length=100)


class RunTraced(Message):
    """A run ended whose dag names a collector: its worker sends this span there.

    The envelope's ``trace`` is the span itself, ``parent`` the one above it.
    """

    type = "control.run_traced"
    run_key: str
    name: str
    parent: str
    start: datetime
    end: datetime
    attributes: dict[str, str] = Field(default_factory=dict)
    error: str = ""
