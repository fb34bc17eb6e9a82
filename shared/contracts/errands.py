"""Errands: what a worker does for a run besides its steps. An errand travels in a task of kind ``errand``."""

from datetime import datetime
from typing import Any

from shared.contracts.base import Part
from shared.language.model import MailSettings

__all__ = ["Mail", "NodeReport", "SideTask"]


class NodeReport(Part):
    """The state of a node, for a mail. ``stdout`` is the path of its log on the worker that ran it."""

    name: str
    status: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str = ""
    stdout: str = ""


class Mail(Part):
    """One mail. Every try has the same ``id``, so that mail programs recognise copies.

    ``settings`` are as in the spec: the worker evaluates them.
    """

    id: str
    settings: MailSettings
    status: str
    nodes: tuple[NodeReport, ...]
    left_out: int = 0
    """Number of nodes missing from ``nodes``, because there are too many."""


class SideTask(Part):
    """Mails to send through ``smtp``, and the ``container`` of the DAG (as in the spec) to remove."""

    smtp: dict[str, Any] | None = None
    mails: tuple[Mail, ...] = ()
    container: dict[str, Any] | None = None
