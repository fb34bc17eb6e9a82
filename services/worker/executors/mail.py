"""Mail steps: ``from``, ``to``, ``subject``, ``message`` and ``attachments``, sent through the DAG's ``smtp`` server.

TLS is used whenever the server offers it (STARTTLS). On port 465 or with ``tls: true`` the connection begins with TLS.
A password is only sent over TLS.
Source: docs/executors.md#details-of-each-type and docs/executors.md#mails-of-a-run.
"""

import mimetypes
import smtplib
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Any

from services.worker.executors.base import Job, StepIO
from services.worker.executors.cancel_scope import Cancelled, CancelScope
from services.worker.executors.results import make_result
from services.worker.executors.step_values import evaluate
from services.worker.executors.tls import tls_context
from services.worker.inputs.named_files import Reach
from services.worker.output.pipe_copier import write_all
from services.worker.process.outcome import Result
from shared.errors import InvalidInput

__all__ = ["Attachment", "MailExecutor", "MailServer", "build_message", "reason", "recipients", "send_mail"]

_TIMEOUT_S = 30.0
_SMTPS_PORT = 465
_SMTP_PORT = 25
_REFUSED = 400
"""SMTP reply codes from 400 on are errors."""
_MAX_ATTACHED_BYTES = 25 * 1024 * 1024
_MAX_REPLIES_BYTES = 4 * 1024 * 1024
"""The library keeps every line of a reply, and a reply may have any number of them."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file attached to a mail."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class MailServer:
    """The SMTP server to send mails through, with its credentials."""

    host: str
    port: int
    trust: ssl.SSLContext
    username: str = ""
    password: str = ""
    tls: bool = False
    """Whether the connection begins with TLS, without STARTTLS."""

    @classmethod
    def of(cls, job: Job, smtp: dict[str, Any] | None) -> "MailServer":
        """Read an ``smtp`` block whose variables are expanded. Raises ``InvalidInput``, or ``ssl.SSLError``."""
        if not smtp or not smtp.get("host"):
            raise InvalidInput("no mail server is set: give the DAG an smtp block with a host")
        port = str(smtp.get("port") or _SMTP_PORT)
        if not port.isdecimal():
            raise InvalidInput(f"smtp.port must be a number, not {port!r}")
        verify = str(smtp.get("skipTLSVerify", "")).lower() != "true"
        return cls(
            host=str(smtp["host"]),
            port=int(port),
            trust=tls_context(job, ca_file=str(smtp.get("caFile") or ""), verify=verify),
            username=str(smtp.get("username") or ""),
            password=str(smtp.get("password") or ""),
            tls=int(port) == _SMTPS_PORT or str(smtp.get("tls", "")).lower() == "true",
        )


class MailExecutor:
    """Sends one mail."""

    def run(self, job: Job, io: StepIO) -> Result:
        """Send the mail. If sending fails, the error goes to stderr and the exit code is 1."""
        server = MailServer.of(job, evaluate(job, job.options.get("smtp")))
        message = _message(job, evaluate(job, job.step.config))
        cancel_scope = CancelScope()
        try:
            job.supervisor.call(lambda: send_mail(server, message, cancel_scope), cancel_scope.cancel)
        except (smtplib.SMTPException, OSError, Cancelled, MessageError) as failure:
            text = f"mail not sent: {reason(failure)}"
            cancel_scope.write(io.stderr, (text + "\n").encode(errors="replace"))
            return make_result(job, text)
        finally:
            cancel_scope.cancel()
        result = make_result(job)
        if result.outcome == "succeeded":
            write_all(io.stdout, f"mail sent to {message['To']}: {message['Subject']}\n".encode(errors="replace"))
        return result


def _message(job: Job, config: dict[str, Any]) -> EmailMessage:
    to = recipients(config.get("to") or [])
    sender = str(config.get("from") or "")
    if not sender or not to:
        raise InvalidInput("a mail step needs from and to in its config")
    attachments = config.get("attachments") or []
    paths = [job.working_dir / str(one) for one in ([attachments] if isinstance(attachments, str) else attachments)]
    text = str(config.get("message") or "").replace("\r\n", "\n").replace("\n", "<br />\n")
    return build_message(sender, to, str(config.get("subject") or ""), text, _read(paths, job.reach))


def recipients(to: str | Sequence[Any]) -> list[str]:
    """Return the addresses in a list, or in a text with commas between addresses."""
    parts = (part.strip() for one in ([to] if isinstance(to, str) else to) for part in str(one).split(","))
    return [part for part in parts if part]


def _read(paths: Sequence[Path], reach: Reach) -> Iterator["Attachment"]:
    left = _MAX_ATTACHED_BYTES
    for path in paths:
        try:
            with open(reach.open_to_read(path), "rb") as file:  # noqa: PTH123 - a descriptor, not a path
                # Not by its size, as a step may write to it at this moment.
                data = file.read(left + 1)
                left -= len(data)
                if left < 0:
                    raise InvalidInput(
                        f"attachments: all files together may have at most {_MAX_ATTACHED_BYTES} bytes; "
                        f"with {path.name} they have more"
                    )
            yield Attachment(path.name, data)
        except OSError as error:
            raise InvalidInput(f"attachments: cannot read {path}: {error.strerror}") from error


def build_message(
    sender: str, to: Sequence[str], subject: str, html: str, files: Iterable["Attachment"] = ()
) -> EmailMessage:
    """Return an HTML mail. Raises ``InvalidInput`` for a header with a line break."""
    message = EmailMessage()
    for name, value in (("From", sender), ("To", ", ".join(to)), ("Subject", subject)):
        if "\n" in value or "\r" in value:
            raise InvalidInput(f"the header {name} of a mail must be one line")
        message[name] = value
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = make_msgid(domain="dagway.invalid")
    message.set_content(html, subtype="html")
    for file in files:
        kind, _, subkind = (mimetypes.guess_type(file.name)[0] or "application/octet-stream").partition("/")
        message.add_attachment(file.data, maintype=kind, subtype=subkind, filename=file.name)
    return message


def reason(failure: Exception) -> str:
    """Return why a mail was not sent, with the server's words as text."""
    if isinstance(failure, smtplib.SMTPRecipientsRefused):
        return "; ".join(f"{address}: {said}" for address, said in _replies(failure.recipients).items())
    if isinstance(failure, smtplib.SMTPResponseException):
        return _reply(failure.smtp_code, failure.smtp_error)
    return str(failure)


