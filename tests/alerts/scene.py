"""A scene: how an alert is caused, and how it is cured."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.alerts.watched import Watched, cure_of

__all__ = ["Scene", "follow"]


@dataclass(frozen=True)
class Scene:
    """``cause`` makes the alert fire.

    The commands of the page's cure are carried out, or ``act`` does what the page ``says`` in words. ``inhibited_by``
    names the alert that fires too and says the same, so that Alertmanager sends only that one.
    """

    cause: Callable[[Watched], object]
    act: Callable[[Watched], object] | None = None
    says: str = ""
    inhibited_by: str = ""


def follow(watched: Watched, alert: str) -> None:
    """Carry out the commands for Compose of the cure on an alert's page."""
    _, commands = cure_of(alert)
    assert commands
    for command in commands:
        watched.compose.carry_out(command)
