"""Commands about pools."""

from pydantic import Field

from shared.contracts.commands.base import Command

__all__ = ["RemovePool", "SetPool"]


class SetPool(Command):
    """Set the capacity of a pool. Steps that have a place keep it, even if the new capacity is lower."""

    type = "pool.set"
    name: str
    capacity: int = Field(ge=1, le=1_000_000)


class RemovePool(Command):
    """Remove the configured capacity of a pool. Its capacity is then 1."""

    type = "pool.remove"
    name: str
