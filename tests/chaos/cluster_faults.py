"""Faults of a broker with three nodes, and of a Postgres with an asynchronous replica."""

import threading
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import func, select

from shared.store import tables as t
from shared.store.engine import open_engine, transaction
from tests.chaos.model import Fault, Undone
from tests.chaos.process_faults import Carry
from tests.harness.cluster import Cluster
from tests.harness.servers import PostgresReplica, PostgresServer, RabbitCluster, RabbitServer

__all__ = ["ClusterFaults"]

RunName = tuple[str, str]
State = tuple[int, int, int]
"""Of a run: its version, and how many transitions and executions it has."""


class ClusterFaults:
    """Carries out faults of the servers of a cluster. ``over`` ends every wait early.

    ``undone``: the runs that have lost commits in a failover so far.
    """

    def __init__(self, system: Cluster, broker: RabbitCluster, over: threading.Event) -> None:
        self._broker, self._postgres = broker, system.postgres
        self._url = system.store_url
        self._over = over
        self.undone = Undone()

    def all(self) -> dict[str, Carry]:
        """Return how to carry out each kind of fault."""
        return {
            "broker node killed": self._on_node(self._node_killed),
            "broker node cut off": self._on_node(self._node_cut_off),
            "database fails over": self._fail_over,
        }

    def revive(self) -> None:
        """Start each server that does not run."""
        for node in self._broker.nodes:
            if not node.running:
                node.start()
        if not self._postgres.running:
            self._postgres.start()

    def _on_node(self, act: Callable[[RabbitServer, Fault], None]) -> Carry:
        def carry(fault: Fault) -> tuple[str, tuple[str, ...]]:
            number = fault.target % len(self._broker.nodes)
            act(self._broker.nodes[number], fault)
            return f"node {number + 1}", ()

        return carry

    def _node_killed(self, node: RabbitServer, fault: Fault) -> None:
        node.kill()
        self._over.wait(fault.lasts_s)
        node.start()

    def _node_cut_off(self, node: RabbitServer, fault: Fault) -> None:
        self._broker.cut_off(node)
        try:
            self._over.wait(fault.lasts_s)
        finally:
            self._broker.rejoin(node)

    def _fail_over(self, fault: Fault) -> tuple[str, tuple[str, ...]]:
        """Kill the database; a replica takes its place that lacks the commits of the last ``lasts_s`` seconds."""
        with PostgresReplica(self._postgres) as replica:
            replica.cut_off()
            self._over.wait(fault.lasts_s)
            self._postgres.kill()
            replica.promote()
            kept = self._states(replica)
            replica.trade_places()
            had = self._states(replica)
        lost = {run for run, state in had.items() if kept.get(run) != state}
        self.undone = Undone(self.undone.runs | lost, self.undone.created | lost - kept.keys())
        return f"Postgres, {len(lost)} runs lost commits", ()

    def _states(self, server: PostgresServer) -> Mapping[RunName, State]:
        """Return the states of all runs in the system's database on this server, which nobody else uses."""
        parts = urlsplit(self._url)
        login = parts.netloc.rpartition("@")[0]
        engine = open_engine(urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{server.port}")), read_only=True)
        r = t.dag_runs.c
        transitions, executions = (
            select(func.count()).where(table.c.run_key == r.run_key).scalar_subquery()
            for table in (t.transitions, t.executions)
        )
        try:
            with transaction(engine) as connection:
                rows = connection.execute(select(r.dag_name, r.dag_run_id, r.version, transitions, executions)).all()
        finally:
            engine.dispose()
        return {(name, run_id): (version, moves, begun) for name, run_id, version, moves, begun in rows}
