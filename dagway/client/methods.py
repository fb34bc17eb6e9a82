"""Methods of the clients, made from the functions that describe their requests."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from inspect import Parameter, Signature, signature
from typing import Any, Concatenate, ParamSpec, TypeVar, get_args

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

    _describe(send, build)
    return send


def async_method(build: Callable[P, ApiCall[T]]) -> Callable[Concatenate[AsyncSender, P], Awaitable[T]]:
    """Return a coroutine method that sends the call that ``build`` returns."""

    async def send(client: AsyncSender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client.send(build(*args, **kwargs))

    _describe(send, build)
    return send


def _describe(send: Callable[..., Any], build: Callable[..., ApiCall[Any]]) -> None:
    """Make ``help`` and editors show the parameters and the result of ``build`` for the method ``send``."""
    send.__name__, send.__doc__ = build.__name__, build.__doc__
    told = signature(build)
    results = get_args(told.return_annotation)
    send.__dict__["__signature__"] = told.replace(
        parameters=[Parameter("self", Parameter.POSITIONAL_ONLY), *told.parameters.values()],
        return_annotation=results[0] if results else Signature.empty,
    )
