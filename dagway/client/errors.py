"""The errors of the client."""

from collections.abc import Mapping
from typing import Any

__all__ = ["ClientError", "ConnectionFailed", "RequestRefused", "WaitTimeout"]


class ClientError(Exception):
    """Base of the errors of the client."""


class ConnectionFailed(ClientError):
    """The gateway could not be reached, or was unavailable, in all tries. A write may have had its effect."""


class RequestRefused(ClientError):
    """The gateway or a scheduler refused the request. It has no effect, unless ``code`` is ``internal_error``.

    Such a write is in doubt: it may be a dead letter that an administrator can have tried again. ``status`` is the HTTP
    status, ``code`` the code in the response, such as ``not_found``.
    """

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.details = status, code, message, details

    def __reduce__(self) -> tuple[Any, ...]:
        # ``args`` is the message only, of which no error can be made: that would end a pool of processes.
        return type(self), (self.status, self.code, self.message, self.details), self.__dict__


class WaitTimeout(ClientError):
    """The run had not ended within the time limit. It goes on."""
