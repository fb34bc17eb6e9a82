"""Run a campaign: users, faults, and at the end the judgement."""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from shared.errors import StoreUnavailable
from shared.store import tables as t
from tests.chaos.cluster_faults import ClusterFaults
from tests.chaos.evidence import read_ledger, read_store
from tests.chaos.judge import judge
from tests.chaos.links import link_faults
from tests.chaos.model import Fault, Plan, Strike, Undone
from tests.chaos.nemesis import Nemesis
from tests.chaos.plan import LEASE_S
from tests.chaos.process_faults import Carry, ProcessFaults
from tests.chaos.server_faults import ServerFaults
from tests.chaos.systems import ProxiedCluster
from tests.chaos.users import Users
from tests.harness.broker_users import PASSWORDS
from tests.harness.cluster import Deployment, Embedded
from tests.harness.eventually import eventually
from tests.harness.invariants import at_rest, census, violations, violations_now
from tests.harness.servers import PostgresServer, RabbitCluster, RabbitServer
from tests.harness.small_disk import SmallDisk

__all__ = ["Outcome", "Target", "clustered", "distributed", "embedded", "run_campaign"]

_AT_REST_S = 240
"""How long runs may wait for each other after the faults, at least. A longer campaign leaves more of them."""
_LOOK_S = 5.0
_OUTAGES_OF_S = 120.0
_DISK_MB = 128
_LOGS_OF_LOST_RUNS = re.compile("owner: .* rows of log_chunks")


@dataclass(frozen=True, slots=True)
class Target:
    """A running system, and how to carry out the faults on it.

    ``over`` ends every fault early. ``heal`` starts again what a fault has ended. ``undone`` returns the
    runs that have lost commits so far.
    """

    system: Deployment
    carries: dict[str, Carry]
    over: threading.Event
    heal: Callable[[], None]
    undone: Callable[[], Undone] = Undone


@dataclass(slots=True)
class Outcome:
    """The result of a campaign. ``found`` are the violations by rule; a rule without any is in it too."""

    plan: Plan
    strikes: list[Strike]
    found: dict[str, list[str]]
    counts: dict[str, dict[str, int]]
    executions: int
    told: int
    undone: int
    rest_s: float
    looks: int = 0
    replies: Counter[int] = field(default_factory=Counter)

    @property
    def violations(self) -> list[str]:
        """All violations, with their rules."""
        return [f"{rule}: {text}" for rule, texts in self.found.items() for text in texts]


@contextmanager
def distributed(
    folder: Path,
    rabbit: RabbitServer,
    postgres: PostgresServer,
    *,
    gateways: int = 2,
    schedulers: int = 2,
    workers: int = 3,
    env: dict[str, str] | None = None,
    earlier: Path | None = None,
) -> Iterator[Target]:
    """Run a distributed system, each of whose links can fail.

    ``earlier``: a folder with the code of an earlier version, for processes that are downgraded.
    """
    over = threading.Event()
    system = ProxiedCluster(
        folder, rabbit, postgres, gateways=gateways, schedulers=schedulers, workers=workers, lease_s=LEASE_S, env=env
    )
    with system:
        processes = ProcessFaults(system, system.names, folder, over, earlier)
        servers = ServerFaults(system, over)

        def heal() -> None:
            servers.revive()
            processes.revive()

        yield Target(system, {**processes.all(), **link_faults(system, over), **servers.all()}, over, heal)


@contextmanager
def clustered(
    folder: Path, broker: RabbitCluster, postgres: PostgresServer, *, earlier: Path | None = None
) -> Iterator[Target]:
    """Run a distributed system on a broker of three nodes, all of which every process knows."""
    over = threading.Event()
    urls = broker.urls(PASSWORDS, nodes=broker.nodes)
    logins = {"api": urls["api"], "scheduler": urls["scheduler"], "worker": urls["worker-default"]}
    system = ProxiedCluster(
        folder,
        broker.nodes[0],
        postgres,
        gateways=2,
        schedulers=2,
        workers=3,
        lease_s=LEASE_S,
        amqp_urls=logins,
        pool="default",
    )
    with system:
        processes = ProcessFaults(system, system.names, folder, over, earlier)
        servers = ClusterFaults(system, broker, over)

        def heal() -> None:
            servers.revive()
            processes.revive()

        carries = {**processes.all(), **servers.all()}
        yield Target(system, carries, over, heal, lambda: servers.undone)


