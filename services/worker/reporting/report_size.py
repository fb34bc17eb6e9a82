"""An end report that is too large for a message becomes one that says so.

Otherwise the broker would refuse it each time that it is sent, and the step would never end.
"""

from shared.contracts.codec import encode
from shared.contracts.events import AttemptFinished
from shared.transport.base import MAX_MESSAGE_BYTES

__all__ = ["that_fits"]

_FEW_CHARS = 1 << 20
"""Names and values of outputs with so many characters fit, even if JSON needs six bytes for each: no need to encode."""


def that_fits(event: AttemptFinished) -> AttemptFinished:
    """Return the report or, if it is too large, one without its values; a step that had succeeded then fails."""
    chars = sum(len(name) + len(value) for name, value in event.outputs.items())
    if not event.messages and not event.children and chars <= _FEW_CHARS:
        return event
    size = len(encode(event, id=event.token, at=event.at))
    if size <= MAX_MESSAGE_BYTES:
        return event
    why = (
        f"failed to capture output: the report of the step's end has {size} bytes, the limit is {MAX_MESSAGE_BYTES}: "
        "pass large data in files"
    )
    failed = {"outcome": "failed", "exit_code": 1, "error": why} if event.outcome == "succeeded" else {}
    return event.model_copy(update={"outputs": {}, "messages": (), "children": (), **failed})
