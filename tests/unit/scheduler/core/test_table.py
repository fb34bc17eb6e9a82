"""The table of legal status changes is complete, enforced, and the same in docs/states.md."""

import pytest

from services.scheduler.core.draft import Draft
from shared.errors import InvariantBroken
from shared.status import NodeStatus, RunStatus
from shared.status_changes import NODE_CHANGES, RUN_CHANGES
from tests.harness.states_doc import PAGE, page
from tests.unit.scheduler.core.stage import T0, fresh, make_dag, step


def test_the_table_names_every_status() -> None:
    assert set(RUN_CHANGES) == set(RunStatus)
    assert set(NODE_CHANGES) == set(NodeStatus)


def test_a_run_that_ended_may_only_run_again() -> None:
    ends = [status for status in RunStatus if not status.active and status is not RunStatus.NOT_STARTED]

    assert [RUN_CHANGES[end] for end in ends] == [frozenset({RunStatus.RUNNING, RunStatus.QUEUED})] * 5


def test_a_node_that_ended_may_only_be_reset() -> None:
    ends = [status for status in NodeStatus if status.terminal]

    assert [NODE_CHANGES[end] for end in ends] == [frozenset({NodeStatus.NOT_STARTED})] * 6


def test_every_status_can_be_reached() -> None:
    assert set.union(*map(set, RUN_CHANGES.values())) == set(RunStatus) - {RunStatus.NOT_STARTED}
    assert set.union(*map(set, NODE_CHANGES.values())) == set(NodeStatus)


def test_a_draft_refuses_what_the_table_does_not_list() -> None:
    draft = Draft(fresh(make_dag(step("a"))), T0, "")
    with pytest.raises(InvariantBroken, match="not_started cannot become succeeded"):
        draft.become(RunStatus.SUCCEEDED, "", "")
    draft.move(0, NodeStatus.FAILED, "")
    with pytest.raises(InvariantBroken, match="failed cannot become succeeded"):
        draft.move(0, NodeStatus.SUCCEEDED, "")


def test_a_draft_refuses_a_second_open_attempt_and_to_close_what_is_not_open() -> None:
    draft = Draft(fresh(make_dag(step("a"))), T0, "")
    draft.open_attempt(0, None)
    with pytest.raises(InvariantBroken, match="second open attempt"):
        draft.open_attempt(0, None)
    draft.withdraw(0, "")
    with pytest.raises(InvariantBroken, match="no open attempt"):
        draft.withdraw(0, "")


def test_the_documentation_shows_the_table_as_it_is() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.harness.states_doc"
