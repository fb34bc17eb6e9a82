"""Schedulers that adopt schedules while commands change DAGs."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from shared.store import tables as t
from shared.store.engine import open_engine
from shared.store.writes.transaction import Store
from tests.conformance.store_rows import NOW, add_dag


def test_a_dag_that_is_being_removed_is_not_given_a_schedule(migrated_database_url: str) -> None:
    engine = open_engine(migrated_database_url)
    store = Store(engine)
    for name in ("goes", "stays"):
        add_dag(engine, name)

    def adopt() -> list[str]:
        with store.begin() as tx:
            rows = tx.schedules
            found = [row["file_name"] for row in rows.unknown("UTC", 10)]
            times = dict.fromkeys(("next_fire_at", "next_start_at"))
            rows.put(
                [{"file_name": name, "dag_version": 1, "zone": "UTC", "decided_until": NOW, **times} for name in found]
            )
            return found

    with ThreadPoolExecutor() as pool:
        with store.begin() as removing:
            removing.dags.delete(["goes"])
            assert pool.submit(adopt).result(60) == ["stays"]
        assert pool.submit(adopt).result(60) == []

    with engine.connect() as connection:
        assert connection.execute(select(t.schedules.c.file_name)).scalars().all() == ["stays"]
    engine.dispose()
