"""Opens the transport of a URL; the only place that knows all implementations."""

from pathlib import Path

from shared.errors import ConfigInvalid
from shared.transport.base import Transport

__all__ = ["open_transport"]


def open_transport(url: str, *, name: str, data_dir: Path | None = None) -> Transport:
    """Return the transport of ``url``.

    ``amqp://`` and ``amqps://``: RabbitMQ, connections called ``name``. ``embedded:PATH``: in this
    process, with its journal at PATH; ``embedded:`` alone keeps it in ``data_dir``, and nowhere
    (nothing outlives the process) when there is none.

    Raises:
        ConfigInvalid: neither, or not readable.
        BrokerUnavailable: the journal cannot be opened.
    """
    scheme, _, rest = url.partition(":")
    if scheme in ("amqp", "amqps"):
        from shared.transport.rabbitmq.transport import RabbitTransport  # noqa: PLC0415 - 60 ms the embedded mode need not pay

        return RabbitTransport(url, name=name)
    if scheme == "embedded":
        from shared.transport.embedded.transport import EmbeddedTransport  # noqa: PLC0415

        path = Path(rest) if rest else (data_dir / "transport.sqlite3" if data_dir is not None else None)
        return EmbeddedTransport(path)
    raise ConfigInvalid(f"unknown transport {scheme!r}: the broker URL must begin with amqp://, amqps:// or embedded:")
