"""The principal of a request: the user or key that makes it, with its role."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from shared.contracts.actors import STORED_KINDS
from shared.contracts.dag_scope import ALL_DAGS, DagScope
from shared.roles import Role as UserRole
from shared.workspaces import DEFAULT

__all__ = ["ANYBODY", "NOBODY", "Permission", "Principal", "Role"]

Role = Literal["public", UserRole]
Permission = Literal["write_dags", "run_dags"]
_YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Principal:
    """The user or key that makes a request. ``by`` is its name in the log of transitions."""

    kind: Literal["user", "api_key", "webhook", "token", "basic", "oidc", "nobody"]
    id: str
    username: str
    role: str
    created_at: datetime = _YEAR_ONE
    updated_at: datetime = _YEAR_ONE
    expires_at: datetime | None = None
    """When the API key expires. ``None``: never."""
    dags: DagScope = ALL_DAGS
    """The DAGs that the API key may use."""
    home: str = DEFAULT
    """The workspace that an API key belongs to; the default workspace for all others."""
    members: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The roles in other workspaces that groups of the OpenID Connect provider give. Those of stored users are read."""
    by_session: bool = False
    """Whether the credential is the session cookie, which browsers add by themselves."""

    @property
    def known(self) -> bool:
        return self.kind != "nobody"

    @property
    def row_id(self) -> str:
        """The id of the user's, API key's or webhook's row; empty for other kinds."""
        return self.id.removeprefix("apikey:") if self.kind in STORED_KINDS else ""

    @property
    def by(self) -> str:
        return self.username or "anonymous"


NOBODY = Principal("nobody", "", "", "")
ANYBODY = Principal("nobody", "", "", "admin")
"""The principal of a request without credentials where none are required: it may do anything."""
