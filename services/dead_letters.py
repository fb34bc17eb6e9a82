"""``dagway dead-letters``: look at the messages that were put aside for a person, and send them back."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.config import Config
from shared.transport.base import COMMANDS, EVENTS, LOGS, Transport
from shared.transport.open import open_transport

__all__ = ["listed", "returned"]


def listed(config: Config, limit: int, *, bodies: bool) -> Iterator[str]:
    """Yield a line for each: its id, where it came from, why it is dead, and what it says if ``bodies``.

    They stay where they are. Bodies may hold what was given to runs.

    Raises:
        BrokerUnavailable: away, or the journal in use by ``dagway up``.
    """
    with _transport(config) as transport:
        for letter in transport.dead_letters(limit):
            text = letter.body.decode(errors="replace") if bodies else ""
            yield f"{letter.id} {letter.queue}: {letter.reason} {text}".rstrip()


def returned(config: Config, limit: int) -> int:
    """Send those that are there now back to their routes, at most ``limit``; return how many.

    One that cannot be read now either is put aside again.

    Raises:
        BrokerUnavailable: as above. Unroutable: the route of the first is gone; it stays.
    """
    with _transport(config) as transport:
        # In the folder of an `up` nobody else has made them.
        transport.declare([COMMANDS, EVENTS, LOGS])
        # What comes back while this goes on is not sent in circles.
        return transport.redrive(len(transport.dead_letters(limit)))


@contextmanager
def _transport(config: Config) -> Iterator[Transport]:
    opened = open_transport(config.amqp_url or "embedded:", name="dagway-dead-letters", data_dir=config.data_dir)
    try:
        yield opened
    finally:
        opened.close()
