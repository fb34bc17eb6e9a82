"""Real servers for tests: RabbitMQ, Postgres and PgBouncer on free loopback ports, in temporary directories.

Each is a context manager and uses nothing outside its own directory: it has its own cookie, node name,
epmd and ports, so that several test runs can share a machine. Both can be started by root (Postgres then
runs as an unprivileged user) and by other users. ``kill`` is a crash, ``stop`` an orderly end; after
both, ``start`` starts the server on the same port with the same data.
"""

from tests.harness.servers.pgbouncer import PgBouncer
from tests.harness.servers.postgres import PostgresServer, postgres_bin
from tests.harness.servers.postgres_replica import PostgresReplica
from tests.harness.servers.rabbit import RabbitServer, rabbit_bin
from tests.harness.servers.rabbit_cluster import RabbitCluster

__all__ = [
    "PgBouncer",
    "PostgresReplica",
    "PostgresServer",
    "RabbitCluster",
    "RabbitServer",
    "postgres_bin",
    "rabbit_bin",
]
