"""An asynchronous replica of a Postgres, which takes its place when it dies."""

from contextlib import closing

import psycopg2

from tests.harness.eventually import eventually
from tests.harness.proxy import Proxy
from tests.harness.servers.base import START_TIMEOUT_S
from tests.harness.servers.postgres import PostgresServer

__all__ = ["PostgresReplica"]


class PostgresReplica(PostgresServer):
    """A streaming replica of ``primary``, with a port of its own. It gets all commits until ``cut_off``.

    The order of a failover: ``cut_off``, ``primary.kill``, ``promote``, ``trade_places``.
    """

    def __init__(self, primary: PostgresServer) -> None:
        super().__init__()
        self._primary = primary
        self._link = Proxy(primary.port)

    def start(self) -> None:
        """Copy the primary (1 to 2 s) unless that was done before. Returns when the replica follows it."""
        if not self._data.exists():
            self._run(
                "pg_basebackup", "--pgdata", str(self._data), "--host=127.0.0.1", f"--port={self._link.port}",
                "--username=postgres", "--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--no-manifest",
            )  # fmt: skip
        super().start()
        eventually(lambda: self._value(self._primary, _FOLLOWERS) == 1, timeout_s=START_TIMEOUT_S, every_s=0.05)

    def cut_off(self) -> None:
        """Receive no more. The primary does not notice: it waits for no replica."""
        self._link.stall()

    def promote(self) -> None:
        """Become a primary, with what was received. The other primary must be dead."""
        self._link.cut()
        assert self._value(self, "SELECT pg_promote(true, 60)") is True, "the replica was not promoted"

    def trade_places(self) -> None:
        """Let the primary start again with the data of this replica, as if the replica had taken over its address.

        This server then has the data of the dead primary, so that one can see what was lost.
        """
        self.stop()
        mine, theirs = self._data, self._primary.data_folder
        aside = mine.with_name("aside")
        theirs.rename(aside)
        mine.rename(theirs)
        aside.rename(mine)
        self._primary.start()
        super().start()

    def close(self) -> None:
        """Kill the server, remove its directory, and end its link."""
        super().close()
        self._link.close()

    @staticmethod
    def _value(server: PostgresServer, query: str) -> object:
        with closing(psycopg2.connect(server.url, connect_timeout=5)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
            return None if row is None else row[0]


_FOLLOWERS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
