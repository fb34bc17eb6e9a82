"""Structured logs on stderr: JSON lines in production, ``key=value`` on a terminal.

The message of a log call is a constant event name (``run.ended``), and its facts are in ``extra``. If a thread works in
a span, its lines have the ``trace_id``. Passwords in URLs are masked in the lines of all loggers.
"""

import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

from shared.tracing import here

__all__ = ["Repeats", "bind_thread", "bound", "current", "first_line", "set_up_logging"]

_facts: ContextVar[Mapping[str, str]] = ContextVar("facts", default=MappingProxyType({}))

_LONGEST_ERROR = 300
_TRIED_AGAIN = (".wait", ".waits", ".unavailable", ".routes_unseen", ".interrupted", ".not_kept", "broker.dropped")
"""The ends of the names of events that are logged at each try while a server is down or a disk is full."""
_REPEATED_EVERY_S = 60.0
_MOST_REMEMBERED = 1_000
_PASSWORD = re.compile(r"(://[^:/@\s]+:)[^@\s]+(@?)")
"""The start of a URL with a password, or with a port: then no ``@`` follows.

Its time is linear in the length of a line, whatever is in it. It begins with plain text, because a pattern for the
scheme would be tried at each letter. And it matches without ``@`` too, so that it need not begin again in a word.
"""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@contextmanager
def bound(**facts: str) -> Iterator[None]:
    """Add ``facts`` to all lines that this thread logs inside the block. A line's own facts override them."""
    token = _facts.set({**_facts.get(), **facts})
    try:
        yield
    finally:
        _facts.reset(token)


def current(name: str) -> str | None:
    """Return the fact ``name`` that is bound in this thread, or ``None`` if there is none."""
    return _facts.get().get(name)


def bind_thread(**facts: str) -> None:
    """Add ``facts`` to all lines of this thread until the next call, for work that is not one block."""
    _facts.set(facts)


def first_line(error: str) -> str:
    """Return the first line of the error of a step, shortened; the others can be what the step has printed."""
    return error.partition("\n")[0][:_LONGEST_ERROR]


def _bind(record: logging.LogRecord) -> bool:
    span = here()
    facts = _facts.get() if span is None else {"trace_id": span.trace_id, **_facts.get()}
    for name, value in facts.items():
        if not hasattr(record, name):
            setattr(record, name, value)
    return True


class Repeats(logging.Filter):
    """Drops what says the same as a line of the last minute, if its event is one of those that are tried again.

    The next such line after that minute has ``repeated``, the number of dropped lines. Thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, ...], tuple[float, int]] = {}
        """By line: when it was last written, and how often it was dropped since."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.getMessage().endswith(_TRIED_AGAIN):
            return True
        facts = (f"{name}={value}" for name, value in vars(record).items() if name not in _STANDARD)
        line, now = (record.name, record.getMessage(), *facts), self._clock()
        with self._lock:
            written, dropped = self._seen.get(line, (now - _REPEATED_EVERY_S, 0))
            if now - written < _REPEATED_EVERY_S:
                self._seen[line] = written, dropped + 1
                return False
            if len(self._seen) >= _MOST_REMEMBERED:
                self._seen.clear()
            self._seen[line] = now, 0
        if dropped:
            record.repeated = dropped
        return True


class _Masked(logging.Formatter):
    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return _PASSWORD.sub(_without_password, self._inner.format(record))


def _without_password(start: re.Match[str]) -> str:
    return f"{start[1]}***@" if start[2] else start[0]


class _Json(JsonFormatter):
    def formatTime(self, record: logging.LogRecord, _datefmt: str | None = None) -> str:  # noqa: N802
        """Return the time in the process's zone with its UTC offset, so that lines of several hosts can be compared."""
        return datetime.fromtimestamp(record.created, UTC).astimezone().isoformat(timespec="milliseconds")


class _Text(logging.Formatter):
    """One line for each record, and below it an indented one for each of its traceback: no value can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{key}={value}" for key, value in vars(record).items() if key not in _STANDARD)
        line = (
            f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {record.getMessage()} {facts}".rstrip()
        )
        trace = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        return "\n".join((_printable(line), *(f"  {_printable(each)}" for each in trace)))


def _printable(text: str) -> str:
    """Return the text with escapes for line breaks and for characters that a terminal acts on."""
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def set_up_logging(level: str, style: Literal["json", "text"], service: str) -> None:
    """Write the logs of this process to stderr, from ``level`` (debug, info, warning or error) upwards."""
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
    handler.addFilter(Repeats())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # At level info these libraries log every statement and every reconnect.
    for chatty in ("sqlalchemy", "waitress", "alembic"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    # While more requests come than there are threads, waitress warns at each one. Metrics show how long requests take.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    # pika logs seven errors for each refused connection. ``shared.transport`` logs one warning instead.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
