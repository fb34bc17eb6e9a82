"""Commands about pauses."""

from typing import Literal

from shared.contracts.commands.base import Command

__all__ = ["EndPause", "SetPause"]

Scope = Literal["global", "queue", "dag"]


class SetPause(Command):
    """Start no new runs: at all, from one queue, or of one DAG (``name`` is its file name)."""

    type = "pause.set"
    scope: Scope
    name: str = ""
    reason: str = ""


class EndPause(Command):
    """End a pause. ``catchup`` overrides what the DAGs do about the scheduled times that passed meanwhile."""

    type = "pause.end"
    scope: Scope
    name: str = ""
    catchup: Literal["none", "latest", "all"] | None = None
