"""When a scheduler looks at all DAGs for new and changed schedules, on both deployments."""

import pytest

from services.scheduler.commands.carry_out import handle
from services.scheduler.deciding.post_commit import PostCommit
from shared.contracts import commands as c
from shared.store import tables as t
from tests.harness.statements import statements
from tests.integration.schedule_rig import STEPS, T0, Rig
from tests.integration.scheduler_stack import Stack

NOON = T0.replace(hour=12, minute=0, second=0)


@pytest.fixture
def rig(stack: Stack) -> Rig:
    return Rig(stack)


def looks(rig: Rig) -> int:
    """Return how often a scheduler that asks for the next scheduled time, which is noon, looks at all DAGs."""
    with statements(rig.stack.engine) as made:
        assert rig.one.firing._next_due() == NOON
    return sum("schedules.dag_version !=" in each for each in made)


def store(rig: Rig, *names: str) -> None:
    """Store DAGs whose schedules nobody has read yet."""
    spec = f'schedule: "0 12 * * *"\n{STEPS}'
    for name in names:
        command = c.CreateDag(file_name=name, spec=spec)
        rig.one.transactor.decide(lambda batch, command=command: handle(batch, command))  # type: ignore[misc]


def test_new_schedules_are_not_sought_for_each_fire(rig: Rig) -> None:
    store(rig, "a")
    assert looks(rig) > 0
    assert looks(rig) == 0

    store(rig, "b")
    with statements(rig.stack.engine) as made:
        rig.one.firing.follow(PostCommit(dags={"b"}))
    assert [each for each in made if "schedules.dag_version !=" in each and "dags.file_name IN" not in each] == []
    assert looks(rig) == 0
    assert len(rig.stack.rows(t.schedules)) == 2


def test_more_new_schedules_than_are_read_at_once_are_sought(rig: Rig) -> None:
    store(rig, "a")
    looks(rig)
    names = [f"d{number}" for number in range(201)]
    store(rig, *names)
    rig.one.firing.follow(PostCommit(dags=set(names)))

    assert looks(rig) > 0
    assert len(rig.stack.rows(t.schedules)) == 202
