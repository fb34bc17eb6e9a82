"""Scenes in which the database has little room, or none."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
from psycopg2 import sql

from tests.alerts.pages import check_of
from tests.alerts.scene import Scene
from tests.alerts.watched import Watched
from tests.harness.eventually import eventually
from tests.harness.needs import missing
from tests.harness.servers.postgres import PostgresServer, unprivileged_user
from tests.harness.small_disk import SmallDisk

__all__ = ["DATABASE"]

_DISK_MB = 128
_LOUD = "steps:\n  - name: one\n    command: head -c {size} /dev/urandom | base64\n"
_GATED = """
steps:
  - name: one
    command: |
      echo $$ > {folder}/reached
      cat {folder}/gate-of-full
      head -c 2000000 /dev/urandom | base64
  - name: two
    command: "true"
"""


def _outgrow_the_room(watched: Watched) -> None:
    """The database takes 70 % of its room; then a run writes a long log."""
    name = urlsplit(watched.cluster.urls["owner"]).path.removeprefix("/")
    with closing(psycopg2.connect(watched.cluster.postgres.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(%s)", [name])
        (size,) = cursor.fetchone() or (0,)
    for scheduler in watched.cluster.schedulers:
        watched.compose.declare(scheduler, DAGWAY_DATABASE_ROOM_MIB=str(round(size / 0.7) >> 20))
    watched.compose.carry_out("docker compose up --detach --wait scheduler")
    eventually(lambda: bool(watched.leaf.ask("dagway:database_used:max_ratio < 0.8")), timeout_s=120)
    watched.cluster.client.create("loud", _LOUD.format(size=size // 4))
    watched.cluster.client.start("loud")
    watched.cluster.client.until("succeeded", "loud")


def _more_room(watched: Watched) -> Mapping[str, str]:
    tables = watched.compose.carry_out(check_of("DagwayDatabaseDiskLow", "pg_total_relation_size"))
    assert tables.startswith("log_"), tables
    return {"MIB": "1024"}


def _folder_of_disk(watched: Watched) -> Path:
    return watched.cluster.postgres.dir / "small"


@contextmanager
def _database_on_a_small_disk(watched: Watched) -> Iterator[SmallDisk]:
    """Keep the database on a disk of its own. The write-ahead log stays where it is, so Postgres does not crash."""
    postgres, folder = watched.cluster.postgres, _folder_of_disk(watched)
    folder.mkdir()
    with SmallDisk(folder, _DISK_MB) as disk:
        if not disk.mount():
            missing("a small disk cannot be mounted here (only root may)")
        user = unprivileged_user()
        assert user is not None, "whoever mounts is root, as whom Postgres does not run"
        shutil.chown(folder, user)
        postgres.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(sql.Literal(str(folder))))
        _move(postgres, watched.cluster.urls["owner"], "small")
        yield disk
        _move(postgres, watched.cluster.urls["owner"], "pg_default")
        postgres.execute("DROP TABLESPACE small")
    folder.rmdir()


def _move(postgres: PostgresServer, url: str, tablespace: str) -> None:
    """Move a database to another tablespace: nobody may be connected meanwhile."""
    name = urlsplit(url).path.removeprefix("/")
    database = sql.Identifier(name)
    postgres.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(database))
    end = sql.SQL("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = {}")
    postgres.execute(end.format(sql.Literal(name)))
    postgres.execute(sql.SQL("ALTER DATABASE {} SET TABLESPACE {}").format(database, sql.Identifier(tablespace)))
    postgres.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(database))


def _fill_the_disk(watched: Watched) -> None:
    """A step has begun when the disk is filled by something else; its log then has no room."""
    disk = watched.keep(_database_on_a_small_disk(watched))
    os.mkfifo(watched.folder / "gate-of-full")
    watched.cluster.client.create("full", _GATED.format(folder=watched.folder))
    watched.cluster.client.start("full")
    eventually((watched.folder / "reached").exists)
    disk.fill()
    (watched.folder / "gate-of-full").open("w").close()


def _make_room(watched: Watched) -> None:
    SmallDisk(_folder_of_disk(watched), _DISK_MB).empty()


DATABASE = {
    "DagwayDatabaseDiskLow": Scene(_outgrow_the_room, says=("Give the disk more room",), fill=_more_room),
    "DagwayDatabaseDiskFull": Scene(
        _fill_the_disk,
        says=("Make room on the disk",),
        machine={"sudo docker image prune --all --force": _make_room},
        then=lambda watched: watched.cluster.client.until("succeeded", "full"),
    ),
}
