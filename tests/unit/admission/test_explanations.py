"""What a run or step is said to wait for is what keeps admission from starting it, for any state."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.admission import pools
from shared.admission.pools import LOCK, POOL, RATE, Claim, PoolKey, PoolState, may_enter
from shared.admission.runs import (
    AGING,
    PRIORITIES,
    BehindRuns,
    Moment,
    OpenPause,
    QueuedRun,
    QueueState,
    admission_order,
    admit,
    admit_borrowers,
    behind,
    explain,
    obstacle,
    pauses_queue,
)

NOW = datetime(2027, 1, 1, tzinfo=UTC)
QUEUE = "q"

times = st.integers(-3, 3).map(lambda steps: NOW + steps * AGING / 2)
labels = st.dictionaries(st.sampled_from(["gpu", "zone"]), st.sampled_from(["a", "b"]), max_size=2)
pauses = st.one_of(
    st.just(OpenPause("global", "")),
    st.builds(OpenPause, st.just("queue"), st.sampled_from([QUEUE, "other"])),
    st.builds(OpenPause, st.just("dag"), st.sampled_from(["x", "y"])),
)
runs = st.builds(
    QueuedRun,
    run_key=st.uuids().map(str),
    queued_at=times,
    priority=st.sampled_from(PRIORITIES),
    selector=labels,
    queue=st.just(QUEUE),
    file_name=st.sampled_from(["", "x", "y"]),
    not_before=st.none() | times,
    after_status=st.sampled_from([None, "queued", "running", "waiting", "aborted", "succeeded"]),
    after_finished_at=st.none() | times,
    wait_s=st.sampled_from([0, 0, 600]),
)
moments = st.builds(Moment, now=st.just(NOW), labels=st.lists(labels, max_size=3), pauses=st.lists(pauses, max_size=1))
queues = st.builds(QueueState, name=st.just(QUEUE), capacity=st.integers(1, 4), taken=st.integers(0, 5))


@given(queued=st.lists(runs, max_size=8), moment=moments, queue=queues, data=st.data())
def test_a_run_waits_for_its_turn_exactly_if_it_is_admitted_in_its_turn(
    queued: list[QueuedRun], moment: Moment, queue: QueueState, data: st.DataObject
) -> None:
    ordered = sorted(queued, key=admission_order)
    keys = [run.run_key for run in ordered]
    lenders = data.draw(st.dictionaries(st.sampled_from(keys), st.sampled_from("AB"))) if keys else {}

    lent = admit_borrowers([run for run in ordered if run.run_key in lenders], moment, lenders)
    rest = [run for run in ordered if run.run_key not in lent]
    admitted = {*lent, *admit(rest, moment, free=queue.free).keys}

    if pauses_queue(moment.pauses, QUEUE):
        assert admitted == set()
    free = queue.free
    for run in ordered:
        borrows = run.run_key in lent
        waits_for_its_turn = isinstance(explain(run, moment, queue, borrows=borrows), BehindRuns)
        assert (waits_for_its_turn and (borrows or free > 0)) == (run.run_key in admitted)
        free -= waits_for_its_turn and not borrows


@given(run=runs, other=runs)
def test_the_runs_behind_a_run_are_those_of_a_later_place(run: QueuedRun, other: QueuedRun) -> None:
    start = behind(run).get(other.priority)

    assert (admission_order(other) > admission_order(run)) == (
        start is not None and (other.queued_at, other.run_key) > start
    )


@given(queued=st.lists(runs, min_size=1, max_size=8), moment=moments)
def test_the_next_look_is_due_when_the_first_hold_ends(queued: list[QueuedRun], moment: Moment) -> None:
    wake_at = admit(sorted(queued, key=admission_order), moment, free=len(queued) + 1).wake_at

    at_that_time = Moment(wake_at or NOW, moment.labels, moment.pauses)
    changed = [run for run in queued if str(obstacle(run, moment)) != str(obstacle(run, at_that_time))]
    assert bool(changed) == (wake_at is not None)


claims = st.one_of(
    st.builds(Claim, st.sampled_from([PoolKey(POOL, "p"), PoolKey(POOL, "r"), PoolKey(LOCK, "p")])),
    st.builds(Claim, st.just(PoolKey(RATE, "p")), limit=st.just(2), interval_s=st.just(60.0)),
)
whos = st.tuples(st.sampled_from("abc"), st.integers(0, 2))


@given(
    claimed=st.lists(claims, min_size=1, max_size=3, unique=True),
    who=whos,
    states=st.data(),
)
def test_a_step_waits_for_a_pool_exactly_if_it_may_not_enter(
    claimed: list[Claim], who: tuple[str, int], states: st.DataObject
) -> None:
    pool = st.builds(
        PoolState,
        taken=st.integers(0, 3),
        configured=st.none() | st.integers(0, 4),
        waiting=st.lists(whos, max_size=5, unique=True),
    )
    at = {claim.key: states.draw(pool) for claim in claimed}

    found = [pools.obstacle(claim, at[claim.key], at[claim.key].ahead_of(who)) for claim in claimed]

    entitled = [
        who in at[claim.key].waiting[: max(0, claim.capacity(at[claim.key].configured) - at[claim.key].taken)]
        for claim in claimed
    ]
    assert [one is None for one in found] == entitled
    assert may_enter(who, claimed, at) == all(entitled)


@pytest.mark.parametrize(
    ("claim", "state", "ahead", "text"),
    [
        (Claim(PoolKey(LOCK, "l")), PoolState(1, users=("a/r (s)",)), 0, "lock l, held by a/r (s)"),
        (Claim(PoolKey(LOCK, "l")), PoolState(1), 0, "lock l, which is held"),
        (Claim(PoolKey(POOL, "p")), PoolState(0, 2), 2, "its turn for pool p (steps before it: 2)"),
        (
            Claim(PoolKey(POOL, "p")),
            PoolState(7, 7, users=tuple("abcdefg")),
            0,
            "pool p is full (7/7): a, b, c, d, e and 2 more",
        ),
        (
            Claim(PoolKey(RATE, "api"), 2, 90.0),
            PoolState(2, free_at=NOW),
            0,
            "rate limit api (2 starts in 90 s): not before 2027-01-01T00:00:00+00:00",
        ),
    ],
)
def test_a_pool_says_who_is_in_the_way(claim: Claim, state: PoolState, ahead: int, text: str) -> None:
    assert str(pools.obstacle(claim, state, ahead)) == text


def test_a_hold_lasts_until_its_later_end() -> None:
    run = QueuedRun("r", NOW, not_before=NOW, after_status="aborted", after_finished_at=NOW, wait_s=30)

    assert str(obstacle(run, Moment(NOW))) == f"not before {(NOW + timedelta(seconds=30)).isoformat()}"
