"""Postgres for tests."""

import itertools
import os
import pwd
import shutil
import signal
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
from psycopg2 import sql

from shared.store.migrate import migrate
from tests.harness.eventually import eventually
from tests.harness.reaper import forget, spawn
from tests.harness.servers.base import START_TIMEOUT_S, Server

__all__ = ["PostgresServer", "postgres_bin", "unprivileged_user"]


def postgres_bin() -> Path | None:
    """Return the folder of ``initdb`` and ``postgres``, of the newest version if there are several."""
    found = shutil.which("postgres")
    folders = [Path(found).resolve().parent] if found else []
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(debian, key=lambda folder: int(folder.parent.name), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


class PostgresServer(Server):
    """One Postgres with a superuser ``postgres`` and no passwords, on a free loopback port.

    ``fsync`` syncs commits to disk, as a production server does. Without it, commits survive the death of
    the server, since the kernel has them, but not a crash of the machine. New databases have ``encoding``.
    """

    def __init__(self, *, fsync: bool = False, in_memory: bool = False, encoding: str = "UTF8") -> None:
        folder = postgres_bin()
        if folder is None:
            msg = "Postgres is not installed"
            raise RuntimeError(msg)
        super().__init__("postgres", in_memory=in_memory)
        self._bin = folder
        self._data = self.dir / "data"
        self._user = unprivileged_user()
        self._fsync = "on" if fsync else "off"
        self._encoding = encoding
        self._databases = itertools.count(1)
        self._migrated: str | None = None
        if self._user is not None:
            shutil.chown(self.dir, self._user)

    @property
    def url(self) -> str:
        """The superuser's URL of the maintenance database."""
        return self.database_url("postgres")

    def database_url(self, database: str) -> str:
        """Return the superuser's URL of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    @property
    def data_folder(self) -> Path:
        """The folder of the server's data."""
        return self._data

    def start(self) -> None:
        """Start the server and return when it answers queries (under 1 s; 2 s the first time)."""
        if not self._data.exists():
            self._run(
                "initdb", "--pgdata", str(self._data), "--username=postgres", "--auth=trust",
                f"--encoding={self._encoding}", "--locale=C", "--no-sync", "--no-instructions",
            )  # fmt: skip
        eventually(self._launched_and_answers, timeout_s=START_TIMEOUT_S, every_s=0.05)

    def _launched_and_answers(self) -> bool:
        if not self.running:
            # Right after a kill, old backends may still hold the shared memory: the server then ends, and is started
            # again.
            if self._process is not None:
                forget(self._process)
            self._process = spawn(self._argv(), env=self._environment(), cwd=self.dir, log=self.log, user=self._user)
        try:
            psycopg2.connect(self.url, connect_timeout=5).close()
        except psycopg2.OperationalError as refused:
            msg = f"{refused}\n{self.log_tail()}"
            raise AssertionError(msg) from refused
        return True

    def _argv(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": self._fsync,
            "full_page_writes": self._fsync,
            "max_connections": "300",
            "shared_buffers": "64MB",
            "dynamic_shared_memory_type": "mmap",
            # By commit timestamps tests tell the order of transactions.
            "track_commit_timestamp": "on",
        }
        argv = [str(self._bin / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        return argv

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", "HOME": str(self.dir)}

    def _run(self, program: str, *args: str) -> None:
        process = spawn(
            [str(self._bin / program), *args], env=self._environment(), cwd=self.dir, log=self.log, user=self._user
        )
        code = process.wait(START_TIMEOUT_S)
        forget(process)
        if code:
            msg = f"{program} failed:\n{self.log_tail()}"
            raise RuntimeError(msg)

    def stop(self) -> None:
        """Stop the server in an orderly way (mode "fast": open sessions are ended)."""
        self._signal_and_wait(signal.SIGINT)

    def execute(self, statement: str | sql.Composable, *, database: str = "postgres") -> None:
        """Run one statement as the superuser, outside of any transaction."""
        with closing(psycopg2.connect(self.database_url(database), connect_timeout=60)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def create_database(self, *, template: str | None = None) -> str:
        """Create a new database, as a copy of ``template`` if given, and return its URL."""
        name = f"t{os.getpid()}_{next(self._databases)}"
        source = sql.Identifier(template or "template1")
        # FILE_COPY: without fsync it is faster than WAL_LOG.
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        self.execute(create.format(sql.Identifier(name), source))
        return self.database_url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database of which no test will hear again, unless the server is down: then it goes with the server."""
        if self.running:
            name = urlsplit(url).path.removeprefix("/")
            self.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def create_migrated_database(self) -> str:
        """Create a database with the current schema and return its URL (70 ms; a second for the first one)."""
        if self._migrated is None:
            url = self.create_database()
            migrate(url)
            self._migrated = url.rsplit("/", 1)[1]
        return self.create_database(template=self._migrated)


def unprivileged_user() -> str | None:
    """Return the user to run Postgres as, since it refuses root; ``None`` for the current user."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    msg = "Postgres refuses to run as root and there is no other user"
    raise RuntimeError(msg)
