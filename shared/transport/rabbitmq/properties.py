"""The properties of a received message, of which pika cannot decode all that RabbitMQ accepts.

Anybody whose broker login may send anything can send such a message: with a time after the year 9999, for example. pika
would raise, its connection would be lost, and with each new connection the broker would deliver the message again.
"""

from typing import Any

import pika

__all__ = ["read_all_properties"]


class _LenientProperties(pika.BasicProperties):  # type: ignore[misc]
    """Properties that are empty if pika cannot decode them, or if one of them is not UTF-8 (pika leaves it as bytes).

    Dagway sends no such properties. A message without an id is refused, as any forged message is.
    """

    def decode(self, encoded: bytes, offset: int = 0) -> Any:
        try:
            super().decode(encoded, offset)
            readable = not any(isinstance(each, bytes) for each in vars(self).values())
        except Exception:  # noqa: BLE001 - pika raises whatever its parsing steps raise
            readable = False
        if not readable:
            self.__dict__.update(vars(pika.BasicProperties()))
        return self


def read_all_properties() -> None:
    """Let all connections of this process read any properties. pika has no such option for one connection."""
    pika.spec.props[pika.BasicProperties.INDEX] = _LenientProperties
