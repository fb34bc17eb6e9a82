"""Services with an older or newer schema: they wait for the migration, and work on a newer schema."""

from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
from psycopg2 import sql
from sqlalchemy import make_url

from shared.errors import ConfigInvalid
from shared.ids import new_token
from shared.store.engine import open_engine
from shared.store.migrate import HEAD, current, require_head
from shared.store.reads.reader import Reads, SchemaRevision
from tests.harness.client import ask_probe
from tests.harness.cluster import Cluster, running
from tests.harness.eventually import eventually
from tests.harness.procs import DagwayProcess
from tests.harness.servers import PostgresServer, RabbitServer

# Tests share the server: what migrated another database may not have quite ended.
_MIGRATES = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'dagway migrate'"


class Unmigrated(Cluster):
    """A system whose database has users, created as by an administrator, but no tables."""

    def _migrate(self) -> None:
        for name in ("scheduler", "api"):
            role, user = sql.Identifier(f"dagway_{name}"), sql.Identifier(str(urlsplit(self.urls[name]).username))
            made = sql.SQL("DO $$ BEGIN CREATE ROLE {} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
            self.postgres.execute(made.format(role))
            self.postgres.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE {}").format(user, role))


def _door(process: DagwayProcess, path: str) -> str:
    return f"http://127.0.0.1:{process.env['DAGWAY_METRICS_PORT']}{path}"


def test_services_wait_for_the_migration_and_work_on_a_later_schema(
    servers: tuple[RabbitServer, PostgresServer], tmp_path: Path
) -> None:
    system = Unmigrated(tmp_path, *running(*servers))
    (scheduler,) = system.schedulers
    gateway = system.client.base
    try:
        for process in (*system.gateways, scheduler):
            process.start()

        def alive_and_waiting() -> None:
            assert ask_probe(f"{gateway}/healthz")[0] == 200
            status, why = ask_probe(f"{gateway}/readyz")
            assert (status, f"this version needs {HEAD}" in why) == (503, True), why
            assert ask_probe(f"{gateway}/api/v2/health")[0] == 503
            status, why = ask_probe(f"{gateway}/api/v2/dags")
            assert (status, '"service_unavailable"' in why, f"this version needs {HEAD}" in why) == (503, True, True), (
                why
            )
            assert ask_probe(_door(scheduler, "/healthz"))[0] == 200
            assert ask_probe(_door(scheduler, "/readyz"))[0] == 503
            assert "run dagway migrate" in scheduler.output()

        eventually(alive_and_waiting)
        env = {"DAGWAY_DATABASE_URL": system.urls["owner"]}
        with DagwayProcess("migrate", folder=tmp_path / "m", env=env) as migration:
            assert migration.wait_exit() == 0, migration.output()
        for process in (*system.gateways, scheduler):
            system.ready(process)
        system.start(*system.workers)
        system.client.create("one", "steps:\n  - command: 'true'\n")
        system.client.start("one", "r1")
        system.client.until("succeeded", "one", "r1")
        assert "dagway_schema_skew 0.0" in ask_probe(_door(scheduler, "/metrics"))[1]

        # The next version has migrated; this one is started once more, as in a rollout that is undone.
        database = urlsplit(system.urls["owner"]).path.removeprefix("/")
        system.postgres.execute("UPDATE alembic_version SET version_num = '9999'", database=database)
        scheduler.kill9()
        system.start(scheduler)
        system.client.start("one", "r2")
        system.client.until("succeeded", "one", "r2")
        assert system.client.ask("GET", "/health").json["schemaRevision"] == {"expected": HEAD, "found": "9999"}
        assert "dagway_schema_skew 1.0" in ask_probe(_door(scheduler, "/metrics"))[1]
        (told,) = system.client.ask("GET", "/services/scheduler").json["schedulers"][-1:]
        (worker,) = system.client.ask("GET", "/workers").json["workers"]
        assert told["version"] == worker["version"] == system.client.ask("GET", "/health").json["version"]
    finally:
        system.close()


def test_a_service_that_has_no_rights_yet_waits_for_the_migration(postgres_server: PostgresServer) -> None:
    """The first migration grants rights long after it has made its table of revisions."""
    url, name = postgres_server.create_migrated_database(), f"early_{new_token()}"
    postgres_server.execute(f"CREATE ROLE {name} LOGIN")
    early = open_engine(make_url(url).set(username=name).render_as_string())

    with pytest.raises(ConfigInvalid, match="its user may not read it, .*: run dagway migrate"):
        require_head(early)
    assert Reads(early).schema() == SchemaRevision(HEAD, None)

    early.dispose()
    postgres_server.drop_database(url)
    postgres_server.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize(
    "held",
    [
        pytest.param("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL)", id="a table"),
        pytest.param("SELECT pg_advisory_xact_lock(x'646167776179'::bigint)", id="the place of the migration"),
        pytest.param("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1", id="a snapshot older than an index"),
    ],
)
def test_up_can_be_ended_while_its_migration_waits(postgres_server: PostgresServer, tmp_path: Path, held: str) -> None:
    url = postgres_server.create_database()
    with psycopg2.connect(url) as holder, holder.cursor() as cursor:
        cursor.execute(sql.SQL(held))
        settings = {"DAGWAY_DATABASE_URL": url, "DAGWAY_PORT": "0"}
        with DagwayProcess("up", folder=tmp_path, env=settings) as process:

            def migrates() -> bool:
                # A transaction sees the activity of the moment in which it first looked.
                cursor.execute("SELECT pg_stat_clear_snapshot()")
                cursor.execute(_MIGRATES)
                cursor.fetchall()
                return cursor.rowcount > 0

            eventually(migrates)
            assert process.terminate() == 1
    holder.close()
    assert current(url) != HEAD
    postgres_server.drop_database(url)
