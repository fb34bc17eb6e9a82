"""The workspace of the request that is being answered, and the names of what belongs to it.

A request names its workspace by the header ``X-Dagway-Workspace`` or the query parameter ``workspace``; without them it
is the default workspace. Names in the request become stored names where ``checked_values`` checks them (``stored``). In
the response each of them is the plain name again (``shown``): one place for all bodies, errors and streams, which is
exact because no other text has the mark behind the workspace's name.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Protocol

from services.api.problems import Problem, bad_request
from shared.workspaces import DEFAULT, ForeignName, name_prefix, plain_name, stored_name, valid_workspace

__all__ = [
    "ARGUMENT",
    "DEFAULT_LABEL",
    "HEADER",
    "Parts",
    "asked_workspace",
    "begin",
    "current",
    "no_access",
    "shown",
    "shown_parts",
    "stored",
    "stored_command_id",
]

HEADER, ARGUMENT = "X-Dagway-Workspace", "workspace"
DEFAULT_LABEL = "default"
_MAX_ID = 200
"""The most characters of a stored command id."""
_current: ContextVar[str] = ContextVar("workspace", default=DEFAULT)


class Parts(Protocol):
    """The body of a stream, as the server iterates over and closes it."""

    def __iter__(self) -> Iterator[bytes]: ...


def asked_workspace(headers: Mapping[str, str], arguments: list[str]) -> str:
    """Return the workspace that a request names, which may not exist. For several names it is one that cannot exist."""
    name = ", ".join(sorted({each for each in (*arguments, headers.get(HEADER, "")) if each}))
    return DEFAULT if name == DEFAULT_LABEL else name


def begin(workspace: str) -> None:
    """Make ``workspace`` the one of the request that this thread or greenlet answers, until the next one."""
    _current.set(workspace if valid_workspace(workspace) else DEFAULT)


def current() -> str:
    """Return the workspace of the request that is being answered."""
    return _current.get()


def stored(name: str, field: str) -> str:
    """Return the stored name of what a request calls ``name``. Raises a 400 if no name can be like that."""
    try:
        return stored_name(_current.get(), name)
    except ForeignName as error:
        raise bad_request(f"{field}: {error}", field=field) from error


def stored_command_id(workspace: str, key: str) -> str:
    """Return the id of a command of a workspace: so no other workspace can use or read it."""
    if workspace == DEFAULT:
        return key
    found = stored_name(workspace, key)
    if len(found) <= _MAX_ID:
        return found
    return name_prefix(workspace) + hashlib.sha256(key.encode()).hexdigest()


def shown(content: bytes) -> bytes:
    """Return a body or a part of one with the plain names of the workspace of this request."""
    workspace = _current.get()
    return content.replace(name_prefix(workspace).encode(), b"") if workspace else content


class shown_parts:  # noqa: N801 - used as a function
    """Iterates over the parts of a stream as ``shown`` returns them. Each part must have whole names."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._prefix = name_prefix(_current.get()).encode()

    def __iter__(self) -> Iterator[bytes]:
        return (part.replace(self._prefix, b"") for part in self._parts)

    def close(self) -> None:
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()


def no_access(name: str, workspace: str) -> Problem:
    """Return a 403: the same whether the workspace does not exist or the principal has no role in it."""
    return Problem(403, "forbidden", f"{plain_name(name)} may not use the workspace {workspace[:40] or DEFAULT_LABEL}")
