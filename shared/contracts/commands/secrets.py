"""Commands about stored secrets. They contain values only as a gateway has sealed them."""

from pydantic import Field

from shared.contracts.base import Part
from shared.contracts.commands.base import Command

__all__ = ["DeleteSecret", "ResealSecrets", "ResealedSecret", "SetSecret"]


class SetSecret(Command):
    """Create a secret, or replace its value. Later attempts get the new value."""

    type = "secret.set"
    name: str
    sealed: str = Field(repr=False)
    dags: tuple[str, ...] = ()
    """Patterns of the names of the DAG files that may use the secret; empty: all, and DAGs without a file."""


class DeleteSecret(Command):
    """Delete a secret. Later attempts that need it fail."""

    type = "secret.delete"
    name: str


class ResealedSecret(Part):
    """One secret, sealed with another key."""

    name: str
    replaces: str = Field(repr=False)
    """The sealed text of the same value: if the secret has another one by now, it is left alone."""
    sealed: str = Field(repr=False)


class ResealSecrets(Command):
    """Store the same values, sealed with another key."""

    type = "secret.reseal"
    secrets: tuple[ResealedSecret, ...]
    remaining: int = 0
    """How many more the gateway saw that need it. Goes into the result."""
