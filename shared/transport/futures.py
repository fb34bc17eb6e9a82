"""Settle futures that other threads may settle or cancel at the same time: only the first call has an effect."""

from concurrent.futures import Future, InvalidStateError
from typing import TypeVar

__all__ = ["complete", "fail", "settle"]

T = TypeVar("T")


def complete(future: "Future[T]", value: T) -> None:
    """Set the result of the future, unless it is settled or cancelled already."""
    try:
        future.set_result(value)
    except InvalidStateError:
        return


def fail(future: "Future[T]", error: Exception) -> None:
    """Make the future fail with ``error``, unless it is settled or cancelled already."""
    try:
        future.set_exception(error)
    except InvalidStateError:
        return


def settle(future: "Future[None]", error: Exception | None) -> None:
    """Complete the future if ``error`` is ``None``, else make it fail with ``error``."""
    if error is None:
        complete(future, None)
    else:
        fail(future, error)
