"""The scheduler that checks the database periodically, and what it measures."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Engine, delete, insert, update

from services.scheduler.loops.turn import Turn
from services.scheduler.loops.verifying import Verifying
from shared.clock import utc_now
from shared.store import tables as t
from shared.store.checks.verify import verify
from shared.store.engine import open_engine, transaction
from shared.store.writes.transaction import Store
from tests.conformance.store_rows import add_run
from tests.harness.databases import migrated_sqlite
from tests.harness.eventually import PATIENCE_S, eventually

LEASE_S = 600.0
"""Longer than a test takes: both schedulers stay live until the test says otherwise."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(migrated_sqlite(tmp_path / "dagway.db"))
    now = utc_now()
    row = {"kind": "scheduler", "host": "", "version": "", "started_at": now, "heartbeat_at": now}
    with transaction(opened) as connection:
        connection.execute(insert(t.services), [row | {"instance_id": one} for one in ("a", "b")])
    yield opened
    opened.dispose()


def checking(engine: Engine, instance_id: str) -> Verifying:
    return Verifying(
        Store(engine),
        lambda: verify(engine, utc_now(), LEASE_S),
        utc_now,
        Turn(utc_now, instance_id, LEASE_S),
        every_s=60,
    )


def measured() -> float | None:
    return REGISTRY.get_sample_value("dagway_verify_violations", {"check": "history-gapless"})


def test_the_first_live_scheduler_checks_and_its_successor_takes_over(engine: Engine) -> None:
    add_run(engine, "dag", "r1", last_seq=3, status="queued")
    first, second = checking(engine, "a"), checking(engine, "b")

    assert (first.run_once(), measured()) == (True, 1)
    # In a process of its own the second would have measured nothing; here it forgets what the first did.
    assert (second.run_once(), measured()) == (False, None)
    assert REGISTRY.get_sample_value("dagway_verify_last_run_timestamp_seconds") == 0

    with transaction(engine) as connection:
        old = utc_now() - timedelta(seconds=3 * LEASE_S)
        connection.execute(update(t.services).where(t.services.c.instance_id == "a").values(heartbeat_at=old))
        connection.execute(delete(t.dag_runs))
    assert (second.run_once(), measured()) == (True, 0)
    assert REGISTRY.get_sample_value("dagway_verify_last_run_timestamp_seconds") == pytest.approx(
        utc_now().timestamp(), abs=60
    )


def test_a_check_that_fails_does_not_end_the_loop(engine: Engine) -> None:
    tried: list[int] = []

    def fails() -> tuple[()]:
        tried.append(1)
        raise ValueError("a row that no version has written")

    loop = Verifying(Store(engine), fails, utc_now, Turn(utc_now, "a", 60), every_s=0.01)
    stop = threading.Event()
    thread = threading.Thread(target=loop.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: len(tried) > 1)
    finally:
        stop.set()
        thread.join(PATIENCE_S)
