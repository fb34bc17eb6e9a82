"""A task counts as lost only some time after its broker queue was seen empty."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from services.scheduler.liveness.lost_tasks import LostTasks
from shared.transport.base import BrokerQueue, Outgoing, task_queue
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.eventually import PATIENCE_S

T0 = datetime(2026, 1, 1, tzinfo=UTC)
OVERDUE = timedelta(seconds=17)
ANY = task_queue({})


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def transport() -> Iterator[EmbeddedTransport]:
    with closing(EmbeddedTransport(None)) as opened:
        opened.declare([ANY])
        yield opened


def test_a_task_sent_long_before_its_broker_queue_was_seen_empty_is_lost(transport: EmbeddedTransport) -> None:
    lost_tasks = LostTasks(transport, OVERDUE)
    assert lost_tasks.sent_before(ANY, at(0)) is None

    lost_tasks.observe([ANY], at(0))

    assert lost_tasks.sent_before(ANY, at(1.9)) is None, "who took the last one may not have reported yet"
    assert lost_tasks.sent_before(ANY, at(2)) == at(0) - OVERDUE
    assert lost_tasks.sent_before(task_queue({"gpu": "1"}), at(2)) is None


def test_with_long_leases_a_worker_has_longer_to_name_the_tasks_that_it_took(transport: EmbeddedTransport) -> None:
    lost_tasks = LostTasks(transport, OVERDUE, timedelta(seconds=10))
    lost_tasks.observe([ANY], at(0))

    assert lost_tasks.sent_before(ANY, at(4.9)) is None
    assert lost_tasks.sent_before(ANY, at(5)) == at(0) - OVERDUE


def test_nothing_is_lost_while_messages_wait_on_the_route(transport: EmbeddedTransport) -> None:
    lost_tasks = LostTasks(transport, OVERDUE)
    lost_tasks.observe([ANY], at(0))
    transport.send(Outgoing(ANY, b"task", "1")).result(PATIENCE_S)

    lost_tasks.observe([ANY], at(3))

    assert lost_tasks.sent_before(ANY, at(10)) is None


def test_a_deleted_broker_queue_counts_as_empty(transport: EmbeddedTransport) -> None:
    gone = BrokerQueue("dagway.worker.gone", ANY.durability)
    lost_tasks = LostTasks(transport, OVERDUE)

    lost_tasks.observe([gone], at(0))

    assert lost_tasks.sent_before(gone, at(2)) == at(0) - OVERDUE


def test_quick_passes_keep_the_first_observation_until_it_was_used(transport: EmbeddedTransport) -> None:
    lost_tasks = LostTasks(transport, OVERDUE)
    for tenth in range(30):
        lost_tasks.observe([ANY], at(tenth / 10))
    assert lost_tasks.sent_before(ANY, at(2.5)) == at(0) - OVERDUE

    lost_tasks.observe([ANY], at(4))
    assert lost_tasks.sent_before(ANY, at(6)) == at(4) - OVERDUE


@pytest.mark.parametrize("behind_s", [0, 1, 3, 7, 30])
def test_a_scheduler_that_judges_behind_the_present_finds_lost_tasks_all_the_same(
    transport: EmbeddedTransport, behind_s: int
) -> None:
    """With several schedulers, the time up to which one judges is always some seconds old."""
    lost_tasks = LostTasks(transport, OVERDUE)
    found = []
    for second in range(0, 60, 3):
        found.append(lost_tasks.sent_before(ANY, at(second - behind_s)))
        lost_tasks.observe([ANY], at(second))

    assert found[-1] is not None
    assert found[-1] >= at(57 - behind_s - 6) - OVERDUE


def test_queues_that_are_not_asked_for_are_forgotten(transport: EmbeddedTransport) -> None:
    lost_tasks = LostTasks(transport, OVERDUE)
    lost_tasks.observe([ANY], at(0))
    lost_tasks.observe([], at(1))

    assert lost_tasks.sent_before(ANY, at(5)) is None
