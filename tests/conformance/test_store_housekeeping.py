"""What schedulers delete because it is old."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, select

from services.scheduler.loops import housekeeping
from services.scheduler.loops.housekeeping import Housekeeping
from shared.errors import StaleVersion
from shared.store import tables as t
from shared.store.checks.verify import verify
from shared.store.engine import open_engine, transaction
from shared.store.reads.reader import Reads
from shared.store.reads.stream import Place
from shared.store.writes import history
from shared.store.writes.transaction import Store
from tests.conformance.store_rows import NOW, add, add_chunk, add_node, add_run

_WEEK_AGO = NOW - timedelta(days=7)


def test_workers_that_are_gone_for_a_week_are_forgotten_unless_an_attempt_waits_for_them(engine: Engine) -> None:
    ends = {
        "gone": _WEEK_AGO - timedelta(minutes=1),
        "holding": _WEEK_AGO - timedelta(days=30),
        "held": _WEEK_AGO - timedelta(days=30),
        "lost": _WEEK_AGO + timedelta(minutes=1),
        "live": NOW + timedelta(seconds=10),
    }
    about = {"incarnation": "i", "host": "h", "version": "1", "labels": {}, "slots": 1, "busy": 0, "state": "lost"}
    times = {"started_at": NOW - timedelta(days=60)}
    add(
        engine,
        t.workers,
        *({"worker_id": name, "lease_until": end, "heartbeat_at": end, **about, **times} for name, end in ends.items()),
    )
    run = add_run(engine, "d", "r", status="running")
    add_node(engine, run, 0, "open", token="t", token_state="running", token_worker="holding")
    # Its attempt has ended: it keeps the name of the worker, and no token.
    add_node(engine, run, 1, "ended", token=None, token_worker="held")

    assert Housekeeping(Store(engine), lambda: NOW).forget_workers() == 2

    with transaction(engine) as connection:
        assert set(connection.execute(select(t.workers.c.worker_id)).scalars()) == {"holding", "lost", "live"}


def test_old_runs_of_all_dags_end_though_none_starts_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "_AT_ONCE", 2)
    old, young = NOW - timedelta(days=31), NOW - timedelta(days=29)
    for number in range(3):
        add_run(engine, "unused", str(number), created_at=old, finished_at=old)
    add_run(engine, "unused", "young", created_at=old, finished_at=young)
    add_run(engine, "unused", "running", status="running", created_at=old)
    add_run(engine, "unused", "waiting", status="waiting", created_at=old, finished_at=old)
    add_run(engine, "other", "old", created_at=old, finished_at=old)
    add_run(engine, "sub", "of-old", created_at=old, finished_at=old, root_key="other/old", parent_key="other/old")
    add_run(
        engine, "sub", "of-young", created_at=old, finished_at=old, root_key="unused/young", parent_key="unused/young"
    )
    for key in ("other/old", "sub/of-old", "unused/young"):
        add_chunk(engine, 0, b"x", run_key=key, token=key)

    assert Housekeeping(Store(engine), lambda: NOW).prune_all() == 0, "there is no limit by default"
    limited = Housekeeping(Store(engine), lambda: NOW, history_days=30)
    assert (limited.prune_all(), limited.prune_all()) == (4, 0)

    with transaction(engine) as connection:
        kept = set(connection.execute(select(t.dag_runs.c.run_key)).scalars())
        logs = set(connection.execute(select(t.log_chunks.c.run_key)).scalars())
    assert kept == {"unused/young", "unused/running", "unused/waiting", "sub/of-young"}
    assert logs == {"unused/young"}


def _add_families(engine: Engine, *sizes: int) -> dict[str, int]:
    """Insert old root runs with so many sub-runs; return the number of sub-runs by the key of the root run."""
    old = NOW - timedelta(days=31)
    added = {}
    for root, sub_runs in enumerate(sizes):
        times: dict[str, Any] = {"created_at": old + timedelta(minutes=root), "finished_at": old + timedelta(hours=1)}
        key = add_run(engine, "d", str(root), **times)
        add_node(engine, key, 0, "call", status="succeeded")
        for number in range(sub_runs):
            below = add_run(engine, f"sub-{root}", str(number), root_key=key, parent_key=key, parent_node=0, **times)
            add_chunk(engine, 0, b"x", run_key=below, token=below)
        added[key] = sub_runs
    return added


def test_a_transaction_deletes_few_runs_however_many_sub_runs_there_are(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the other writers of SQLite, and the event streams on Postgres, wait for seconds."""
    monkeypatch.setattr(history, "_AT_ONCE", 6)
    families = _add_families(engine, 2, 2, 7, 0, 0, 20)
    left = [sum(families.values()) + len(families)]

    def look(connection: Connection) -> None:
        rows = connection.execute(select(t.dag_runs.c.root_key, t.dag_runs.c.run_key)).all()
        below = Counter(row.root_key for row in rows)
        roots = [row.run_key for row in rows if row.root_key is None]
        assert {key: below[key] for key in roots} == {key: families[key] for key in roots}, "a run without its sub-runs"
        left.append(len(rows))

    event.listen(engine, "commit", look)
    removed = Housekeeping(Store(engine), lambda: NOW, history_days=30).prune_all()

    assert (removed, left[-1]) == (6, 0)
    assert max(before - later for before, later in pairwise(left)) <= 6


