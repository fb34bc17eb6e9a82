"""Structured logs on stderr: JSON lines in production, ``key=value`` on a terminal.

A message is a constant event name (``run.ended``) with its facts in ``extra``. Lines that a thread logs within a trace
name that trace. Passwords in URLs are masked, whatever the logger.
"""

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

from shared.tracing import here

__all__ = ["bind_thread", "bound", "current", "set_up_logging"]

_facts: ContextVar[Mapping[str, str]] = ContextVar("facts", default=MappingProxyType({}))

_PASSWORD = re.compile(r"(\w+://[^:/@\s]+):[^@\s]+@")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@contextmanager
def bound(**facts: str) -> Iterator[None]:
    """Add these facts to all lines of this thread inside the block; a line's own facts win."""
    token = _facts.set({**_facts.get(), **facts})
    try:
        yield
    finally:
        _facts.reset(token)


def current(name: str) -> str | None:
    """Return a fact that is bound here, else ``None``."""
    return _facts.get().get(name)


def bind_thread(**facts: str) -> None:
    """Like ``bound``, but until the next call on this thread: for work that is not one block."""
    _facts.set(facts)


def _bind(record: logging.LogRecord) -> bool:
    span = here()
    facts = _facts.get() if span is None else {"trace_id": span.trace_id, **_facts.get()}
    for name, value in facts.items():
        if not hasattr(record, name):
            setattr(record, name, value)
    return True


class _Masked(logging.Formatter):
    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return _PASSWORD.sub(r"\1:***@", self._inner.format(record))


class _Json(JsonFormatter):
    def formatTime(self, record: logging.LogRecord, _datefmt: str | None = None) -> str:  # noqa: N802
        """Return the time in the process's zone with its offset: lines of several hosts are read together."""
        return datetime.fromtimestamp(record.created, UTC).astimezone().isoformat(timespec="milliseconds")


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{key}={value}" for key, value in vars(record).items() if key not in _STANDARD)
        line = (
            f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {record.getMessage()} {facts}".rstrip()
        )
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up_logging(level: str, style: Literal["json", "text"], service: str) -> None:
    """Send all logging of this process to stderr. ``level`` is debug, info, warning or error."""
    inner: logging.Formatter = _Text()
    if style == "json":
        inner = _Json(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "at", "levelname": "level", "name": "logger", "message": "event"},
            static_fields={"service": service},
        )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Masked(inner))
    handler.addFilter(_bind)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # These log every reconnect and every statement at info.
    for chatty in ("sqlalchemy", "waitress", "alembic"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    # pika logs seven errors for each refused connection; our connection logs one warning.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
