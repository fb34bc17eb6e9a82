"""When all reports that were sent before a time are recorded, by whichever scheduler received them."""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.deciding.post_commit import NEVER
from services.scheduler.liveness.report_marks import AnsweredMarker, Gone, Peer, peer_of, recorded_until

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def row(heard_s: float, since_s: float, until_s: float | None) -> dict[str, datetime | None]:
    return {
        "heartbeat_at": at(heard_s),
        "session_since": at(since_s),
        "reports_until": None if until_s is None else at(until_s),
    }


def test_a_marker_counts_when_everyone_has_recorded_what_came_before_its_answer() -> None:
    marker = AnsweredMarker(at(100), at(101))
    done, behind = Peer(at(102), at(0)), Peer(at(101), at(0))

    assert recorded_until([marker], [done, done]) == at(100)
    assert recorded_until([marker], [done, behind]) == NEVER
    assert recorded_until([AnsweredMarker(at(90), at(91)), marker], [done, behind]) == at(90)


def test_a_marker_from_before_a_new_session_proves_nothing() -> None:
    assert recorded_until([AnsweredMarker(at(100), at(101))], [Peer(at(200), at(99))]) == NEVER
    assert recorded_until([AnsweredMarker(at(101), at(102))], [Peer(at(200), at(99))]) == at(101)


def test_a_silent_scheduler_counts_until_its_session_is_over() -> None:
    silent = row(50, 0, 49)
    marker = AnsweredMarker(at(100), at(101))

    assert recorded_until([marker], [peer_of(silent, None)]) == NEVER
    assert recorded_until([marker], [peer_of(silent, Gone(at(99), at(300)))]) == NEVER, "perhaps not put back"
    assert recorded_until([marker], [peer_of(silent, Gone(at(98), at(100)))]) == NEVER, "perhaps back since"
    assert recorded_until([marker], [peer_of(silent, Gone(at(98), at(101)))]) == at(100)


@dataclass
class _Consumer:
    """A scheduler in the model: what the broker delivered to it, and what its row says."""

    since: float = -10
    inbox: deque[tuple[str, float]] = field(default_factory=deque)
    mark: tuple[float, int] | None = None
    taken: int = 0
    received: int = 0
    until: float | None = None
    gone: tuple[float, float] | None = None


_MOVES = ["report", "marker", "deliver", "deliver", "record", "record", "mark", "mark", "wait", "end", "return"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_MOVES), st.integers(0, 1)), min_size=30, max_size=90))
def test_no_report_from_before_the_proven_time_is_unrecorded(moves: list[tuple[str, int]]) -> None:
    """A model of the broker: one queue, two consumers that receive, record, hang, lose their session and return."""
    queue: deque[tuple[str, float]] = deque()
    peers = [_Consumer() for _ in range(2)]
    answered: list[AnsweredMarker] = []
    unrecorded: set[float] = set()
    now = 0.0
    for move, who in moves:
        now += 3 if move == "wait" else 0.4
        one = peers[who]
        alive = one.gone is None
        if move == "report":
            queue.append(("report", now))
            unrecorded.add(now)
        elif move == "marker":
            queue.append(("marker", now))
        elif move == "deliver" and alive and queue:
            kind, sent = queue.popleft()
            if kind == "marker":
                answered.append(AnsweredMarker(at(sent), at(now)))
            else:
                one.inbox.append((kind, sent))
                one.received += 1
        elif move == "record" and one.inbox:
            unrecorded.discard(one.inbox.popleft()[1])
            one.taken += 1
        elif move == "mark" and alive:
            # Its marker among the heartbeats comes back: everything delivered before that has arrived.
            one.mark = one.mark or (now, one.received)
        elif move == "end" and alive:
            queue.extendleft(reversed(one.inbox))
            one.inbox.clear()
            one.taken = one.received
            one.mark, one.gone = None, (now, now)
        elif move == "return" and not alive:
            # In its new session it says nothing until its row names that session.
            one.since, one.until, one.gone = now, None, None
        for each in peers:
            if each.gone is not None:
                each.gone = (each.gone[0], now)
            if each.mark is not None and each.taken >= each.mark[1]:
                each.until, each.mark = each.mark[0], None
        rows = [
            Peer(
                NEVER if each.until is None else at(each.until),
                at(each.since),
                None if each.gone is None else Gone(at(each.gone[0]), at(each.gone[1])),
            )
            for each in peers
        ]
        proven = recorded_until(answered, rows)
        assert not [sent for sent in unrecorded if at(sent) < proven]
