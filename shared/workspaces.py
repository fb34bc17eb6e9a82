"""Workspaces: separate names for DAGs, runs, queues, pools, secrets, API keys and webhooks. Pure.

Each of these belongs to one workspace, and its stored name says to which: the DAG ``etl`` of the workspace ``acme`` is
stored as ``acme␟etl``. The names of the default workspace are stored as they are. No name that anybody may choose
contains the mark, so a name of one workspace is never a name of another (ADR 53).
"""

import re

from shared.errors import InvalidInput

__all__ = [
    "DEFAULT",
    "MARK",
    "NO_ROLE",
    "QUOTAS",
    "WORKSPACE_RULE",
    "ForeignName",
    "check_length",
    "check_unmarked",
    "name_prefix",
    "plain_name",
    "role_there",
    "stored_name",
    "valid_workspace",
    "workspace_of",
]

DEFAULT = ""
"""The default workspace, as it is called inside. Users call it ``default``."""
MARK = "␟"
"""Separates the workspace from the plain name: U+241F, the symbol for a unit separator."""
NO_ROLE = "none"
"""The role of a user who may use no workspace but those that the user is a member of."""
QUOTAS = ("max_running", "max_queued", "max_dags", "max_log_bytes")
"""The quotas of a workspace, as columns, commands and requests call them."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,28}[a-z0-9])?")
_RESERVED = frozenset({"default", "all", "none"})
WORKSPACE_RULE = (
    "1 to 30 lower-case letters, digits or dashes, without a dash at either end, and not 'default', 'all' or 'none'"
)
"""The rule of ``valid_workspace`` in words, for error messages."""


class ForeignName(InvalidInput):
    """A name contains the mark that separates workspaces, so it could be a name of another workspace."""


def valid_workspace(name: str) -> bool:
    """Return whether ``name`` may be the name of a workspace other than the default one."""
    return bool(_NAME.fullmatch(name)) and name not in _RESERVED


def name_prefix(workspace: str) -> str:
    """Return what all stored names of a workspace begin with; empty for the default workspace."""
    return f"{workspace}{MARK}" if workspace else ""


def stored_name(workspace: str, name: str) -> str:
    """Return the stored name of what is called ``name`` in a workspace. A stored name of it is returned unchanged.

    Raises:
        ForeignName: ``name`` contains the mark.
    """
    prefix = name_prefix(workspace)
    plain = name.removeprefix(prefix)
    if MARK in plain:
        raise ForeignName(f"{plain[:80]!r} is not a valid name: it must not contain the character {MARK} (U+241F)")
    return prefix + plain


def check_unmarked(name: str, field: str) -> None:
    """Check a name that belongs to no workspace, such as a username: it must not look like a stored name of one.

    Raises:
        ForeignName: it contains the mark; the message names ``field``.
    """
    if MARK in name:
        raise ForeignName(f"{field}: {name[:80]!r} must not contain the character {MARK} (U+241F)")


def check_length(stored: str, most: int, field: str) -> None:
    """Check that a stored name fits into a column of ``most`` characters. The name of its workspace counts.

    Raises:
        InvalidInput: it is longer; the message names ``field`` and how long the plain name may be.
    """
    if len(stored) > most:
        prefix = stored.removesuffix(plain_name(stored))
        where = f" in the workspace {workspace_of(stored)}" if prefix else ""
        raise InvalidInput(f"{field}: a name{where} must have at most {most - len(prefix)} characters")


def plain_name(stored: str) -> str:
    """Return the name that a workspace calls its own."""
    return stored.rpartition(MARK)[2]


def workspace_of(stored: str) -> str:
    """Return the workspace of a stored name."""
    return stored.partition(MARK)[0] if MARK in stored else DEFAULT


def role_there(workspace: str, role: str, *, home: str = DEFAULT, member: str = "") -> str:
    """Return the role in ``workspace`` of who has ``role`` in its own workspace ``home``; empty if it has none.

    ``home`` is the default workspace for users, and the workspace of an API key or webhook. ``member`` is the role of
    a user that is a member of ``workspace``. An administrator of the default workspace is one everywhere.
    """
    if workspace == home:
        return role
    if home == DEFAULT and role == "admin":
        return role
    return member
