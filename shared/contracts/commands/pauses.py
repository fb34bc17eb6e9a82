"""Commands about pauses."""

from typing import Literal

from shared.contracts.commands.base import Command
from shared.language.model import CatchupPolicy

__all__ = ["EndPause", "PauseScope", "SetPause"]

PauseScope = Literal["global", "queue", "dag"]


class SetPause(Command):
    """Start no new runs: none at all, none from the queue ``name``, or none of the DAG with the file name ``name``."""

    type = "pause.set"
    scope: PauseScope
    name: str = ""
    reason: str = ""


class EndPause(Command):
    """End a pause. ``catchup`` overrides the DAGs' ``catchup`` for the scheduled times that passed during the pause."""

    type = "pause.end"
    scope: PauseScope
    name: str = ""
    catchup: CatchupPolicy | None = None
