"""The runbooks in docs/runbooks: the commands under their headings Check and Cure."""

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RUNBOOKS", "Cure", "check_of", "cures_of"]

RUNBOOKS = Path(__file__).parents[2] / "docs/runbooks"


@dataclass(frozen=True, slots=True)
class Cure:
    """A block of commands under the heading Cure, with the text above it, on one line."""

    text: str
    commands: tuple[str, ...]

    @property
    def for_kubernetes(self) -> tuple[str, ...]:
        """The commands for a cluster."""
        return tuple(line for line in self.commands if line.startswith("kubectl "))

    @property
    def for_compose(self) -> tuple[str, ...]:
        """The commands for Compose: ``docker compose``, requests to the published port, and what the machine needs."""
        return tuple(line for line in self.commands if not line.startswith("kubectl "))


def _section(alert: str, heading: str) -> str:
    page = (RUNBOOKS / f"{alert}.md").read_text()
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def cures_of(alert: str, *says: str) -> list[Cure]:
    """Return the blocks under the heading Cure of an alert's page: all, or those whose text contains one of ``says``.

    Raises:
        ValueError: one of ``says`` is not in the text of exactly one block.
    """
    # Text and blocks in turn.
    parts = re.split(r"```sh\n(.*?)```", _section(alert, "Cure"), flags=re.DOTALL)
    cures = [
        Cure(" ".join(text.split()), tuple(block.splitlines()))
        for text, block in zip(parts[::2], parts[1::2], strict=False)
    ]
    for each in says:
        if sum(each in cure.text for cure in cures) != 1:
            msg = f"{alert}: not in the text of exactly one block of commands: {each}"
            raise ValueError(msg)
    return [cure for cure in cures if not says or any(each in cure.text for each in says)]


def check_of(alert: str, about: str) -> str:
    """Return the command for Compose under the heading Check of an alert's page that contains ``about``."""
    (found,) = [line for line in _section(alert, "Check").splitlines() if line.startswith("docker ") and about in line]
    return found
