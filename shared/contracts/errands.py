"""The errand: what a worker does for a run beside its steps. Rides in a task of kind ``errand``."""

from datetime import datetime
from typing import Any

from shared.contracts.base import Message
from shared.language.model import MailSettings

__all__ = ["Mail", "NodeReport", "SideTask"]


class NodeReport(Message):
    """How a step stands, as a mail tells it. ``stdout`` is its log's path on the worker that ran it."""

    type = "errand.node"
    name: str
    status: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str = ""
    stdout: str = ""


class Mail(Message):
    """One mail. ``id`` is the same however often it is tried, so that a mailbox can tell copies.

    ``settings`` are as written: their texts are evaluated on the worker.
    """

    type = "errand.mail"
    id: str
    settings: MailSettings
    status: str
    nodes: tuple[NodeReport, ...]
    left_out: int = 0
    """Steps that are not among ``nodes``, for there are too many."""


class SideTask(Message):
    """Mails to send through ``smtp``, and the dag's ``container`` (as written) to remove."""

    type = "errand"
    smtp: dict[str, Any] | None = None
    mails: tuple[Mail, ...] = ()
    container: dict[str, Any] | None = None
