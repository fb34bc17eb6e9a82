"""Follow-ups: attempts that are not steps, which send the mails of a run and remove its container.

If one part fails, the other parts are still done. The follow-up's log says how each part ended.
Source: docs/executors.md#mails-of-a-run.
"""

import html
import os
import smtplib
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime
from email.utils import parseaddr
from functools import partial
from pathlib import Path

from services.worker.executors.base import Job, StepIO
from services.worker.executors.cancel_scope import Cancelled, CancelScope
from services.worker.executors.mail import Attachment, MailServer, build_message, reason, recipients, send_mail
from services.worker.executors.results import make_result
from services.worker.executors.step_values import evaluate
from services.worker.output.masking import Masker
from services.worker.output.pipe_copier import write_all
from services.worker.process.outcome import Result
from shared.contracts.follow_ups import FollowUp, Mail, NodeReport
from shared.errors import DagwayError, InvalidInput
from shared.language.expansion.expand import ExpansionError

__all__ = ["FollowUpExecutor"]

_TRIES = 3
_PAUSE_S = 2.0
_MOST_OF_A_LOG = 1024 * 1024
_MOST_OF_ALL_LOGS = 10 * 1024 * 1024
_PERMANENT = 500
"""SMTP reply codes from 500 on are permanent errors."""


class FollowUpExecutor:
    """Runs one follow-up. Only logs below ``logs``, the run's own folder, may be attached to mails."""

    def __init__(self, follow_up: FollowUp, dag: str, logs: Path, masker: Masker) -> None:
        self._follow_up = follow_up
        self._dag = dag
        self._logs = logs
        self._masker = masker

    def run(self, job: Job, io: StepIO) -> Result:
        """Send each mail and remove the container; the exit code is 1 if any of this failed."""
        errors: list[str] = []
        for mail in self._follow_up.mails:
            try:
                done, refused = self._send(job, mail)
            except (InvalidInput, ExpansionError, ValueError, smtplib.SMTPException, OSError, Cancelled) as failure:
                errors.append(f"mail not sent: {reason(failure)}")
            else:
                write_all(io.stdout, f"{done}\n".encode())
                errors.extend(f"mail not sent to {address}: {why}" for address, why in refused.items())
        if self._follow_up.container is not None:
            try:
                # Imported here, so that a worker without the engine's library can send mails.
                from services.worker.executors.container.docker import remove_run_container  # noqa: PLC0415

                remove_run_container(job, self._follow_up.container)
            except (DagwayError, ExpansionError, OSError, ValueError) as failure:
                errors.append(f"container not removed: {failure}")
        for error in errors:
            write_all(io.stderr, f"{error}\n".encode(errors="replace"))
        return make_result(job, "; ".join(errors))

    def _send(self, job: Job, mail: Mail) -> tuple[str, dict[str, str]]:
        """Send a mail. Return what was done, and the refused addresses with the server's reasons."""
        server = MailServer.of(job, evaluate(job, self._follow_up.smtp))
        to = recipients(evaluate(job, list(mail.settings.to)))
        sender = str(evaluate(job, mail.settings.sender))
        if not sender or not to:
            raise InvalidInput("from and to are required in the settings of the mail (errorMail, infoMail or waitMail)")
        subject = f"{evaluate(job, mail.settings.prefix)} {self._dag} ({mail.status})".strip()
        attached = list(self._attachments(mail)) if mail.settings.attach_logs else []
        body = self._masker.text(_body(job, self._dag, mail))
        message = build_message(sender, to, subject, body, attached)
        message.replace_header("Message-ID", f"<{mail.id}@dagway.invalid>")
        refused: dict[str, str] | None = None
        for tries_left in reversed(range(_TRIES)):
            cancel_scope = CancelScope()
            # The others get the mail even if one address no longer exists.
            send = partial(send_mail, server, message, cancel_scope, to_some=True)
            try:
                refused = job.supervisor.call(send, cancel_scope.cancel)
            except (smtplib.SMTPException, OSError) as failure:
                if not tries_left or _permanent(failure):
                    raise
            else:
                break
            finally:
                cancel_scope.cancel()
            stopped = threading.Event()
            job.supervisor.stop.listen(stopped.set)
            stopped.wait(_PAUSE_S)
            job.supervisor.stop.unlisten(stopped.set)
        if job.supervisor.ended_early:
            raise Cancelled("the follow-up was stopped or timed out")
        reached = [one for one in to if parseaddr(one)[1] not in (refused or {})]
        return f"mail sent to {', '.join(reached)}: {subject}", refused or {}

    def _attachments(self, mail: Mail) -> Iterator[Attachment]:
        left = _MOST_OF_ALL_LOGS
        logs = os.path.realpath(self._logs)
        for node in mail.nodes:
            # Without links and "..": a worker reported the path. It may be stolen, and name the log of another run.
            path = Path(os.path.realpath(node.stdout))
            # The logs of steps that ran on other workers are not on this worker's disk.
            if node.stdout and path.is_relative_to(logs) and path.is_file() and left > 0:
                data = _tail(path, min(left, _MOST_OF_A_LOG))
                if not data:
                    continue
                left -= len(data)
                masker = self._masker.copy()
                yield Attachment(path.name, masker.feed(data) + masker.close())


def _permanent(failure: Exception) -> bool:
    if isinstance(failure, smtplib.SMTPRecipientsRefused):
        return all(code >= _PERMANENT for code, _ in failure.recipients.values())
    if isinstance(failure, smtplib.SMTPResponseException):
        return failure.smtp_code >= _PERMANENT
    return isinstance(failure, smtplib.SMTPNotSupportedError)


def _tail(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - size, 0))
        return file.read(size)


def _body(job: Job, dag: str, mail: Mail) -> str:
    run_id = job.environment.process.get("DAG_RUN_ID", "")
    head = "".join(f"<th>{name}</th>" for name in ("Step", "Started", "Finished", "Status", "Error"))
    rows = "\n".join(map(_row, mail.nodes))
    more = f"<p>{mail.left_out} more</p>\n" if mail.left_out else ""
    title = f"{html.escape(dag)} {html.escape(run_id)}: {html.escape(mail.status)}"
    return f'<h3>{title}</h3>\n<table border="1">\n<tr>{head}</tr>\n{rows}\n</table>\n{more}'


def _row(node: NodeReport) -> str:
    cells: Iterable[str] = (node.name, _moment(node.started_at), _moment(node.finished_at), node.status, node.error)
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S %Z}" if at is not None else ""
