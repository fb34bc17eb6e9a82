"""A gateway on a host whose clock is wrong."""

import time
from datetime import timedelta

import pytest
from sqlalchemy import insert

from services.api import assembly
from services.api.app import create_app
from services.api.readiness import schema_of
from services.api.settings import Settings
from shared.clock import utc_now
from shared.store import tables as t
from shared.store.clock_metric import ClockCollector
from shared.store.engine import open_engine, transaction
from shared.store.reads.reader import Reads
from shared.transport.open import open_transport

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
@pytest.mark.parametrize("probed", [True, False])
def test_a_gateway_whose_clock_is_wrong_knows_which_workers_live(
    migrated_database_url: str, monkeypatch: pytest.MonkeyPatch, ahead: timedelta, *, probed: bool
) -> None:
    engine, now = open_engine(migrated_database_url), utc_now()
    with transaction(engine) as connection:
        for worker_id, ends in (("live", now + timedelta(minutes=5)), ("gone", now - timedelta(minutes=5))):
            texts = {"worker_id": worker_id, "incarnation": "i", "host": "h", "version": "1", "state": "live"}
            times = {"started_at": now, "heartbeat_at": now, "lease_until": ends}
            connection.execute(insert(t.workers).values(**texts, **times, labels={}, slots=1, busy=0))
    monkeypatch.setattr(assembly, "utc_now", lambda: utc_now() + ahead)
    transport = open_transport("embedded:", name="gateway")
    try:
        deps = assembly.build_deps(transport=transport, reads=Reads(engine), version="1", settings=Settings())
        client = create_app(deps).test_client()
        # Whatever a gateway reads tells it the time, for the next request.
        if probed:
            schema_of(deps)
        else:
            client.get("/api/v2/queues")
        answer = client.get("/api/v2/workers").get_json()
        assert deps.reads.clock is not None
        [skew] = ClockCollector(deps.reads.clock).collect()
        deps.closing.set()
    finally:
        transport.close()
        engine.dispose()

    assert {each["id"]: each["healthStatus"] for each in answer["workers"]} == {"live": "healthy", "gone": "unhealthy"}
    assert skew.samples[0].value == pytest.approx(ahead.total_seconds(), abs=60)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_a_gateway_whose_clock_is_wrong_knows_since_when_it_runs_and_what_its_machine_did(
    migrated_database_url: str, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    engine, host_s = open_engine(migrated_database_url), time.time
    monkeypatch.setattr(assembly, "utc_now", lambda: utc_now() + ahead)
    monkeypatch.setattr(time, "time", lambda: host_s() + ahead.total_seconds())
    transport = open_transport("embedded:", name="gateway")
    try:
        deps = assembly.build_deps(transport=transport, reads=Reads(engine), version="1", settings=Settings())
        client = create_app(deps).test_client()
        schema_of(deps)
        health = client.get("/api/v2/health").get_json()
        deps.resources.sample()
        load = client.get("/api/v2/services/resources/history?duration=30m").get_json()
        deps.closing.set()
    finally:
        transport.close()
        engine.dispose()

    assert 0 <= health["uptime"] < 60
    assert load["disk"]