@contextmanager
def embedded(folder: Path) -> Iterator[Target]:
    """Run ``dagway up``, on a small disk if this user may mount one."""
    over = threading.Event()
    disk_folder = folder / "disk"
    disk_folder.mkdir(parents=True)
    with SmallDisk(disk_folder, _DISK_MB) as disk:
        can_fill = disk.mount()
        env = {"DAGWAY_DATA_DIR": str(disk_folder)}
        with Embedded(folder, lease_s=LEASE_S, env=env) as system:
            system.data_dir = disk_folder
            (worker,) = eventually(lambda: system.rows(t.workers) or _none())
            processes = ProcessFaults(system, {system.process: worker["worker_id"]}, folder, over)

            def fill(fault: Fault) -> tuple[str, tuple[str, ...]]:
                if not can_fill:
                    raise PermissionError("a small disk cannot be mounted here")
                # The fault before this one may just have started it: nothing starts on a full disk.
                processes.revive()
                system.ready(system.process)
                disk.fill()
                try:
                    over.wait(fault.lasts_s)
                finally:
                    disk.empty()
                return "disk", ()

            yield Target(system, {**processes.embedded(), "disk full": fill}, over, processes.revive)


def _none() -> list[dict[str, str]]:
    raise AssertionError("no worker is known yet")


def run_campaign(plan: Plan, target: Target, ledger: Path, log: Path) -> Outcome:
    """Carry out a plan on a running system, heal everything, wait until all runs have ended, and judge."""
    system = target.system
    users = Users(system, plan)
    users.prepare()
    nemesis = Nemesis(plan, target.carries, log, target.over)
    watch = _Watch(system, nemesis, target.over)
    watcher = threading.Thread(target=watch.run, name="watcher")
    nemesis.start()
    watcher.start()
    try:
        users.work(plan.seconds)
    finally:
        nemesis.stop()
        watcher.join()
    healed = time.monotonic()
    target.heal()
    for process in system.processes:
        system.ready(process)
    users.settle()
    stuck = _rest(system, users, max(_AT_REST_S, plan.seconds))
    rest_s = time.monotonic() - healed
    undone = target.undone()
    seen = read_store(system, plan, read_ledger(ledger), users.replies, nemesis.strikes)
    evidence = replace(seen, undone=undone)
    keys = [request.key for request in plan.requests]
    found = judge(evidence)
    found["the live system verifies"] = _apart_from(undone, watch.found)
    # Outcomes of commands are among what a failover loses.
    expected = [] if undone.runs else keys
    found["the system at rest verifies"] = stuck + _apart_from(undone, violations(system.engine, commands=expected))
    found["no process ends by itself"] = nemesis.ended_by_themselves
    return Outcome(
        plan,
        nemesis.strikes,
        found,
        census(system.engine),
        executions=sum(
            count for counts in evidence.ledger.values() for (what, _), count in counts.items() if what == "begin"
        ),
        told=len(evidence.told),
        undone=len(undone.runs),
        rest_s=rest_s,
        looks=watch.looks,
        replies=Counter(reply.status for replies in users.replies.values() for reply in replies),
    )


def _apart_from(undone: Undone, found: Iterable[str]) -> list[str]:
    """Return ``found`` without the log chunks of runs whose creation was lost while their steps went on printing."""
    return [one for one in found if not (undone.created and _LOGS_OF_LOST_RUNS.match(one))]


def _rest(system: Deployment, users: Users, limit_s: float) -> list[str]:
    def rests() -> None:
        users.approve()
        assert at_rest(system.engine), "runs go on, or messages wait to be sent"

    try:
        eventually(rests, timeout_s=limit_s, every_s=0.5, slowest_s=1)
    except AssertionError as error:
        return [str(error)]
    return []


class _Watch:
    """Verifies the live system again and again, until ``over``. ``found`` has each violation once.

    Nothing can go on without the broker or the database, and no worker is given up while a scheduler may hold reports
    that it has not recorded. So the time of their faults, and of the schedulers', does not make anything overdue.
    """

    def __init__(self, system: Deployment, nemesis: Nemesis, over: threading.Event) -> None:
        self._system = system
        self._nemesis = nemesis
        self._over = over
        self.found: dict[str, None] = {}
        self.looks = 0

    def run(self) -> None:
        while not self._over.wait(_LOOK_S):
            try:
                # A grace has two leases, so this adds the whole outage to it.
                lease_s = LEASE_S + self._nemesis.outage_s(time.time() - _OUTAGES_OF_S) / 2
                self.found.update(dict.fromkeys(violations_now(self._system.engine, lease_s)))
            except StoreUnavailable:
                continue
            self.looks += 1
