"""Starts that one transaction records, on both footings."""

from zoneinfo import ZoneInfo

from services.scheduler.assembly import Assembly
from services.scheduler.commands.carry_out import carry_out
from services.scheduler.deciding.plans import Plans
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.codec import decode, encode
from shared.store import tables as t
from shared.store.tx import Store
from tests.integration.scheduler_stack import Stack

ONE = "steps:\n  - echo hi\n"


def test_of_starts_that_come_together_each_has_its_own_outcome(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("one", ONE)
    known, taken, new = (c.StartRun(file_name="one", dag_run_id=run_id) for run_id in ("r1", "r1", "r2"))
    shell = Assembly(Store(stack.engine), stack.transport, Plans(), utc_now, ZoneInfo("UTC")).shell

    def ask(**commands: c.Command) -> list[c.CommandReply]:
        envelopes = [decode(encode(command, id=key, at=utc_now())) for key, command in commands.items()]
        return shell.decide(lambda batch: carry_out(batch, shell.plans, envelopes))

    first = ask(known=known)
    later = ask(new=new, known=known, taken=taken, none=c.StartRun(file_name="none", dag_run_id="r3"))

    assert later[1] == first[0]
    assert [reply.error.code if reply.error else "" for reply in later] == ["", "", "already_exists", "not_found"]
    assert sorted(row["dag_run_id"] for row in stack.rows(t.dag_runs)) == ["r1", "r2"]
    assert {row["command_id"] for row in stack.rows(t.inbox)} >= {"known", "taken", "new", "none"}
