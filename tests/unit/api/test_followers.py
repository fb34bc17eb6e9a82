"""Notifications wake the right followers, and the number of followers is limited."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import pytest

from services.api.followers import Follower, Followers
from services.api.problems import Problem
from shared.contracts.codec import encode
from shared.contracts.control import CHANGES, RunsChanged, TaskQueueOpened
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.eventually import eventually

NEVER_S = 3600.0
"""Longer than a test may take, so a follower that wakes earlier was woken by a notification."""
WAIT_S = 60
Say = Callable[..., None]


@pytest.fixture
def transport() -> Iterator[EmbeddedTransport]:
    opened = EmbeddedTransport(None)
    yield opened
    opened.close()


@pytest.fixture
def say(transport: EmbeddedTransport) -> Say:
    def broadcast(*run_keys: str, ended: list[str] | None = None) -> None:
        # The first follower waits only a quarter of a second for its thread to begin with notifications.
        eventually(listens)
        body = encode(RunsChanged(run_keys=list(run_keys), ended=ended), id="1", at=datetime.now(UTC))
        transport.broadcast(CHANGES, body)

    return broadcast


def listens() -> bool:
    """Whether no follower is still about to listen to notifications."""
    return all(each.name != "follower-listen" for each in threading.enumerate())


def woken(follower: Follower) -> threading.Event:
    """Wait on another thread; the returned event is set when the wait ends."""
    over = threading.Event()

    def wait() -> None:
        follower.wait(NEVER_S)
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    return over


class _SlowToListen(EmbeddedTransport):
    """A transport to a slow broker: ``listen`` returns only after ``answers`` is set."""

    def __init__(self) -> None:
        super().__init__(None)
        self.answers = threading.Event()

    def listen(self, topics: Sequence[str], callback: Callable[[str, bytes], None]) -> None:
        assert self.answers.wait(60)
        super().listen(topics, callback)


def test_a_slow_broker_does_not_hold_up_the_first_follower() -> None:
    with closing(_SlowToListen()) as transport:
        followers = Followers(transport, limit=2, poll_s=0.01)
        first = followers.add("a")
        assert woken(first).wait(WAIT_S)
        transport.answers.set()
        eventually(listens)


def test_a_notification_wakes_the_followers_of_its_run_and_of_all_runs(transport: EmbeddedTransport, say: Say) -> None:
    followers = Followers(transport, limit=3, poll_s=NEVER_S)
    mine, other, every = followers.add("a"), followers.add("b"), followers.add()
    ends = [woken(follower) for follower in (mine, other, every)]

    say("a", "c")

    assert ends[0].wait(WAIT_S)
    assert ends[2].wait(WAIT_S)
    assert not ends[1].is_set()
    say("b")
    assert ends[1].wait(WAIT_S)


def test_a_notification_without_runs_or_unreadable_wakes_all_followers(transport: EmbeddedTransport, say: Say) -> None:
    follower = Followers(transport, limit=1, poll_s=NEVER_S).add("a")
    first = woken(follower)
    say()
    assert first.wait(WAIT_S)
    for body in (b"?", encode(TaskQueueOpened(selector={}), id="1", at=datetime.now(UTC))):
        again = woken(follower)
        transport.broadcast(CHANGES, body)
        assert again.wait(WAIT_S)


def test_a_notification_before_the_wait_is_not_missed(transport: EmbeddedTransport, say: Say) -> None:
    followers = Followers(transport, limit=2, poll_s=NEVER_S)
    early, witness = followers.add("a"), followers.add("a")
    say("a")
    assert woken(witness).wait(WAIT_S)

    assert woken(early).wait(WAIT_S)


def test_followers_poll_without_notifications(transport: EmbeddedTransport) -> None:
    assert woken(Followers(transport, limit=1, poll_s=0.01).add("a")).wait(WAIT_S)


def test_followers_of_all_runs_query_again_soon_after_a_notification(transport: EmbeddedTransport, say: Say) -> None:
    follower = Followers(transport, limit=1, poll_s=NEVER_S).add()
    first = woken(follower)
    say("a")
    assert first.wait(WAIT_S)

    for _ in range(3):
        assert woken(follower).wait(WAIT_S)
    assert not woken(follower).wait(0)


def test_a_follower_gives_its_place_back_only_while_it_waits(transport: EmbeddedTransport) -> None:
    seen: list[str] = []

    @contextmanager
    def without_place() -> Iterator[None]:
        seen.append("leaves")
        yield
        seen.append("is back")

    follower = Followers(transport, limit=1, poll_s=0).add(without_place=without_place)
    assert seen == []

    follower.wait(0)

    assert seen == ["leaves", "is back"]


def test_many_followers_look_less_often_so_that_they_delay_nobody(transport: EmbeddedTransport) -> None:
    followers = Followers(transport, limit=160, poll_s=2)
    followers.add()
    assert followers.look_again_s() == 2

    for _ in range(159):
        followers.add()

    drawn = [followers.look_again_s() for _ in range(20)]
    assert all(5 <= each <= 15 for each in drawn)
    assert len(set(drawn)) > 1


def test_places_are_limited_and_given_back(transport: EmbeddedTransport) -> None:
    followers = Followers(transport, limit=1)
    held = followers.add()
    with pytest.raises(Problem) as raised:
        followers.add()
    assert (raised.value.status, raised.value.headers["Retry-After"]) == (503, "5")

    held.close()
    held.close()
    followers.add()


def test_a_workspace_leaves_streams_for_the_others(transport: EmbeddedTransport) -> None:
    followers = Followers(transport, limit=6, shared=lambda: True)
    held = [followers.add(workspace="acme") for _ in range(3)]
    with pytest.raises(Problem, match="on this server or in this workspace"):
        followers.add(workspace="acme")

    followers.add()
    held[0].close()
    held[0].close()

    followers.add(workspace="acme")


def test_who_waits_for_an_end_is_woken_by_nothing_else(transport: EmbeddedTransport, say: Say) -> None:
    followers = Followers(transport, limit=3, poll_s=NEVER_S)
    mine, unknown, every = followers.add("a", only_end=True), followers.add(only_end=True), followers.add("z")
    ends = [woken(follower) for follower in (mine, unknown, every)]

    say("a", "z", ended=[])

    assert ends[2].wait(WAIT_S)  # the notification has been handled
    assert not ends[0].is_set()
    assert not ends[1].is_set()
    say("b", "c", ended=["b"])
    assert ends[1].wait(WAIT_S)
    assert not ends[0].is_set()
    say("a", ended=["a"])
    assert ends[0].wait(WAIT_S)


@pytest.mark.parametrize(("keys", "ended"), [(("a",), None), ((), []), ((), None)])
def test_who_waits_for_an_end_looks_if_it_may_have_missed_it(
    transport: EmbeddedTransport, say: Say, keys: tuple[str, ...], ended: list[str] | None
) -> None:
    """A scheduler of an earlier version does not say what ended, and a notification about many runs names none."""
    over = woken(Followers(transport, limit=1, poll_s=NEVER_S).add("a", only_end=True))

    say(*keys, ended=ended)

    assert over.wait(WAIT_S)
