"""A folder of ``dagway up`` moved to Postgres and RabbitMQ: no scheduled time is lost, and none runs twice."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.importing.moving import move
from shared.moved_folder import mark_of
from shared.settings.config import load_config
from shared.store import tables as t
from shared.store.migrate import migrate
from shared.store.writes.transaction import Store
from shared.transport.open import open_transport
from tests.integration.schedule_rig import T0, Rig
from tests.integration.scheduler_stack import Stack

ANN = {"id": "u1", "username": "ann", "role": "admin", "password_hash": "$2a$", "created_at": T0, "updated_at": T0}


def test_schedules_go_on_in_the_cluster(tmp_path: Path, migrated_database_url: str, amqp_url: str) -> None:
    config = load_config({"data_dir": str(tmp_path)}, {}, terminal=False)
    url = f"sqlite:///{tmp_path}/dagway.db"
    migrate(url)
    laptop = Stack(url, lambda: open_transport(f"embedded:{tmp_path}/transport.sqlite3", name="laptop"))
    old = Rig(laptop)
    old.dag("a", 'schedule: "*/5 * * * *"\ncatchup: all\n')
    old.dag("idle", "description: no schedule\n")
    with Store(laptop.engine).begin() as tx:
        tx.accounts.add(t.users, ANN)
    assert old.at("12:00") == 1
    old.end()
    kept = {table.name: laptop.rows(table) for table in (t.dags, t.dag_runs, t.users, t.schedules)}
    laptop.close()

    assert not move(config, migrated_database_url).before

    mark = mark_of(tmp_path)
    assert mark is not None
    assert not mark.pending
    cluster = Stack(migrated_database_url, lambda: open_transport(amqp_url, name="cluster"))
    try:
        assert {table.name: cluster.rows(table) for table in (t.dags, t.dag_runs, t.users, t.schedules)} == kept
        new = Rig(cluster)
        new.at("12:16:30", by=new.another())
        with ThreadPoolExecutor(2) as both:
            list(both.map(lambda each: each.firing.fire_due(), (new.one, new.two)))
        assert [slot for slot, _, outcome in new.ledger() if outcome == "fired"] == ["12:00", "12:05", "12:10", "12:15"]
        started = [row["dag_run_id"] for row in cluster.rows(t.dag_runs, dag_name="a")]
        assert len(started) == len(set(started)) == 4
    finally:
        cluster.close()
