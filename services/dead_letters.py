"""``dagway dead-letters``: list the messages that could not be handled, and return them to their queues."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.config import Config
from shared.transport.base import COMMANDS, EVENTS, LOGS, Transport
from shared.transport.open import open_transport

__all__ = ["describe_dead_letters", "redrive_dead_letters"]


def describe_dead_letters(config: Config, limit: int, *, bodies: bool) -> Iterator[str]:
    """Yield a line for each dead letter: its id, its broker queue, the reason and, with ``bodies``, its body.

    The letters stay where they are. Bodies may contain parameters of runs.

    Raises:
        BrokerUnavailable: the broker cannot be reached, or ``dagway up`` is using the journal.
    """
    with _transport(config) as transport:
        for letter in transport.dead_letters(limit):
            text = letter.body.decode(errors="replace") if bodies else ""
            yield f"{letter.id} {letter.queue}: {letter.reason} {text}".rstrip()


def redrive_dead_letters(config: Config, limit: int) -> int:
    """Return at most ``limit`` of the present dead letters to their broker queues; return their number.

    One that still cannot be handled becomes a dead letter again.

    Raises:
        BrokerUnavailable: as above.
        Unroutable: the broker queue of the first letter is gone; the letter stays.
    """
    with _transport(config) as transport:
        # In the directory of a stopped `dagway up` no service has declared them.
        transport.declare([COMMANDS, EVENTS, LOGS])
        # A letter that comes back meanwhile is not returned a second time.
        return transport.redrive(len(transport.dead_letters(limit)))


@contextmanager
def _transport(config: Config) -> Iterator[Transport]:
    opened = open_transport(config.amqp_url or "embedded:", name="dagway-dead-letters", data_dir=config.data_dir)
    try:
        yield opened
    finally:
        opened.close()
