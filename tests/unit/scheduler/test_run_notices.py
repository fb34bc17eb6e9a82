"""Which changes of runs a scheduler tells gateways, and when."""

import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from services.scheduler.deciding.post_commit import EndedRun, PostCommit
from services.scheduler.loops.run_notices import RunNotices
from shared.clock import utc_now
from shared.contracts.codec import decode_as
from shared.contracts.control import CHANGES, RunsChanged
from shared.service import Background
from shared.status import RunStatus
from shared.transport.embedded.transport import EmbeddedTransport

WAIT_S = 60
Heard = SimpleQueue[RunsChanged]


@pytest.fixture
def transport() -> Iterator[EmbeddedTransport]:
    opened = EmbeddedTransport(None)
    yield opened
    opened.close()


@pytest.fixture
def heard(transport: EmbeddedTransport) -> Heard:
    """What gateways hear."""
    found = Heard()
    transport.listen([CHANGES], lambda _topic, body: found.put(decode_as(body, RunsChanged)))
    return found


def _ended(key: str) -> EndedRun:
    return EndedRun(key, "d", key, RunStatus.SUCCEEDED, is_root=True, lasted_s=1.0)


def test_the_end_of_a_run_is_told_at_once_and_takes_earlier_changes_along(
    transport: EmbeddedTransport, heard: Heard
) -> None:
    notices = RunNotices(transport, utc_now)

    notices.follow(PostCommit(changed={"b"}))
    notices.follow(PostCommit(changed={"c", "b"}))
    notices.follow(PostCommit())
    notices.follow(PostCommit(changed={"a"}, ended=[_ended("a")]))

    first = heard.get(timeout=WAIT_S)
    assert (first.run_keys, first.ended) == (["a", "b", "c"], ["a"])
    notices.tell()
    assert heard.empty()


def test_changes_without_an_end_are_told_by_the_thread(transport: EmbeddedTransport, heard: Heard) -> None:
    notices = RunNotices(transport, utc_now)
    died = threading.Event()
    thread = Background("notices", notices.run, died.set, notices.wake)
    thread.start()
    try:
        for key in ("a", "b"):
            notices.follow(PostCommit(changed={key}))
            while key not in (told := heard.get(timeout=WAIT_S)).run_keys:
                pass
            assert told.ended == []
    finally:
        thread.stop()
    assert not thread.alive
    assert not died.is_set()


def test_more_runs_than_a_notice_may_name_are_told_as_any_run(transport: EmbeddedTransport, heard: Heard) -> None:
    notices = RunNotices(transport, utc_now)

    notices.follow(PostCommit(changed={str(number) for number in range(101)}, ended=[_ended("7")]))

    told = heard.get(timeout=WAIT_S)
    assert (told.run_keys, told.ended) == ([], [])
