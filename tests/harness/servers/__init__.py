"""Real servers for tests: RabbitMQ and Postgres on free loopback ports, in temporary directories.

Each is a context manager and touches nothing outside its own directory: own cookie, node name,
epmd and ports, so that any number of test runs share a machine. Both run as root (Postgres then
as an unprivileged user) or as anybody. ``kill`` is the crash, ``stop`` the orderly end; after
either, ``start`` comes back on the same port with the same data.
"""

from tests.harness.servers.postgres import PostgresServer, postgres_bin
from tests.harness.servers.rabbit import RabbitServer, rabbit_bin

__all__ = ["PostgresServer", "RabbitServer", "postgres_bin", "rabbit_bin"]
