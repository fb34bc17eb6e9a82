"""Cases of steps that wait for approval."""

from shared.contracts.commands import Command, CommandReply, RetryRun
from shared.contracts.commands.approvals import ApproveStep, RejectStep
from tests.acceptance.world import Case, Seen, World
from tests.harness.eventually import eventually

__all__ = ["APPROVALS"]

_SPEC = """\
steps:
  - name: ok
    type: hitl
    config: {prompt: "ok?", input: [WHO], required: [WHO]}
  - name: after
    command: echo ${WHO}
"""


def _ask(world: World, case: Case, command: type[ApproveStep] | type[RejectStep], **facts: object) -> CommandReply:
    about = {"dag_name": case.dag, "dag_run_id": case.run_id, "step_name": "ok", **facts}
    asked: Command = command.model_validate(about)
    return world.ask(asked)


def _approve_with_inputs(world: World, case: Case) -> None:
    seen = world.until(case, "waiting")
    assert seen.states() == {"ok": "waiting", "after": "not_started"}
    assert seen.out("ok") == "Waiting for approval of step ok.\nQuestion: ok?\nInputs: WHO (required)"
    without = _ask(world, case, ApproveStep)
    assert without.error is not None
    assert (without.error.code, without.error.message) == ("bad_request", "missing required inputs: [WHO]")
    given = _ask(world, case, ApproveStep, inputs={"WHO": "Ann"}, by="ann")
    assert given.result == {"dagRunId": case.run_id, "stepName": "ok", "resumed": True}
    eventually(lambda: world.seen(case).run["run_attempt"] == 2)


def _inputs_reach_later_steps(seen: Seen) -> None:
    assert seen.states() == {"ok": "succeeded", "after": "succeeded"}
    assert seen.out("after") == "Ann"
    assert seen.nodes["ok"]["approval"] | {"at": ""} == {
        "granted": True,
        "at": "",
        "by": "ann",
        "inputs": {"WHO": "Ann"},
    }


def _reject_retry_and_reject(world: World, case: Case) -> None:
    world.until(case, "waiting")
    assert _ask(world, case, RejectStep, reason="no").outcome == "recorded"
    rejected = world.seen(case)
    assert (rejected.status, rejected.states()) == ("rejected", {"ok": "rejected", "after": "not_started"})
    world.must(RetryRun(dag_name=case.dag, dag_run_id=case.run_id))
    assert world.until(case, "waiting").nodes["ok"]["approval"] is None
    assert _ask(world, case, RejectStep, reason="never").outcome == "recorded"


def _rejected_without_handlers(seen: Seen) -> None:
    assert seen.nodes["ok"]["approval"]["reason"] == "never"
    assert seen.nodes["onExit"]["status"] == "not_started"


APPROVALS = [
    Case(
        row="A76",
        about="an approval with its inputs",
        spec=_SPEC,
        meanwhile=_approve_with_inputs,
        check=_inputs_reach_later_steps,
        status="succeeded",
    ),
    Case(
        row="A77",
        about="a rejection, and a retry that asks again",
        spec=_SPEC + "handlerOn:\n  exit:\n    command: echo bye\n",
        meanwhile=_reject_retry_and_reject,
        check=_rejected_without_handlers,
        status="rejected",
    ),
]
