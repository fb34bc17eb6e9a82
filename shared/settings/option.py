"""What is known about one setting, and the commands that take settings."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

__all__ = ["ALL", "CLIENT", "DELETION_COSTS", "EVERY", "GATEWAY", "SCHEDULER", "WORKER", "Option"]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. ``help`` states the unit, and the default in parentheses."""

    env: str
    read: Callable[[str], Any]
    """Returns the value that a text means; raises ``ValueError``."""
    services: AbstractSet[str]
    """The commands that run a service and take this option; all of them read the variable."""
    help: str
    field_name: str = ""
    """Its name in ``Config``, if that is not named as the variable."""
    flag_name: str = ""
    """Its command line option, if that is not named as the variable."""
    secret: bool = False
    """Whether the value is a secret: ``file_env`` may name a file with it, and it does not stay in the environment."""
    has_alias: bool = False
    """Whether Dagu has the setting too: then Dagu's variable is read where ``env`` is not set."""
    alias_name: str = ""
    """Dagu's variable, if it is not named as ours."""

    @property
    def field(self) -> str:
        """Its name in ``Config``."""
        return self.field_name or self.env.removeprefix("DAGWAY_").lower()

    @property
    def flag(self) -> str:
        """The command line option."""
        return self.flag_name or f"--{self.env.removeprefix('DAGWAY_').lower().replace('_', '-')}"

    @property
    def alias(self) -> str:
        """Dagu's variable, empty if it has none."""
        return self.alias_name or (f"DAGU_{self.env.removeprefix('DAGWAY_')}" if self.has_alias else "")

    @property
    def file_env(self) -> str:
        """The variable with the path of a file that has the value; empty if the value is not a secret."""
        return f"{self.env}_FILE" if self.secret else ""


GATEWAY = frozenset({"up", "api"})
SCHEDULER = frozenset({"up", "scheduler"})
WORKER = frozenset({"up", "worker"})
ALL = GATEWAY | SCHEDULER | WORKER
DELETION_COSTS = frozenset({"deletion-costs"})
"""The command that talks to a Kubernetes cluster only: it has no broker, no database and no data folder."""
EVERY = ALL | DELETION_COSTS
CLIENT = frozenset({"client"})
"""The commands that send requests to a gateway, such as ``dagway start``."""
