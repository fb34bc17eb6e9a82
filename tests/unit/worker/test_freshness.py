"""When a worker may begin a task without asking."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.worker.attempt.freshness import doubt_about
from shared.contracts.events import Doubt
from shared.contracts.tasks import FRESH_S, SKEW_S, Task
from tests.harness.worker_rig import command, task

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def sent(age_s: float = 0, incarnation: str = "") -> Task:
    return task(command("true"), token="t", dispatched_at=NOW - timedelta(seconds=age_s), incarnation=incarnation)


def doubt(one: Task, **facts: Any) -> Doubt | None:
    calm = {"redelivered": False, "kept": False, "incarnation": "present", "heard": True, "now": NOW}
    return doubt_about(one, **{**calm, **facts})


@pytest.mark.parametrize("age_s", [-SKEW_S, 0, FRESH_S])
@pytest.mark.parametrize("incarnation", ["", "present"])
def test_a_fresh_task_for_this_process_begins_at_once(age_s: float, incarnation: str) -> None:
    assert doubt(sent(age_s, incarnation)) is None


@pytest.mark.parametrize(
    ("one", "facts", "why"),
    [
        (sent(FRESH_S + 0.1), {}, Doubt.OLD),
        (sent(-SKEW_S - 0.1), {}, Doubt.OLD),
        (sent(incarnation="former"), {}, Doubt.OTHER_INCARNATION),
        (sent(), {"kept": True}, Doubt.KEPT),
        (sent(), {"heard": False}, Doubt.UNHEARD),
        (sent(), {"redelivered": True}, Doubt.REDELIVERED),
        (sent(60, "former"), {"redelivered": True, "heard": False}, Doubt.REDELIVERED),
    ],
)
def test_every_doubt_has_its_reason(one: Task, facts: dict[str, Any], why: Doubt) -> None:
    assert doubt(one, **facts) == why


def test_a_task_of_an_older_scheduler_is_asked_for_only_if_it_was_delivered_before() -> None:
    one = sent().model_copy(update={"dispatched_at": None})

    assert doubt(one, heard=False, kept=True) is None
    assert doubt(one, redelivered=True) == Doubt.REDELIVERED
