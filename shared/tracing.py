"""Span contexts: the trace id and span id of a piece of work, after W3C Trace Context.

A context travels as ``traceparent``: in HTTP requests, in envelopes, in a run's row and in a step's
environment. The ids of the spans of runs and attempts are hashes of their names, so every service computes the same
ids and no service stores a span until it ends. ``shared.spans`` sends spans. Contexts exist even if no spans are sent,
because they cost very little.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

from shared.ids import random_hex

__all__ = ["SpanContext", "begin", "enter", "here", "sample_with", "within"]

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class SpanContext:
    """The context of one span. ``sampled``: whether the spans of its trace are sent."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    sampled: bool = True

    @classmethod
    def parse(cls, header: str | None) -> Self | None:
        """Parse a ``traceparent`` header. Return ``None`` if it is missing or invalid.

        Source: W3C Trace Context, section 3.2. Versions after 00 may append fields, which are ignored.
        """
        found = _TRACEPARENT.fullmatch(header.strip()) if header else None
        if found is None:
            return None
        version, trace_id, span_id, flags, more = found.groups()
        if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the context of a root span. Its ids are hashes of ``name``, so they are the same in every process."""
        digits = hashlib.sha256(name.encode()).hexdigest()
        return cls(digits[:32], digits[32:48], _sampled(digits[:32]))

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"

    def child(self, name: str = "") -> "SpanContext":
        """Return the context of a child span. Its id is a hash of ``name``, or random if ``name`` is empty."""
        span_id = hashlib.sha256(name.encode()).hexdigest()[:16] if name else random_hex(16)
        return SpanContext(self.trace_id, span_id, self.sampled)

    def of_run(self, run_key: str, run_attempt: int) -> "SpanContext":
        """Return the context of the span of a run that was requested in this context."""
        return self.child(f"{run_key}#{run_attempt}")


_sampled: Callable[[str], bool] = lambda _trace_id: True  # noqa: E731 - a default, replaced by ``sample_with``


def sample_with(sampled: Callable[[str], bool]) -> None:
    """Let ``sampled(trace_id)`` decide whether a trace that begins in this process is sampled."""
    global _sampled  # noqa: PLW0603 - one process, one sampler
    _sampled = sampled


def begin() -> SpanContext:
    """Return the context of the root span of a new trace."""
    digits = random_hex(48)
    return SpanContext(digits[:32], digits[32:], _sampled(digits[:32]))


_here: ContextVar[SpanContext | None] = ContextVar("trace", default=None)


def here() -> SpanContext | None:
    """Return the context of this thread's current span, or ``None`` if there is none."""
    return _here.get()


@contextmanager
def within(context: SpanContext | None) -> Iterator[None]:
    """Make ``context`` the current span of this thread inside the block."""
    token = _here.set(context)
    try:
        yield
    finally:
        _here.reset(token)


def enter(context: SpanContext | None) -> None:
    """Make ``context`` the current span of this thread until the next call, for work that is not one block."""
    _here.set(context)
