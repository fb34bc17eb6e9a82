"""Follow-ups: mails and cleanup that a worker does for a run besides its steps.

A task of kind ``FOLLOW_UP`` holds one.
"""

from datetime import datetime
from typing import Any

from shared.contracts.base import Part
from shared.language.model import MailSettings

__all__ = ["FOLLOW_UP", "FollowUp", "Mail", "NodeReport"]

FOLLOW_UP = "errand"
"""The kind of a follow-up's node and task, and the key of its content in the task's ``options``.

Rows and messages keep this word: earlier versions, which work beside this one during an upgrade, know no other.
"""


class NodeReport(Part):
    """The state of a node, as a mail reports it. ``stdout`` is the path of the log on the worker that ran the node."""

    name: str
    status: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str = ""
    stdout: str = ""


class Mail(Part):
    """One mail about a run. Every try to send it has the same ``id``, so that mail programs recognise copies.

    ``settings`` are unexpanded, as in the spec: the worker expands them.
    """

    id: str
    settings: MailSettings
    status: str
    nodes: tuple[NodeReport, ...]
    left_out: int = 0
    """How many nodes are missing in ``nodes``, because there are too many."""


class FollowUp(Part):
    """The content of a follow-up: ``mails`` to send through ``smtp``, and the DAG's ``container`` to remove.

    ``smtp`` and ``container`` are unexpanded, as in the spec.
    """

    smtp: dict[str, Any] | None = None
    mails: tuple[Mail, ...] = ()
    container: dict[str, Any] | None = None
