"""The simulated cluster: schedulers and workers that die and come back, around one broker and one database."""

import random
from collections.abc import Callable
from pathlib import Path

from services.scheduler.main import Scheduler, SchedulerSettings
from shared.errors import Unavailable
from tests.simulation.broker import Broker
from tests.simulation.database import Database, SimulatedStore
from tests.simulation.kernel import Host, Kernel
from tests.simulation.threads import Event
from tests.simulation.transport import SimulatedTransport
from tests.simulation.worker import Ledger, make_worker

__all__ = ["LEASE_S", "Cluster", "Member"]

LEASE_S = 10.0
_WORKER_SKEW_S = 0.9
"""Less than half of ``SKEW_S``, by which the clocks of a worker and the database may differ in all."""
_SCHEDULER_SKEW_S = 30.0
_START_AGAIN_S = (0.5, 20.0)
_LATER_S = 0.5
_DRAIN_S = 5.0


class Member:
    """A scheduler or a worker that is started again whenever it has ended. ``host`` is its present process."""

    def __init__(self, cluster: "Cluster", name: str, start: Callable[["Member"], None], skew_s: float) -> None:
        self.cluster, self.name, self._start, self._skew_s = cluster, name, start, skew_s
        self.host: Host
        self.transport: SimulatedTransport
        self.stop: Event
        self.troubled: list[tuple[float, float]] = []
        """When it was dead, frozen or cut off from the broker, by no fault of others: from, to."""
        self.killed_s: list[float] = []
        self.begin()

    def begin(self) -> None:
        """Start a new process."""
        kernel = self.cluster.kernel
        self.host = host = Host(self.name, self._skew_s)
        self._ended = False
        self.stop = Event()
        kernel.spawn(host, "main", lambda: self._main(host))

    def _main(self, host: Host) -> None:
        cluster = self.cluster
        self.transport = SimulatedTransport(cluster.kernel, cluster.broker, host, cluster.rng)
        self._start(self)
        # It has stopped in order.
        self._ended = True
        self.transport.close()
        self.trouble(_START_AGAIN_S[1])
        self._begin_later(cluster.kernel)

    def _begin_later(self, kernel: Kernel) -> None:
        kernel.after(self.cluster.rng.uniform(*_START_AGAIN_S), self.begin)

    def kill(self) -> None:
        """Kill the process, as SIGKILL does, and start another one some time later."""
        if self.host.dead or self._ended or not hasattr(self, "transport"):
            return
        self.trouble(_START_AGAIN_S[1])
        self.killed_s.append(self.cluster.kernel.now_s)
        self._begin_later(self.cluster.kernel)
        self.transport.hang_up()
        self.cluster.kernel.kill(self.host)

    def trouble(self, seconds: float) -> None:
        """Note that it is in trouble from now on, for at most this time."""
        now_s = self.cluster.kernel.now_s
        self.troubled.append((now_s, now_s + seconds))


class Cluster:
    """All members. ``problems``: what the simulation itself saw go wrong."""

    def __init__(self, kernel: Kernel, folder: Path, *, schedulers: int, workers: int) -> None:
        self.kernel, self.folder = kernel, folder
        self.rng = random.Random(kernel.rng.random())
        self.broker = Broker(kernel, self.rng)
        self.database = Database(kernel, folder, self.rng)
        self.ledger = Ledger()
        self.problems: list[str] = []
        self._shards = self.rng.choice([False, True])
        self.schedulers = [
            Member(self, f"s{number}", self._scheduler, self.rng.uniform(-_SCHEDULER_SKEW_S, _SCHEDULER_SKEW_S))
            for number in range(1, schedulers + 1)
        ]
        self.workers = [
            Member(self, f"w{number}", self._worker, self.rng.uniform(-_WORKER_SKEW_S, _WORKER_SKEW_S))
            for number in range(1, workers + 1)
        ]

    @property
    def members(self) -> list[Member]:
        return [*self.schedulers, *self.workers]

    def member_of(self, host: Host) -> Member | None:
        return next((member for member in self.members if member.host is host), None)

    def _scheduler(self, member: Member) -> None:
        while (scheduler := self._make_scheduler(member)) is None:
            self.kernel.park(_LATER_S)
        scheduler.start()
        member.stop.wait()
        scheduler.stop()

    def _make_scheduler(self, member: Member) -> Scheduler | None:
        """Return a scheduler, or ``None`` while the broker or the database is away."""
        store = SimulatedStore(self.database, member.host)
        try:
            return Scheduler(
                store,
                member.transport,
                SchedulerSettings(
                    version="sim", lease_s=LEASE_S, queues={"narrow": 2}, pools={"few": 2}, shards=self._shards
                ),
                clock=store.clock,
                on_death=lambda: self.problems.append(f"a loop of {member.name} died"),
            )
        except Unavailable:
            return None

    def _worker(self, member: Member) -> None:
        worker = make_worker(
            self.kernel,
            member.host,
            member.transport,
            self.ledger,
            self.rng,
            worker_id=member.name,
            folder=self.folder / member.name,
            lease_s=LEASE_S,
        )
        worker.start()
        member.stop.wait()
        worker.stop(_DRAIN_S)

    def close(self) -> None:
        self.kernel.close()
        self.database.close()
