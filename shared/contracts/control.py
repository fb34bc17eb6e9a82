"""Control: what schedulers tell workers beside tasks.

It may be lost: the database holds the same facts, and the next heartbeat's answer says them again.
"""

from shared.contracts.base import Message

__all__ = ["RouteOpened", "StopAttempt"]


class StopAttempt(Message):
    """End one attempt. ``revoked``: it is fenced already, so its report will be ignored."""

    type = "control.stop_attempt"
    token: str
    revoked: bool = False
    reason: str = ""


class RouteOpened(Message):
    """Tasks for workers with these labels may arrive: whoever satisfies them should consume."""

    type = "control.route_opened"
    selector: dict[str, str]
