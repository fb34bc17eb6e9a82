"""Commands about pools."""

from pydantic import Field

from shared.contracts.commands.base import Command

__all__ = ["RemovePool", "SetPool"]


class SetPool(Command):
    """Set the capacity of a pool. Steps that hold it keep it."""

    type = "pool.set"
    name: str
    capacity: int = Field(ge=1, le=1_000_000)


class RemovePool(Command):
    """Remove the configuration of a pool, which gives it a capacity of one."""

    type = "pool.remove"
    name: str
