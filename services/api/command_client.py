"""The way of a command: out with a confirm, then a bounded wait for the scheduler's answer.

* recorded: ``Recorded`` with the scheduler's result; whatever it says can be read back at once.
* refused: a ``Problem`` with the refusal's own code.
* confirmed by the broker but not answered in time: ``Accepted``. The command is durable and will
  have exactly one outcome; asking again with the same id finds it.
* not accepted: ``BrokerUnavailable``, ``Unroutable`` or, when nobody knows, ``PublishUnconfirmed``.

A caller waits at most ``accept_timeout_s`` or ``reply_timeout_s``, whichever is longer.
"""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from services.api.problems import Problem, bad_request, from_refusal
from services.api.representations import json_values
from shared.contracts.codec import decode_as, encode
from shared.contracts.commands import Command, CommandReply
from shared.errors import BrokerUnavailable, DagwayError, PublishUnconfirmed, Unroutable
from shared.ids import new_command_id, new_run_id
from shared.log import current
from shared.tracing import here
from shared.transport.base import COMMANDS, Outgoing, Transport
from shared.transport.pending_reply import PendingReply

__all__ = ["Accepted", "Commands", "Recorded", "Sent", "chosen_run_id", "command_key", "run_id_for"]

_RUNS = UUID("6d1f2f0a-4b0c-5d6a-9f0e-0d0a6e7a57e1")
"""Name space of run ids that follow from an Idempotency-Key."""
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True, slots=True)
class Recorded:
    """The command changed what it was to change."""

    command_id: str
    result: dict[str, Any] = dataclass_field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The command is safe with the broker; its outcome is not known yet."""

    command_id: str


def command_key(header: str | None) -> str | None:
    """Return the Idempotency-Key to use as command id; raises a 400 when it cannot be one."""
    if header is None or header == "":
        return None
    if not _KEY.fullmatch(header):
        raise bad_request("Idempotency-Key: 1 to 200 printable ASCII characters without spaces")
    return header


def chosen_run_id(given: str, key: str | None) -> str:
    """Return the id of a new run: the caller's if they gave one, else one for their Idempotency-Key."""
    return json_values.run_id(given) if given else run_id_for(key)


def run_id_for(key: str | None) -> str:
    """Return an id for a run whose caller chose none.

    With an Idempotency-Key it follows from the key, so that the same request sent again names the
    same run even when the first answer was lost.
    """
    if key is None:
        return new_run_id()
    return str(uuid5(_RUNS, key))


class Sent:
    """A command on its way."""

    def __init__(self, command: Command, command_id: str, asked: PendingReply) -> None:
        self._command = command
        self._id = command_id
        self._asked = asked

    def outcome(self, *, accept_timeout_s: float, reply_timeout_s: float) -> Recorded | Accepted:
        """Wait for what became of it, as the module says."""
        try:
            # One wait, not two: what is not accepted fails its answer as well.
            reply = decode_as(self._asked.reply(reply_timeout_s), CommandReply)
        except (TimeoutError, BrokerUnavailable, PublishUnconfirmed, Unroutable):
            left_s = max(0.0, accept_timeout_s - reply_timeout_s)
            try:
                self._asked.accepted(left_s)
            except TimeoutError as error:
                raise PublishUnconfirmed(f"no confirm within {max(accept_timeout_s, reply_timeout_s):g} s") from error
            return Accepted(self._id)
        if reply.outcome == "refused":
            raise from_refusal(reply.error, self._command.type)
        return Recorded(self._id, reply.result)


class Commands:
    """Sends commands to whichever scheduler takes them."""

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

    def send(self, command: Command, *, key: str | None = None) -> Sent:
        """Publish without waiting; ``key`` becomes the command's id."""
        command_id = key or new_command_id()
        # The request's id and trace go with the command: the scheduler's log and spans name them.
        trace = None if (span := here()) is None else str(span)
        body = encode(command, id=command_id, at=self._clock(), trace=trace, request=current("request_id"))
        return Sent(command, command_id, self._transport.request(Outgoing(COMMANDS, body, command_id)))

    def wait(self, sent: Sent) -> Recorded | Accepted:
        """Wait for the outcome of ``sent``."""
        return sent.outcome(accept_timeout_s=self._accept_timeout_s, reply_timeout_s=self._reply_timeout_s)

    def wait_quietly(self, sent: Sent) -> None:
        """Wait for the outcome of what nobody depends on."""
        with contextlib.suppress(DagwayError, Problem):
            self.wait(sent)

    def ask(self, command: Command, *, key: str | None = None) -> Recorded | Accepted:
        """Publish and wait for the outcome."""
        return self.wait(self.send(command, key=key))
