"""One trace per run, in the words of W3C Trace Context, without anything to keep or to send.

The trace's id follows from the run's key, and a span's id from what it is about, so that every
service finds the same ones by itself: a step that reports spans of its own joins its run's trace.
"""

import hashlib

__all__ = ["trace_id", "traceparent"]


def trace_id(run_key: str) -> str:
    """Return 32 hexadecimal digits: a key that is a UUID is its own id."""
    plain = run_key.replace("-", "").lower()
    if len(plain) == 32 and set(plain) <= set("0123456789abcdef") and set(plain) != {"0"}:
        return plain
    return hashlib.sha256(run_key.encode()).hexdigest()[:32]


def traceparent(run_key: str, token: str) -> str:
    """Return the header of an attempt's span, sampled."""
    return f"00-{trace_id(run_key)}-{hashlib.sha256(token.encode()).hexdigest()[:16]}-01"
