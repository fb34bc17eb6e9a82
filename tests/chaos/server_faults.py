"""Faults of Postgres and RabbitMQ."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from psycopg2 import sql

from shared.errors import Unavailable
from shared.transport.base import Delivery, Outgoing, task_queue
from shared.transport.rabbitmq.transport import RabbitTransport
from tests.chaos.model import Fault
from tests.chaos.process_faults import Carry
from tests.harness.cluster import Cluster, descendants, running
from tests.harness.eventually import eventually

__all__ = ["ServerFaults"]

_ALARM = "{resource_limit, memory, node()}"
_TASK_QUEUES = (
    "[rabbit_amqqueue:purge(Q) || Q <- rabbit_amqqueue:list(), "
    "case amqqueue:get_name(Q) of "
    '{resource, _, queue, <<"dagway.tasks.", _/binary>>} -> true; '
    '{resource, _, queue, <<"dagway.worker.", _/binary>>} -> true; '
    "_ -> false end], ok."
)
_CLOSE_ALL = '[rabbit_networking:close_connection(P, "chaos") || P <- rabbit_networking:connections()], ok.'


class ServerFaults:
    """Carries out faults of the servers of a cluster. ``over`` ends every wait early."""

    def __init__(self, system: Cluster, over: threading.Event) -> None:
        self._rabbit, self._postgres = system.rabbit, system.postgres
        self._amqp_url = system.amqp_url
        self._users = [str(urlsplit(system.urls[user]).username) for user in ("scheduler", "api")]
        self._over = over

    def all(self) -> dict[str, Carry]:
        """Return how to carry out each kind of fault."""
        return {
            "database killed": self._on("Postgres", self._database_killed),
            "database away": self._on("Postgres", self._database_away),
            "database frozen": self._on("Postgres", self._database_frozen),
            "database connections cut": self._on("Postgres", lambda _: self._cut_connections()),
            "database read-only": self._on("Postgres", self._database_read_only),
            "database out of connections": self._on("Postgres", self._database_full),
            "broker killed": self._on("RabbitMQ", self._broker_killed),
            "broker application stopped": self._on("RabbitMQ", self._broker_stopped),
            "broker in memory alarm": self._on("RabbitMQ", self._broker_alarm),
            "broker connections closed": self._on("RabbitMQ", lambda _: self._rabbit.eval(_CLOSE_ALL)),
            "task queues purged": self._on("RabbitMQ", lambda _: self._rabbit.eval(_TASK_QUEUES)),
            "tasks delivered twice and late": self._on("RabbitMQ", self._copy_tasks),
        }

    def _on(self, victim: str, act: Callable[[Fault], None]) -> Carry:
        def carry(fault: Fault) -> tuple[str, tuple[str, ...]]:
            self.revive()
            act(fault)
            return victim, ()

        return carry

    def revive(self) -> None:
        """Start each server that does not run."""
        running(self._rabbit, self._postgres)

    # -- Postgres -----------------------------------------------------------------------------

    def _database_killed(self, _: Fault) -> None:
        self._postgres.kill()
        self._postgres.start()

    def _database_away(self, fault: Fault) -> None:
        self._postgres.stop()
        self._over.wait(fault.lasts_s)
        self._postgres.start()

    def _database_frozen(self, fault: Fault) -> None:
        """Stop the server and all its sessions. Clients can still connect, but nobody answers."""
        server = self._postgres.pid
        os.kill(server, signal.SIGSTOP)
        frozen = [server, *descendants(server)]
        try:
            for pid in frozen:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            self._over.wait(fault.lasts_s)
        finally:
            for pid in reversed(frozen):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _cut_connections(self) -> None:
        self._postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

    def _database_read_only(self, fault: Fault) -> None:
        """Refuse all writes, as a server does that became a replica."""
        self._set("default_transaction_read_only", "on")
        try:
            self._over.wait(fault.lasts_s)
        finally:
            self._set("default_transaction_read_only", "off")

    def _set(self, name: str, value: str) -> None:
        self._postgres.execute(f"ALTER SYSTEM SET {name} = {value}")
        self._postgres.execute("SELECT pg_reload_conf()")

    def _database_full(self, fault: Fault) -> None:
        """Leave schedulers and gateways without connections."""
        self._limit_connections(0)
        try:
            self._cut_connections()
            self._over.wait(fault.lasts_s)
        finally:
            self._limit_connections(-1)

    def _limit_connections(self, limit: int) -> None:
        statement = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}")
        for user in self._users:
            self._postgres.execute(statement.format(sql.Identifier(user), sql.Literal(limit)))

    # -- RabbitMQ -----------------------------------------------------------------------------

    def _broker_killed(self, _: Fault) -> None:
        self._rabbit.kill()
        self._rabbit.start()

    def _broker_stopped(self, fault: Fault) -> None:
        try:
            self._rabbit.eval("rabbit:await_startup(), rabbit:stop(), ok.")
            self._over.wait(fault.lasts_s)
            self._rabbit.eval("rabbit:start(), ok.")
            self._rabbit.wait_started()
        except RuntimeError:
            # RabbitMQ ends if its application is stopped before it has quite started, which nobody can await.
            eventually(lambda: not self._rabbit.running)
            self._rabbit.start()

    def _broker_alarm(self, fault: Fault) -> None:
        self._rabbit.eval(f"rabbit_alarm:set_alarm({{{_ALARM}, []}}), ok.")
        try:
            self._over.wait(fault.lasts_s)
        finally:
            self._rabbit.eval(f"rabbit_alarm:clear_alarm({_ALARM}), ok.")

    def _copy_tasks(self, fault: Fault) -> None:
        """Take tasks from the queue for any worker, and deliver each of them twice: immediately and at the end."""
        queue = task_queue({})
        transport = RabbitTransport(self._amqp_url, name="chaos")
        try:
            eventually(lambda: transport.healthy)
            with_copies: list[Delivery] = []
            consumer = transport.consume([queue], prefetch=3)
            rounds = 5
            for _ in range(rounds):
                for delivery in consumer.take(3, fault.lasts_s / rounds):
                    transport.send(Outgoing(queue, delivery.body, delivery.message_id)).result(10)
                    delivery.ack()
                    with_copies.append(delivery)
            consumer.close()
            for delivery in with_copies:
                transport.send(Outgoing(queue, delivery.body, delivery.message_id)).result(10)
        except Unavailable as error:
            # What was taken and not acknowledged returns to the queue, so no task is lost.
            raise RuntimeError(f"the broker is away: {error}") from error
        finally:
            transport.close()
