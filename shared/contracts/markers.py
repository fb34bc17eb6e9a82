"""Markers: messages that a scheduler sends to find out how far it has heard everything that was sent before them."""

from shared.contracts.base import Message

__all__ = ["Marker"]


class Marker(Message):
    """A scheduler's marker, sent among heartbeats or among reports. It changes nothing."""

    type = "scheduler.marker"
    scheduler: str
    """The ``instance_id`` of the sender."""
    number: int
