"""One request to the API, as data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter

__all__ = ["ApiCall", "model", "no_content", "path_of"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApiCall(Generic[T]):
    """One request to the API. ``read`` makes the result from the JSON of the answer, or from its text if ``is_text``.

    ``None`` in ``query``, ``headers`` and a ``body`` that is a map means that it is absent. The gateway may
    take ``takes_s`` seconds longer to answer than for other calls.
    """

    method: str
    path: str
    read: Callable[[Any], T]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    is_text: bool = False
    takes_s: float = 0.0


def path_of(*parts: str | int) -> str:
    """Return the path of these parts, each after a slash.

    Raises:
        ValueError: a part is empty, or ``.`` or ``..``, which httpx would resolve: the request would be for something
            else.
    """
    if wrong := {"", ".", ".."}.intersection(map(str, parts)):
        raise ValueError(f"{wrong.pop()!r} cannot be a name or an id")
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)


def model(kind: type[T], *names: str) -> Callable[[Any], T]:
    """Return a function that reads the model from the answer, or from the object at ``names`` in it."""
    adapter = TypeAdapter(kind)

    def read(answer: Any) -> T:
        for name in names:
            answer = answer[name]
        return adapter.validate_python(answer)

    return read


def no_content(_answer: Any) -> None:
    """Read an answer that has no content."""
