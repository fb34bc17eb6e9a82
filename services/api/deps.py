"""What the request handlers are given; made once by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from services.api.accept import Commands
from services.api.specs import SpecCache
from shared.store.reads import Reads
from shared.transport.base import Transport

__all__ = ["Deps"]


@dataclass(frozen=True, slots=True)
class Deps:
    """``zone`` is the one timestamps are shown in, ``None``: the server's own.

    ``base_path`` is empty or starts with a slash and ends without one.
    """

    transport: Transport
    commands: Commands
    reads: Reads
    clock: Callable[[], datetime]
    started_at: datetime
    version: str
    zone: tzinfo | None = None
    base_path: str = ""
    max_body_bytes: int = 2 * 1024 * 1024
    specs: SpecCache = field(default_factory=SpecCache)
