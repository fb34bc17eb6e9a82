"""Settling futures that several threads may settle, or that were cancelled: the first one wins."""

from concurrent.futures import Future, InvalidStateError
from typing import TypeVar

__all__ = ["complete", "fail", "settle"]

T = TypeVar("T")


def complete(future: "Future[T]", value: T) -> None:
    """Set the result unless the future was settled or cancelled before."""
    try:
        future.set_result(value)
    except InvalidStateError:
        return


def fail(future: "Future[T]", error: Exception) -> None:
    """Set the error unless the future was settled or cancelled before."""
    try:
        future.set_exception(error)
    except InvalidStateError:
        return


def settle(future: "Future[None]", error: Exception | None) -> None:
    """Complete the future, or fail it if there is an error."""
    if error is None:
        complete(future, None)
    else:
        fail(future, error)
