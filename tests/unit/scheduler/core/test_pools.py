"""When a run asks for the places in pools that its steps need, and when it frees them."""

from datetime import timedelta
from typing import Any

import pytest

from services.scheduler.core.child_states import UNDER_WAY
from services.scheduler.core.decision import Acquire, Ignored, Release
from services.scheduler.core.messages import Admit, ChildrenSeen, TimerFired
from shared.admission.pools import LOCK, POOL, RATE, Claim, PoolKey
from shared.contracts.events import ChildCall
from shared.language.model import Handler, RateLimit, RetryPolicy
from shared.status import RunStatus, TimerKind
from shared.workspaces import stored_name
from tests.unit.scheduler.core.stage import Stage, make_dag, step

CLAIMS = (Claim(PoolKey(POOL, "db")),)


class PoolStage(Stage):
    """``asked`` are the steps that asked for places, ``freed`` those whose places were freed, both in order."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: list[str] = []
        self.freed: list[str] = []
        self.claims: tuple[Claim, ...] = ()

    def tell(self, message: Any) -> Any:
        names = [node.name for node in self.run.nodes]
        decision = super().tell(message)
        for effect in getattr(decision, "effects", ()):
            if isinstance(effect, Acquire):
                self.asked.append(names[effect.node])
                self.claims = effect.claims
            elif isinstance(effect, Release):
                self.freed.append(names[effect.node])
        return decision

    def admit(self, name: str) -> Any:
        return self.tell(Admit(self.node(name).idx))


def test_a_step_starts_when_it_has_its_place_and_frees_it_at_its_end() -> None:
    stage = PoolStage.begun(make_dag(step("a", pool=("db",)), step("b", "a"), handlers=[Handler.EXIT]))
    assert (stage.asked, stage.claims, stage.open()) == (["a"], CLAIMS, [])
    stage.admit("a")
    assert (stage.open(), stage.freed) == (["a"], [])
    stage.start("a")
    assert stage.freed == []
    stage.finish("a")
    assert stage.freed == ["a"]
    stage.play()

    assert stage.order() == ["a", "b", "onExit"]
    assert (stage.asked, stage.freed) == (["a"], ["a"])


def test_a_step_asks_for_all_its_places_at_once() -> None:
    limits = (RateLimit(name="calls", limit=5, interval_sec=60),)
    stage = PoolStage.begun(make_dag(step("a", pool=("db",), lock=("file",), rate_limit=limits)))

    assert stage.claims == (*CLAIMS, Claim(PoolKey(LOCK, "file")), Claim(PoolKey(RATE, "calls"), 5, 60))


def test_the_pools_of_a_workspace_are_its_own() -> None:
    name = stored_name("acme", "demo")
    stage = PoolStage.begun(make_dag(step("a", pool=("db",))).model_copy(update={"name": name}))

    assert stage.claims == (Claim(PoolKey(POOL, stored_name("acme", "db"))),)


def test_a_retry_that_asked_before_its_timer_fired_starts_at_an_earlier_time() -> None:
    policy = RetryPolicy(limit=1, interval_sec=60)
    stage = PoolStage.begun(make_dag(step("a", pool=("db",), retry_policy=policy), step("b"), placement="spread"))
    stage.admit("a")
    stage.make("a", "failed")
    stage.now += timedelta(seconds=60)
    stage.start("b")

    stage.now -= timedelta(seconds=1)
    stage.admit("a")
    assert stage.open() == ["a", "b"]


def test_a_step_holds_no_place_between_its_tries() -> None:
    policy = RetryPolicy(limit=1, interval_sec=60)
    stage = PoolStage.begun(make_dag(step("a", pool=("db",), retry_policy=policy)))
    stage.admit("a")
    stage.make("a", "failed")
    assert (stage.asked, stage.freed) == (["a"], ["a"])
    stage.wait(60)
    assert (stage.asked, stage.open()) == (["a", "a"], [])
    stage.admit("a")
    stage.play()

    assert (stage.run.status, stage.freed) == (RunStatus.SUCCEEDED, ["a", "a"])


def test_a_stop_ends_the_wait_for_a_place() -> None:
    stage = PoolStage.begun(make_dag(step("a", pool=("db",)), step("b")))
    stage.start("b")
    stage.stop()
    assert stage.freed == ["a"]
    stage.admit("a")
    stage.finish("b", "aborted")

    assert (stage.states(), stage.run.status, stage.order()) == ("not_started aborted", RunStatus.ABORTED, ["b"])


def test_a_step_keeps_its_place_while_something_else_delays_its_start() -> None:
    stage = PoolStage.begun(make_dag(step("a", pool=("db",)), step("b"), placement="stick"))
    stage.admit("a")
    assert (stage.open(), stage.freed) == (["b"], []), "the worker of the run is not known yet"
    stage.stop()

    assert (stage.freed, stage.run.status) == (["a"], RunStatus.ABORTED)


def test_a_place_is_held_until_the_sub_runs_have_ended() -> None:
    stage = PoolStage.begun(make_dag(step("c", type="dag", call="sub", pool=("db",))))
    stage.admit("c")
    stage.start("c")
    stage.finish("c", children=(ChildCall(dag="sub", params=""),))
    assert stage.freed == []
    (child,) = stage.node("c").children.having(UNDER_WAY)
    stage.tell(ChildrenSeen(stage.node("c").idx, {child.run_id: "succeeded"}, {child.run_id: {}}))

    assert stage.freed == ["c"]


@pytest.mark.parametrize("waits", [True, False])
def test_only_a_step_that_still_waits_asks_again(waits: bool) -> None:
    stage = PoolStage.begun(make_dag(step("a", pool=("db",))))
    if not waits:
        stage.admit("a")
        assert isinstance(stage.admit("a"), Ignored)
    stage.now += timedelta(seconds=1)
    stage.tell(TimerFired(stage.node("a").idx, TimerKind.POOL))

    assert stage.asked == (["a", "a"] if waits else ["a"])
