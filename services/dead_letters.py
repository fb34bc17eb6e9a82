"""``dagway dead-letters``: list the messages that could not be handled, or return them to their broker queues."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from shared.errors import Unroutable
from shared.settings.config import Config
from shared.transport.base import (
    AUDIT,
    COMMANDS,
    EVENT_SHARDS,
    EVENTS,
    LOGS,
    DeadLetter,
    DeadLetterDecision,
    Transport,
)
from shared.transport.open import open_transport

__all__ = ["read_dead_letters", "return_dead_letters"]

_AT_ONCE = 1000
"""How many letters the transport returns in one pass, which has a time limit: many thousand would not end in it."""


def read_dead_letters(config: Config, limit: int) -> Sequence[DeadLetter]:
    """Return at most ``limit`` dead letters, which stay. Their bodies may contain parameters of runs.

    Raises:
        BrokerUnavailable: the broker cannot be reached; or a running ``dagway up`` uses the journal in ``data_dir``.
    """
    with _transport(config) as transport:
        return transport.dead_letters(limit)


def return_dead_letters(config: Config, limit: int) -> int:
    """Publish at most ``limit`` of the dead letters to their broker queues again; return how many.

    Of several copies of a message, one is published. A message that still cannot be handled becomes a dead letter
    again. A dead letter whose broker queue does not exist stays, and holds up no other.

    Raises:
        BrokerUnavailable: the broker cannot be reached; or a running ``dagway up`` uses the journal in ``data_dir``.
        Unroutable: none was returned, because their broker queues do not exist.
    """
    queues: dict[str, str] = {}
    stuck: set[str] = set()
    kept = 0

    def give_back(letter: DeadLetter) -> DeadLetterDecision:
        nonlocal kept
        # One that became a dead letter again is not returned a second time.
        if letter.fingerprint in queues or len(queues) == limit:
            kept += 1
            return DeadLetterDecision.KEEP
        queues[letter.fingerprint] = letter.queue
        return DeadLetterDecision.RETURN

    with _transport(config) as transport:
        # Without a broker, i.e. in the journal of a stopped `dagway up`, no service has declared these queues.
        transport.declare([COMMANDS, EVENTS, *EVENT_SHARDS, LOGS, AUDIT])
        before, staying = -1, 0
        while before < len(queues) < limit:
            before, kept = len(queues), 0
            stuck_now = transport.settle_dead_letters(give_back, min(limit - before, _AT_ONCE) + staying)
            stuck |= stuck_now
            # Those that stay are met again, before the others.
            staying = kept + len(stuck_now)
    returned = len(queues) - len(stuck)
    if stuck and not returned:
        raise Unroutable(f"there is no broker queue {next(iter(queues.values()))}")
    return returned


@contextmanager
def _transport(config: Config) -> Iterator[Transport]:
    opened = open_transport(config.amqp_url or "embedded:", name="dagway-dead-letters", data_dir=config.data_dir)
    try:
        yield opened
    finally:
        opened.close()
