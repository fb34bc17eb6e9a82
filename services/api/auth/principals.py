"""The principal of a request: the user or key that makes it, with its role."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

__all__ = ["NOBODY", "RANKS", "Permission", "Principal", "Role"]

Role = Literal["public", "viewer", "operator", "manager", "admin"]
RANKS = {"viewer": 0, "operator": 1, "manager": 2, "admin": 3}
"""The roles of principals: each may do all that the lower ones may."""
Permission = Literal["write_dags", "run_dags"]
_YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Principal:
    """The user or key that makes a request. ``by`` is its name in the log of transitions."""

    kind: Literal["user", "api_key", "token", "basic", "oidc", "nobody"]
    id: str
    username: str
    role: str
    created_at: datetime = _YEAR_ONE
    updated_at: datetime = _YEAR_ONE

    @property
    def known(self) -> bool:
        return self.kind != "nobody"

    @property
    def by(self) -> str:
        return self.username or "anonymous"


NOBODY = Principal("nobody", "", "", "")
