"""Stand-ins for gateways: they send commands, await replies, and repeat a command under the same id if none comes."""

from collections import defaultdict
from typing import Any

from sqlalchemy import select

from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.codec import decode_as, encode
from shared.errors import Unavailable
from shared.ids import new_command_id, random_hex
from shared.store import tables as t
from shared.store.engine import transaction
from shared.transport.base import COMMANDS, Outgoing
from tests.harness.commands import named
from tests.simulation.cluster import Cluster
from tests.simulation.kernel import Host
from tests.simulation.transport import SimulatedTransport
from tests.simulation.workflows import WORKFLOWS

__all__ = ["Clients"]

_REPLY_S = 5.0
_TRIES = 30
_PAUSE_S = 1.5


class Clients:
    """Clients that act until ``until_s``. ``accepted``: the ids of commands that the broker took.

    ``pace``: how many times as long they wait between commands.
    """

    def __init__(self, cluster: Cluster, *, count: int, until_s: float, pace: float = 1.0) -> None:
        self._cluster, self._until_s, self._pause_s = cluster, until_s, _PAUSE_S * pace
        self.accepted: dict[str, c.Command] = {}
        self.replies: dict[str, list[c.CommandReply]] = defaultdict(list)
        self._started: list[tuple[str, str]] = []
        self._ready = False
        self._busy = count
        for number in range(count):
            host = Host(f"g{number + 1}")
            cluster.kernel.spawn(host, "client", lambda host=host, number=number: self._run(host, number))  # type: ignore[misc]

        cluster.kernel.spawn(Host("approver"), "client", self._approve)

    @property
    def done(self) -> bool:
        return self._busy == 0

    def _run(self, host: Host, number: int) -> None:
        kernel, rng = self._cluster.kernel, self._cluster.rng
        transport = SimulatedTransport(kernel, self._cluster.broker, host, rng)
        if number == 0:
            for name, spec in WORKFLOWS.items():
                self._insist(transport, c.CreateDag(file_name=name, spec=spec))
            self._ready = True
        while not self._ready:
            kernel.park(0.1)
        while kernel.now_s < self._until_s:
            self._insist(transport, self._invent())
            # A long last pause must not use up the time that the cluster has to come to rest.
            left_s = max(self._until_s - kernel.now_s, 10 * _PAUSE_S)
            kernel.park(min(rng.expovariate(1 / self._pause_s), left_s))
        if number == 0:
            self._insist(transport, c.SuspendDag(file_name="_timed", suspend=True))
        self._cluster.ledger.hurry = True
        self._busy -= 1

    def _approve(self) -> None:
        """Approve what waits for it, to the end."""
        cluster = self._cluster
        transport = SimulatedTransport(cluster.kernel, cluster.broker, Host("approver"), cluster.rng)
        r = t.dag_runs.c
        waiting = select(r.dag_name, r.dag_run_id).where(r.status == "waiting").order_by(r.run_key)
        while True:
            cluster.kernel.park(cluster.rng.uniform(1.0, 5.0))
            with transaction(cluster.database.reader) as connection:
                runs = connection.execute(waiting).all()
            for run in runs:
                facts = {"dag_name": run.dag_name, "dag_run_id": run.dag_run_id}
                self._insist(transport, c.ApproveStep(**facts, step_name="gate"))

    def _invent(self) -> c.Command:
        rng = self._cluster.rng
        name = rng.choice([name for name in WORKFLOWS if not name.startswith("_")])
        draw = rng.random()
        facts: dict[str, Any] = {"file_name": name, "dag_run_id": random_hex(12)}
        if draw < 0.45 or not self._started:
            self._started.append((name, facts["dag_run_id"]))
            return c.StartRun(**facts)
        if draw < 0.75:
            self._started.append((name, facts["dag_run_id"]))
            return c.EnqueueRun(**facts, queue=rng.choice([None, "narrow"]), priority=rng.choice(["low", "high"]))
        dag_name, run_id = rng.choice(self._started[-6:])
        if draw < 0.87:
            step = rng.choice([None, None, "a", "b"])
            return c.RetryRun(dag_name=dag_name, dag_run_id=run_id, step_name=step)
        if draw < 0.95:
            return c.StopRun(dag_name=dag_name, dag_run_id=run_id)
        return c.DequeueRun(dag_name=dag_name, dag_run_id=run_id)

    def _insist(self, transport: SimulatedTransport, command: c.Command) -> None:
        """Send a command until its reply comes, as a client with an Idempotency-Key does."""
        kernel, rng = self._cluster.kernel, self._cluster.rng
        command_id = new_command_id()
        for _ in range(_TRIES):
            body = encode(named(command), id=command_id, at=utc_now())
            try:
                sent = transport.request(Outgoing(COMMANDS, body, command_id))
                sent.accepted(_REPLY_S)
                self.accepted[command_id] = command
                self.replies[command_id].append(decode_as(sent.reply(_REPLY_S), c.CommandReply))
            except (Unavailable, TimeoutError):
                kernel.park(rng.uniform(0.1, 2.0))
                continue
            # Some clients repeat a request that was answered.
            if rng.random() > 0.1:
                return
