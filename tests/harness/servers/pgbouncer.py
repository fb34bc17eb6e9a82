"""PgBouncer for tests: in transaction mode, before a Postgres of a test."""

import shutil
from contextlib import closing

import psycopg2

from tests.harness.eventually import eventually
from tests.harness.reaper import spawn
from tests.harness.servers.base import START_TIMEOUT_S, Server
from tests.harness.servers.postgres import PostgresServer, unprivileged_user

__all__ = ["PgBouncer"]

_CONFIG = """
[databases]
* = host=127.0.0.1 port={postgres}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
# Users whom a test makes are looked up as this one.
auth_user = postgres
pool_mode = transaction
max_client_conn = {clients}
default_pool_size = {pool}
# Each test has a database of its own; its sessions do not stay.
server_idle_timeout = 2
"""


class PgBouncer(Server):
    """A PgBouncer with the defaults of its release, but for what its use in tests demands.

    ``clients`` may connect to it. It has at most ``pool`` connections to a database: by default as few as the threads
    of one test need at once.
    """

    def __init__(self, postgres: PostgresServer, *, clients: int = 100, pool: int = 10) -> None:
        super().__init__("pgbouncer")
        self.postgres = postgres
        self._clients, self._pool = clients, pool

    def start(self) -> None:
        """Start PgBouncer and return when it answers queries."""
        config, users = self.dir / "pgbouncer.ini", self.dir / "users.txt"
        config.write_text(
            _CONFIG.format(
                postgres=self.postgres.port, port=self.port, users=users, clients=self._clients, pool=self._pool
            )
        )
        users.write_text('"postgres" ""\n')
        user = unprivileged_user()
        if user is not None:
            for path in (self.dir, config, users):
                shutil.chown(path, user)
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        self._process = spawn(
            [program, str(config)], env={"PATH": "/usr/bin:/bin"}, cwd=self.dir, log=self.log, user=user
        )
        eventually(self._answers, timeout_s=START_TIMEOUT_S, every_s=0.05)

    def _answers(self) -> bool:
        try:
            with closing(psycopg2.connect(self.url_of(self.postgres.url).partition("?")[0], connect_timeout=5)):
                return True
        except psycopg2.OperationalError as refused:
            raise AssertionError(f"{refused}\n{self.log_tail()}") from refused

    def url_of(self, url: str) -> str:
        """Return the URL by which Dagway reaches, through PgBouncer, the database of a URL of its Postgres."""
        return url.replace(f":{self.postgres.port}/", f":{self.port}/") + "?pooler=transaction"
