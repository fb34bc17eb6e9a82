"""Base classes of commands, and the reply to a command."""

from typing import Any, Literal

from pydantic import Field

from shared.contracts.actors import Actor
from shared.contracts.base import Message, Part

__all__ = ["BEGUN", "Command", "CommandReply", "DagChange", "RefusedError", "RunChange"]


class Command(Message):
    """Base of all commands."""

    by: str = "anonymous"
    """The user or key that sent the command. It is recorded with every transition. With an ``actor``, its name."""
    actor: Actor | None = None
    """Who sent the command. Gateways always say it, and schedulers refuse a command that does not."""
    workspace: str = ""
    """The workspace that the command is sent in, and that all names in it belong to; empty: the default workspace."""


class DagChange(Command):
    """Base of the commands that change one DAG."""

    file_name: str


class RunChange(Command):
    """Base of the commands about one existing run. The ``dag_run_id`` ``latest`` means the DAG's newest run."""

    dag_name: str
    dag_run_id: str


class RefusedError(Part):
    """Why a command was refused. ``code`` is an error code of the API."""

    code: str
    message: str
    details: dict[str, Any] = Field(default_factory=dict)


BEGUN = "begun"
"""The field of a start's ``result`` that only the gateway reads: ``runKey``, which notifications of the run's end name,
and ``dagName``."""


class CommandReply(Message):
    """The recorded outcome of one command. If a command is delivered several times, every reply is the same."""

    type = "command.reply"
    command_id: str
    outcome: Literal["recorded", "refused"]
    result: dict[str, Any] = Field(default_factory=dict)
    error: RefusedError | None = None
