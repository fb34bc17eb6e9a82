"""Sends commands to the schedulers: publishes a command with a confirm, then waits for the reply for a limited time.

* A scheduler carried the command out: returns ``Recorded`` with the result. Later reads see the change.
* A scheduler refused the command: raises ``Problem`` with the code of the refusal.
* The broker confirmed the command, but no reply came in time: returns ``Accepted``. The command is durable and will
  have exactly one outcome; a request with the same command id returns this outcome.
* The broker did not accept the command: raises ``BrokerUnavailable`` or ``Unroutable``.
* No confirm came: raises ``PublishUnconfirmed``. Whether the command was accepted is unknown.

A caller waits at most ``accept_timeout_s`` or ``reply_timeout_s``, whichever is longer, also for many commands of which
none is answered.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from services.api.problems import Problem, bad_request, from_refusal
from services.api.requests import checked_values
from shared.contracts.codec import decode_as, encode
from shared.contracts.commands import Command, CommandReply
from shared.errors import BrokerUnavailable, PublishUnconfirmed, Unroutable
from shared.ids import new_command_id, new_run_id
from shared.log import current
from shared.tracing import here
from shared.transport.base import COMMANDS, Outgoing, Transport
from shared.transport.pending_reply import PendingReply

__all__ = ["Accepted", "Commands", "Recorded", "SentCommand", "chosen_run_id", "command_key", "run_id_for"]

_RUNS = UUID("6d1f2f0a-4b0c-5d6a-9f0e-0d0a6e7a57e1")
"""Namespace of the run ids that are derived from an Idempotency-Key."""
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A scheduler carried the command out."""

    command_id: str
    result: dict[str, Any] = dataclass_field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker has stored the command; its outcome is not known yet."""

    command_id: str


def command_key(header: str | None) -> str | None:
    """Return the Idempotency-Key, which becomes the command id. Raises a 400 if the key is malformed."""
    if header is None or header == "":
        return None
    if not _KEY.fullmatch(header):
        raise bad_request("Idempotency-Key: must be 1 to 200 printable ASCII characters without spaces")
    return header


def chosen_run_id(given: str, key: str | None) -> str:
    """Return the id of a new run: ``given`` if it is not empty, else ``run_id_for(key)``."""
    return checked_values.run_id(given) if given else run_id_for(key)


def run_id_for(key: str | None) -> str:
    """Return an id for a run whose caller chose no id.

    The id is derived from the Idempotency-Key, if there is one. So a repeated request creates the same run id, even
    if the first response was lost.
    """
    if key is None:
        return new_run_id()
    return str(uuid5(_RUNS, key))


class SentCommand:
    """A published command whose outcome can be waited for."""

    def __init__(self, command: Command, command_id: str, pending: PendingReply) -> None:
        self._command = command
        self._id = command_id
        self._pending = pending

    def outcome(self, *, accept_timeout_s: float, reply_timeout_s: float) -> Recorded | Accepted:
        """Wait for the outcome. The module docstring lists the results and errors."""
        try:
            # One wait is enough in most cases: if the command is not accepted, waiting for the reply fails too.
            reply = decode_as(self._pending.reply(reply_timeout_s), CommandReply)
        except (TimeoutError, BrokerUnavailable, PublishUnconfirmed, Unroutable):
            return self.accepted(max(0.0, accept_timeout_s - reply_timeout_s), waited_s=reply_timeout_s)
        if reply.outcome == "refused":
            raise from_refusal(reply.error, self._command.type)
        return Recorded(self._id, reply.result)

    def accepted(self, timeout_s: float, *, waited_s: float = 0) -> Accepted:
        """Wait until the broker confirms the command, but not for its outcome.

        ``waited_s`` is how long the caller has waited already: the error names the whole time.
        """
        try:
            self._pending.accepted(timeout_s)
        except TimeoutError as error:
            raise PublishUnconfirmed(f"no confirm within {timeout_s + waited_s:g} s") from error
        self._pending.abandon()
        return Accepted(self._id)


class Commands:
    """Sends commands to the schedulers. Any scheduler may carry out any command."""

    def __init__(
        self,
        transport: Transport,
        clock: Callable[[], datetime],
        *,
        reply_timeout_s: float = 5,
        accept_timeout_s: float = 5,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._reply_timeout_s = reply_timeout_s
        self._accept_timeout_s = accept_timeout_s

    def send(self, command: Command, *, key: str | None = None) -> SentCommand:
        """Publish a command without waiting. ``key`` becomes the command id; ``None``: draw a new id."""
        command_id = key or new_command_id()
        # With these, the scheduler's log and spans can name the request and its trace.
        trace = None if (span := here()) is None else str(span)
        body = encode(command, id=command_id, at=self._clock(), trace=trace, request=current("request_id"))
        return SentCommand(command, command_id, self._transport.request(Outgoing(COMMANDS, body, command_id)))

    def wait(self, sent: SentCommand) -> Recorded | Accepted:
        """Wait for the outcome of ``sent``, within the timeouts of this client."""
        return sent.outcome(accept_timeout_s=self._accept_timeout_s, reply_timeout_s=self._reply_timeout_s)

    def wait_for_all(self, sent: Iterable[SentCommand]) -> list[Recorded | Accepted | Problem]:
        """Wait for the outcomes of several commands. A refusal is returned, other errors are raised.

        After one that got no reply in time, only replies that have come already count: no scheduler answers, and the
        timeouts of hundreds of commands would add up.
        """
        found: list[Recorded | Accepted | Problem] = []
        patience_s = self._reply_timeout_s
        for each in sent:
            try:
                outcome = each.outcome(accept_timeout_s=self._accept_timeout_s, reply_timeout_s=patience_s)
            except Problem as problem:
                found.append(problem)
                continue
            if isinstance(outcome, Accepted):
                patience_s = 0
            found.append(outcome)
        return found

    def wait_for_confirm(self, sent: SentCommand) -> Accepted:
        """Wait until the broker has stored ``sent``, not for its outcome. Raises as ``wait`` does."""
        return sent.accepted(self._accept_timeout_s)

    def ask(self, command: Command, *, key: str | None = None) -> Recorded | Accepted:
        """Publish a command and wait for its outcome."""
        return self.wait(self.send(command, key=key))
