"""Schedulers without threads: a test triggers each action itself."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from services.scheduler.assembly import Assembly
from services.scheduler.commands.carry_out import carry_out
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans
from shared.contracts import commands as c
from shared.contracts.codec import decode, encode
from shared.ids import new_run_id
from shared.store.writes.transaction import Store
from shared.transport.base import COMMANDS
from tests.harness.commands import named
from tests.integration.scheduler_stack import Stack

__all__ = ["T0", "SteppedRig"]

T0 = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class SteppedRig:
    """``now`` is the clock of all its schedulers, ``parts`` the first of them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.now = T0
        stack.transport.declare([COMMANDS])
        self.store = Store(stack.engine)
        self.parts = self.another()
        self.transactor = self.parts.transactor

    def another(self) -> Assembly:
        return Assembly(self.store, self.stack.transport, SchedulerMemory(Plans()), lambda: self.now, ZoneInfo("UTC"))

    def ask(self, *commands: c.Command) -> list[c.CommandReply]:
        envelopes = [decode(encode(named(command), id=new_run_id(), at=self.now)) for command in commands]
        return self.transactor.decide(lambda batch: carry_out(batch, envelopes))
