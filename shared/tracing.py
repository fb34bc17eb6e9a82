"""Trace contexts: the place of a piece of work in its trace, by W3C Trace Context.

A context travels as ``traceparent``: in HTTP requests, in envelopes, in a run's row and in a step's
environment. The ids of a run's and an attempt's spans follow from their names, so that every service
finds the same ones by itself and nothing must be kept while they last. Sending spans is
``shared.spans``; a context costs next to nothing and is there without it.
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
    """The context of one span. ``sampled``: whether the spans of the trace are to be recorded."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    sampled: bool = True

    @classmethod
    def parse(cls, header: str | None) -> Self | None:
        """Parse a ``traceparent``; ``None`` if it is missing or invalid.

        Source: W3C Trace Context, section 3.2; a later version may have more fields behind these.
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
        """Return the first span of a trace whose ids are derived from ``name``: the same in every process."""
        digits = hashlib.sha256(name.encode()).hexdigest()
        return cls(digits[:32], digits[32:48], _sampled(digits[:32]))

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"

    def child(self, name: str = "") -> "SpanContext":
        """Return a child span; its id is derived from ``name``, or random without one."""
        span_id = hashlib.sha256(name.encode()).hexdigest()[:16] if name else random_hex(16)
        return SpanContext(self.trace_id, span_id, self.sampled)

    def of_run(self, run_key: str, run_attempt: int) -> "SpanContext":
        """Return the span of a run that was requested in this context."""
        return self.child(f"{run_key}#{run_attempt}")


_sampled: Callable[[str], bool] = lambda _trace_id: True  # noqa: E731 - a default, replaced by ``sample_with``


def sample_with(sampled: Callable[[str], bool]) -> None:
    """Let ``sampled(trace id)`` decide about traces that begin in this process."""
    global _sampled  # noqa: PLW0603 - one process, one sampler
    _sampled = sampled


def begin() -> SpanContext:
    """Return the first span of a new trace."""
    digits = random_hex(48)
    return SpanContext(digits[:32], digits[32:], _sampled(digits[:32]))


_here: ContextVar[SpanContext | None] = ContextVar("trace", default=None)


def here() -> SpanContext | None:
    """Return the current span of this thread, if any."""
    return _here.get()


@contextmanager
def within(context: SpanContext | None) -> Iterator[None]:
    """Work in this span inside the block."""
    token = _here.set(context)
    try:
        yield
    finally:
        _here.reset(token)


def enter(context: SpanContext | None) -> None:
    """Work in this span until the next call on this thread: for work that is not one block."""
    _here.set(context)