@pytest.mark.parametrize("pieces", [0, 1, 2])
def test_nothing_shows_a_run_of_which_a_part_is_deleted(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    monkeypatch.setattr(history, "_AT_ONCE", 3)
    (key,) = _add_families(engine, 7)
    change = {"seq": 1, "at": NOW, "node": None, "was": "running", "became": "succeeded", "why": "", "by": "w"}
    add(engine, t.transitions, *({**change, "run_key": each, "txid": 1, "pos": 0} for each in (key, "sub-0/6")))
    reads = Reads(engine)

    with Store(engine).begin() as tx:
        assert tx.history.remove([key])
    for _ in range(pieces):
        with Store(engine).begin() as tx:
            assert tx.history.remove_more() == 3

    with transaction(engine) as connection:
        assert len(connection.execute(select(t.dag_runs)).all()) == 8 - 3 * pieces
    assert not reads.runs()
    assert not reads.recent_runs("d")
    assert [reads.run("d", name) for name in ("0", key, "latest")] == [None, None, None]
    assert not reads.changes(Place(0, 0), limit=10)
    assert not [each for each in verify(engine, NOW, 10, only=["sub-run-parent", "run-unique"]) if each.count]
    # The id is free.
    add_run(engine, "d", "0", run_key="again")
    found = reads.run("d", "0")
    assert found is not None
    assert found.run_key == "again"


def test_who_remembers_a_run_that_was_removed_cannot_change_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_AT_ONCE", 3)
    (key,) = _add_families(engine, 7)
    with Store(engine).begin() as tx:
        tx.history.remove([key])

    with pytest.raises(StaleVersion), Store(engine).begin() as tx:
        tx.runs.save([{"run_key": key, "status": "running"}], {key: 1})


def test_what_an_ended_scheduler_has_left_of_a_run_is_deleted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_AT_ONCE", 3)
    families = _add_families(engine, 7, 4)
    with Store(engine).begin() as tx:
        tx.history.remove(list(families))

    assert Housekeeping(Store(engine), lambda: NOW).remove_left() == 13

    with transaction(engine) as connection:
        assert not connection.execute(select(t.dag_runs)).all()
        assert not connection.execute(select(t.log_chunks)).all()


def test_a_transaction_forgets_few_commands_however_many_are_old(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After days without a scheduler there may be millions: more than one statement may delete in its time."""
    monkeypatch.setattr(housekeeping, "_REPLIES_AT_ONCE", 2)
    command = {"type": "run.start", "body_hash": "h", "outcome": "recorded", "reply": {}}
    secret = command | {"type": "key.create"}
    old, young = NOW - timedelta(days=9), NOW - timedelta(days=7)
    for number, (row, at) in enumerate([(secret, old)] * 3 + [(command, old)] * 5 + [(command, young)]):
        add(engine, t.inbox, {"command_id": str(number), "at": at, **row})
    left = [9]

    def look(connection: Connection) -> None:
        left.append(len(connection.execute(select(t.inbox.c.command_id)).all()))

    event.listen(engine, "commit", look)
    monkeypatch.setattr(housekeeping, "_MAKE_SECRETS", ("key.create",))

    assert Housekeeping(Store(engine), lambda: NOW).tidy() == 5

    assert left == [9, 7, 5, 4]


def test_a_guesser_who_is_forgotten_meanwhile_counts_from_nothing(migrated_database_url: str) -> None:
    engine, other = open_engine(migrated_database_url), open_engine(migrated_database_url)
    add(engine, t.login_failures, {"guesser": "g", "level": 9.0, "at": NOW, "wait_until": NOW})
    forgotten: list[str] = []

    def forget(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("INSERT INTO login_failures") and not forgotten:
            with Store(other).begin() as tx:
                tx.login_failures.forget(["g"], before=_WEEK_AGO)
            forgotten.append("g")

    event.listen(engine, "after_cursor_execute", forget)
    with Store(engine).begin() as tx:
        found = tx.login_failures.lock(["g", "h"], NOW)

    assert forgotten == ["g"]
    assert {guesser: failures.level for guesser, failures in found.items()} == {"g": 0.0, "h": 0.0}
    for each in (engine, other):
        each.dispose()


def test_it_remembers_only_the_dags_that_it_looked_at_of_late(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Housekeeping(Store(engine), lambda: NOW)
    keeper.started({f"d{number}": 30 for number in range(20)})
    keeper.prune()
    assert len(keeper._looked) == 20
    monkeypatch.setattr(housekeeping, "_LOOK_AGAIN_S", 0)

    keeper.started({"d0": 30})
    keeper.prune()

    assert not keeper._looked


@pytest.mark.parametrize("days", [100_001, 999_999, 9_999_999_999])
def test_a_retention_that_is_longer_than_the_calendar_keeps_runs_for_ever(engine: Engine, days: int) -> None:
    old = NOW - timedelta(days=99_999)
    add_run(engine, "a", "old", created_at=old, finished_at=old)
    keeper = Housekeeping(Store(engine), lambda: NOW)

    keeper.started({"a": days})

    assert keeper.prune() == 0
    keeper.started({"a": 99_998})
    assert keeper.prune() == 1