def _replies(refused: Mapping[str, tuple[int, bytes]]) -> dict[str, str]:
    return {address: _reply(*said) for address, said in refused.items()}


def _reply(code: int, text: bytes | str) -> str:
    return f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"


class _Replies:
    """Reads the replies of a server, until they are too many."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = _MAX_REPLIES_BYTES
        self.close = file.close

    def readline(self, limit: int) -> bytes:
        line: bytes = self._file.readline(limit)
        self._left -= len(line)
        if self._left < 0:
            raise OSError(f"the server's replies are longer than {_MAX_REPLIES_BYTES} bytes")
        return line


class _Client(smtplib.SMTP):
    """A connection to the mail server, which ``cancel_scope`` shuts down. ``to_some``: see ``send_mail``."""

    def __init__(self, server: MailServer, cancel_scope: CancelScope, *, to_some: bool) -> None:
        # Before the library's own, which connects.
        self._server, self._scope, self._to_some = server, cancel_scope, to_some
        super().__init__(server.host, server.port, timeout=_TIMEOUT_S)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        try:
            sock = socket.create_connection((host, port), timeout)
        except OSError as error:
            raise OSError(f"cannot connect to {host}, port {port}: {error.strerror or error}") from error
        self._scope.guard(sock)
        return self._server.trust.wrap_socket(sock, server_hostname=host) if self._server.tls else sock

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = _Replies(self.sock.makefile("rb"))
        return super().getreply()

    def rcpt(self, recip: str, options: Sequence[str] = ()) -> tuple[int, bytes]:
        code, text = super().rcpt(recip, options)
        if code >= _REFUSED and not self._to_some:
            raise smtplib.SMTPRecipientsRefused({recip: (code, text)})
        return code, text


def send_mail(
    server: MailServer, message: EmailMessage, cancel_scope: CancelScope, *, to_some: bool = False
) -> dict[str, str]:
    """Send a mail; ``cancel_scope`` can cancel it. Raises ``smtplib.SMTPException`` and ``OSError``.

    If the server refuses an address, nobody gets the mail. With ``to_some`` the others get it: this returns the refused
    addresses, and the server's reason for each.
    """
    client = _Client(server, cancel_scope, to_some=to_some)
    try:
        client.ehlo()
        if not server.tls and client.has_extn("starttls"):
            client.starttls(context=server.trust)
            client.ehlo()
        if server.username:
            if not isinstance(client.sock, ssl.SSLSocket):
                raise smtplib.SMTPNotSupportedError(
                    "the server offers no TLS, and a password is only sent over TLS: remove smtp.username or enable TLS"
                )
            client.login(server.username, server.password)
        refused = client.send_message(message)
        # The server has the mail. Were this a failure, a retry would send it again.
        with suppress(smtplib.SMTPException, OSError):
            client.quit()
    finally:
        # Without QUIT: after a failed handshake the server would not reply to it.
        client.close()
    return _replies(refused)
