"""Opens the transport for a broker URL. No other module knows all implementations."""

from pathlib import Path

from shared.errors import ConfigInvalid
from shared.transport.base import Transport

__all__ = ["is_embedded", "open_transport"]


def is_embedded(url: str) -> bool:
    """Return whether ``url`` is that of the transport inside one process, as an empty one is."""
    return not url or url.startswith("embedded:")


def open_transport(url: str, *, name: str, data_dir: Path | None = None, creates: bool = True) -> Transport:
    """Return the transport for ``url``.

    - ``amqp://`` and ``amqps://``: RabbitMQ. The broker shows the connections under ``name``.
    - ``embedded:PATH``: inside this process, with the journal in the file PATH.
    - ``embedded:``: inside this process, with the journal in ``data_dir``. If ``data_dir`` is ``None``, messages are
      kept in memory and are lost when the process ends.

    ``creates``: whether this process creates exchanges and broker queues on RabbitMQ, which needs the rights of a
    scheduler. Without it the transport is unavailable until the exchanges exist, and a consumer waits until its queue
    exists. A worker's own queue is created in both cases.

    Raises:
        ConfigInvalid: the URL has another scheme or cannot be parsed.
        BrokerUnavailable: the journal cannot be opened.
    """
    scheme, _, rest = url.partition(":")
    if scheme in ("amqp", "amqps"):
        from shared.transport.rabbitmq.transport import RabbitTransport  # noqa: PLC0415 - 60 ms the embedded mode need not pay

        return RabbitTransport(url, name=name, creates=creates)
    if scheme == "embedded":
        from shared.transport.embedded.transport import EmbeddedTransport  # noqa: PLC0415

        path = Path(rest) if rest else (data_dir / "transport.sqlite3" if data_dir is not None else None)
        return EmbeddedTransport(path)
    raise ConfigInvalid(
        f"DAGWAY_AMQP_URL begins with {scheme!r}, but must begin with amqp:// or amqps:// (or embedded: in one process)"
    )
