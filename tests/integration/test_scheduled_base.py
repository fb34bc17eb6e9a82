"""What the base configuration says about the runs that schedules start."""

import pytest

from shared.contracts import commands as c
from tests.integration.schedule_rig import Rig
from tests.integration.scheduler_stack import Stack


@pytest.fixture
def rig(stack: Stack) -> Rig:
    return Rig(stack)


def test_a_scheduled_run_waits_in_the_global_queue_of_the_base_configuration(rig: Rig) -> None:
    based = rig.another(base="queue: shared\n")
    rig.queue(c.SetQueue(name="shared", max_concurrency=1))
    rig.dag("a", 'schedule: "0 12 * * *"\n')
    rig.dag("b", 'schedule: "0 12 * * *"\n')

    rig.at("12:00", by=based)

    assert [status for _, status in rig.runs()] == ["queued", "queued"]
    assert based.admission.admit("shared") == 1


def test_a_queue_of_the_dag_comes_before_that_of_the_base_configuration(rig: Rig) -> None:
    rig.queue(c.SetQueue(name="shared", max_concurrency=1))
    rig.dag("a", 'schedule: "0 12 * * *"\nqueue: own\n')

    rig.at("12:00", by=rig.another(base="queue: shared\n"))

    assert [status for _, status in rig.runs()] == ["running"]


def test_missed_times_are_caught_up_as_the_base_configuration_says(rig: Rig) -> None:
    rig.dag("a", 'schedule: "0 * * * *"\n')

    rig.at("13:05", by=rig.another(base="catchup: latest\n"))

    assert rig.ledger() == [("12:00", "start", "missed"), ("13:00", "start", "fired")]


def test_a_success_by_hand_counts_if_the_base_configuration_says_so(rig: Rig) -> None:
    rig.dag("a", 'schedule: "0 * * * *"\n')
    rig.at("12:30")
    rig.queue(c.StartRun(file_name="a", dag_run_id="by-hand"))
    rig.end()

    rig.at("13:00", by=rig.another(base="skipIfSuccessful: true\n"))

    assert rig.ledger() == [("12:00", "start", "missed"), ("13:00", "start", "skipped")]


def test_a_schedule_in_the_base_configuration_starts_nothing(rig: Rig) -> None:
    rig.dag("a", "")

    rig.at("12:00", by=rig.another(base='schedule: "0 12 * * *"\n'))

    assert (rig.ledger(), rig.runs()) == ([], [])


def test_a_stored_dag_may_leave_the_model_of_its_chat_steps_to_the_base_configuration(rig: Rig) -> None:
    chat = "{name: ask, type: chat, messages: [{role: user, content: hi}]}"
    rig.queue(c.CreateDag(file_name="a", spec=f'schedule: "0 12 * * *"\nsteps:\n  - {chat}\n'))

    rig.at("12:00", by=rig.another(base="llm: {provider: local, model: m}\n"))

    assert [status for _, status in rig.runs()] == ["running"]
