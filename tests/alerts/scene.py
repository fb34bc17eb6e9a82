"""A scene: how an alert is caused, and which commands of its page are its cure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.alerts.pages import cures_of
from tests.alerts.watched import Watched

__all__ = ["Scene"]


_CAPITALS = re.compile(r"\b[A-Z]+\b")


def _nothing(_: Watched) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Scene:
    """``cause`` makes the alert fire. Then commands of the page's cure are carried out, those for Compose.

    ``says`` chooses the blocks of commands, each by a piece of the text above it; all without it. ``fill`` looks at the
    system as the page says, and returns what stands in the commands for the words in capitals. ``machine`` does what
    commands for the machine do: the tests do not set its clock. ``then`` waits for what the cure brings about.
    ``inhibited_by`` names the alert that fires too and says the same, so that Alertmanager sends only that one.
    """

    cause: Callable[[Watched], object]
    says: tuple[str, ...] = ()
    fill: Callable[[Watched], Mapping[str, str]] = _nothing
    machine: Mapping[str, Callable[[Watched], object]] = field(default_factory=dict)
    then: Callable[[Watched], object] = _nothing
    inhibited_by: str = ""

    def commands(self, alert: str) -> list[str]:
        """Return the commands of the cure, in the order of the page."""
        return [command for cure in cures_of(alert, *self.says) for command in cure.for_compose]

    def cure(self, watched: Watched, alert: str) -> None:
        """Carry out the commands of the page."""
        values = self.fill(watched)
        for command in self.commands(alert):
            if command in self.machine:
                self.machine[command](watched)
            else:
                watched.compose.carry_out(_CAPITALS.sub(lambda found: values.get(found[0], found[0]), command))
        self.then(watched)
