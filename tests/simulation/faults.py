"""What goes wrong, drawn from the seed: which kinds of fault there are in this simulation, and when each strikes."""

import random
from collections import Counter
from collections.abc import Callable, Sequence

from tests.simulation.cluster import Cluster, Member
from tests.simulation.kernel import Host

__all__ = ["Faults"]

_MEAN_S = 5.0
_ONLY_NAMED = frozenset({"database fails over", "messages come twice"})
"""Kinds that strike only if they are asked for. A failover breaks promises to clients, so fewer checks remain."""
_HEARTBEAT_S = (10.0, 20.0)
"""After this silence the broker ends a session."""


class Faults:
    """Strikes between ``from_s`` and ``until_s``; then all is well again. ``struck`` counts the faults by kind.

    ``pace``: how many times as long it waits between faults.
    """

    def __init__(
        self, cluster: Cluster, *, from_s: float, until_s: float, kinds: Sequence[str] = (), pace: float = 1.0
    ) -> None:
        self._cluster, self._until_s = cluster, until_s
        self._rng = rng = random.Random(cluster.kernel.rng.random())
        every: dict[str, Callable[[], None]] = {
            "scheduler killed": lambda: self._one(cluster.schedulers).kill(),
            "worker killed": lambda: self._one(cluster.workers).kill(),
            "stopped in order": lambda: self._stop(self._one(cluster.members)),
            "scheduler frozen": lambda: self._freeze(self._one(cluster.schedulers)),
            "worker frozen": lambda: self._freeze(self._one(cluster.workers)),
            "link stalled": lambda: self._stall(self._one(cluster.members)),
            "connection lost": lambda: self._cut(self._one(cluster.members)),
            "broker crashed": self._crash_broker,
            "broker blocks": self._block_broker,
            "messages come twice": self._double_messages,
            "database away": self._database_away,
            "database slow": self._database_slow,
            "commits fail": self._commits_fail,
            "database fails over": self._fail_over,
            "clock jumps": self._clock_jumps,
            "killed at a point": self._killed_at_a_point,
            "killed around a commit": self._killed_around_a_commit,
        }
        # Few kinds at once find more than all kinds always ("swarm testing", Groce et al., 2012).
        share = rng.choice([0.25, 0.5, 1.0])
        self._kinds = [
            (name, strike)
            for name, strike in every.items()
            if (name in kinds if kinds else name not in _ONLY_NAMED and rng.random() < share)
        ]
        self.struck: Counter[str] = Counter()
        self._mean_s = _MEAN_S * rng.choice([0.5, 1.0, 3.0]) * pace
        self._at_points = self._at_commits = 0
        cluster.kernel.on_point = self._reached
        cluster.database.on_commit = self._commits
        cluster.kernel.at(from_s, self._next)
        cluster.kernel.at(until_s, self._heal)

    def _next(self) -> None:
        kernel = self._cluster.kernel
        if kernel.now_s >= self._until_s or not self._kinds:
            return
        name, strike = self._rng.choice(self._kinds)
        self.struck[name] += 1
        kernel.note(f"fault {name}")
        strike()
        kernel.after(self._rng.expovariate(1 / self._mean_s), self._next)

    def _heal(self) -> None:
        cluster = self._cluster
        self._at_points = self._at_commits = 0
        cluster.broker.unblock()
        cluster.broker.start()
        cluster.broker.duplicates = False
        cluster.database.away, cluster.database.slow_s, cluster.database.fail_commits = False, 0.0, 0.0

    def _one(self, members: list[Member]) -> Member:
        return self._rng.choice(members)

    def _lasts_s(self, most_s: float) -> float:
        return self._rng.uniform(0.5, most_s)

    # -- processes ------------------------------------------------------------------------------------

    def _stop(self, member: Member) -> None:
        if not member.host.dead:
            member.trouble(60.0)
            member.stop.set()

    def _freeze(self, member: Member) -> None:
        kernel, host = self._cluster.kernel, member.host
        if host.dead or host.frozen:
            return
        if host.pinned:
            kernel.after(0.001, lambda: self._freeze(member))
            return
        lasts_s = self._lasts_s(25.0)
        member.trouble(lasts_s)
        kernel.freeze(host)
        kernel.after(lasts_s, lambda: kernel.thaw(host))
        silent_s = self._rng.uniform(*_HEARTBEAT_S)
        session = member.transport.session if hasattr(member, "transport") else None
        if silent_s < lasts_s and session is not None:
            kernel.after(silent_s, lambda: self._cluster.broker.cut(session))

    def _reached(self, host: Host, _point: str) -> None:
        if self._at_points and self._rng.random() < 0.2:
            self._at_points -= 1
            self._kill(host)

    def _commits(self, host: Host) -> None:
        if self._at_commits and self._rng.random() < 0.2:
            self._at_commits -= 1
            self._kill(host)

    def _kill(self, host: Host) -> None:
        member = self._cluster.member_of(host)
        if member is not None:
            member.kill()

    def _killed_at_a_point(self) -> None:
        self._at_points += 1

    def _killed_around_a_commit(self) -> None:
        self._at_commits += 1

    def _clock_jumps(self) -> None:
        self._one(self._cluster.schedulers).host.skew_s = self._rng.choice([-3600.0, -15.0, 15.0, 3600.0])

    # -- the broker -----------------------------------------------------------------------------------

    def _stall(self, member: Member) -> None:
        session = member.transport.session if hasattr(member, "transport") else None
        if session is None:
            return
        up, down = self._rng.choice([(True, False), (False, True), (True, True)])
        lasts_s = self._lasts_s(14.0)
        member.trouble(lasts_s)
        session.stall(lasts_s, up=up, down=down)

    def _cut(self, member: Member) -> None:
        session = member.transport.session if hasattr(member, "transport") else None
        if session is not None:
            member.trouble(5.0)
            self._cluster.broker.cut(session)

    def _crash_broker(self) -> None:
        broker = self._cluster.broker
        broker.stop()
        self._cluster.kernel.after(self._lasts_s(15.0), broker.start)

    def _block_broker(self) -> None:
        broker = self._cluster.broker
        broker.block()
        self._cluster.kernel.after(self._lasts_s(30.0), broker.unblock)

    def _double_messages(self) -> None:
        """Half of all messages come twice from now on."""
        self._cluster.broker.duplicate = 0.5

    # -- the database ---------------------------------------------------------------------------------

    def _database_away(self) -> None:
        database = self._cluster.database
        database.away = True

        def back() -> None:
            database.away = False

        self._cluster.kernel.after(self._lasts_s(25.0), back)

    def _database_slow(self) -> None:
        database = self._cluster.database
        database.slow_s = 0.05

        def back() -> None:
            database.slow_s = 0.0

        self._cluster.kernel.after(self._lasts_s(10.0), back)

    def _fail_over(self) -> None:
        self._cluster.database.fail_over(self._rng.uniform(0.01, 2.0), self._rng.choice([0.0, 0.2, 5.0]))

    def _commits_fail(self) -> None:
        database = self._cluster.database
        database.fail_commits = 0.2

        def back() -> None:
            database.fail_commits = 0.0

        self._cluster.kernel.after(self._lasts_s(10.0), back)
