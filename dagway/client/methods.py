"""Methods of the clients, made from the functions that describe their requests."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from dagway.client.api_call import ApiCall

__all__ = ["AsyncSender", "Sender", "async_method", "method"]

P = ParamSpec("P")
T = TypeVar("T")


class Sender(ABC):
    """Sends calls, and waits for their answers."""

    @abstractmethod
    def send(self, call: ApiCall[T]) -> T:
        """Send a call, repeat it if necessary, and return its result."""


class AsyncSender(ABC):
    """``Sender`` for ``asyncio``."""

    @abstractmethod
    async def send(self, call: ApiCall[T]) -> T:
        """Send a call, repeat it if necessary, and return its result."""


def method(build: Callable[P, ApiCall[T]]) -> Callable[Concatenate[Sender, P], T]:
    """Return a method that sends the call that ``build`` returns."""

    def send(client: Sender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client.send(build(*args, **kwargs))

    send.__name__, send.__doc__ = build.__name__, build.__doc__
    return send


def async_method(build: Callable[P, ApiCall[T]]) -> Callable[Concatenate[AsyncSender, P], Awaitable[T]]:
    """Return a coroutine method that sends the call that ``build`` returns."""

    async def send(client: AsyncSender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client.send(build(*args, **kwargs))

    send.__name__, send.__doc__ = build.__name__, build.__doc__
    return send
