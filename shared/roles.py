"""The roles of users and API keys, and their order."""

from types import MappingProxyType
from typing import Literal, get_args

__all__ = ["RANK", "ROLES", "Role", "outranks"]

Role = Literal["admin", "manager", "operator", "viewer"]
ROLES: tuple[str, ...] = tuple(reversed(get_args(Role)))
"""The roles, lowest first."""
RANK = MappingProxyType({role: rank for rank, role in enumerate(ROLES)})
"""The roles, each with a higher number than those that may do less."""


def outranks(role: str, minimum: str) -> bool:
    """Return whether ``role`` is ``minimum`` or higher. An unknown role is lower than all others."""
    return RANK.get(role, -1) >= RANK[minimum]
