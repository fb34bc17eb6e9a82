"""Install the peers, and run one of them: its services, two workers of eight slots, as the floor has, and a client."""

import json
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.loads.small import Sizes
from bench.measuring.environment import environment
from bench.peers.client import PORT
from bench.systems.rig import Servers
from tests.harness.cluster import descendants
from tests.harness.eventually import free_port

__all__ = ["PEERS", "Peer", "PeerClient", "installed", "peer", "stop"]


@dataclass(frozen=True, slots=True)
class Peer:
    """``title``: its name in tables. ``packages``: what pip installs. ``servers``: those that it uses.

    ``services``: its own processes beside the workers. ``sizes``: of its workloads, if the usual ones take it too long.
    ``workers``: whether its workers are processes that the bench starts.
    """

    title: str
    packages: Sequence[str]
    servers: Sequence[str]
    services: Sequence[str] = ()
    sizes: Sizes | None = None
    workers: bool = True


_SMALL = Sizes(single=5, many=20, wide=50, chain=10)


PEERS: Mapping[str, Peer] = {
    "airflow": Peer(
        "Airflow",
        ("apache-airflow==3.3.2", "SQLAlchemy==2.1.9", "asyncpg==0.32.0", "psycopg2-binary==2.9.13"),
        ("Postgres",),
        ("api-server", "scheduler", "dag-processor"),
        _SMALL,
        workers=False,
    ),
    "celery": Peer(
        "Celery",
        ("celery==5.7.0", "kombu==5.7.0", "SQLAlchemy==2.1.9", "psycopg2-binary==2.9.13"),
        ("RabbitMQ", "Postgres"),
    ),
    "dbos": Peer("DBOS", ("dbos==3.4.0", "SQLAlchemy==2.1.9", "psycopg[binary]==3.3.9"), ("Postgres",)),
    "prefect": Peer("Prefect", ("prefect==3.9.1", "SQLAlchemy==2.1.9"), ("Postgres",), ("server",), _SMALL),
    "procrastinate": Peer("Procrastinate", ("procrastinate==3.10.0", "psycopg[binary,pool]==3.3.9"), ("Postgres",)),
}
"""Their licences are Apache 2.0, BSD, MIT, Apache 2.0 and MIT."""
_SLOTS = "8"
_ROOT = Path(__file__).parents[2]
_PREPARE_S = 300
_RUN_S = 600
_STOP_S = 15


class PeerClient:
    """Has runs run by the client process of a peer."""

    def __init__(self, asking: IO[str], answers: IO[str]) -> None:
        self._asking, self._answers = asking, answers

    def one(self) -> None:
        self._run(1, 1, chain=True)

    def many(self, count: int) -> int:
        self._run(count, 1, chain=True)
        return 0

    def large(self, steps: int, *, chain: bool) -> None:
        self._run(1, steps, chain=chain)

    def _run(self, runs: int, steps: int, *, chain: bool) -> None:
        self._asking.write(json.dumps({"runs": runs, "steps": steps, "chain": chain}) + "\n")
        self._asking.flush()
        ready, _, _ = select.select([self._answers], [], [], _RUN_S)
        if not ready:
            raise RuntimeError(f"the peer has not answered within {_RUN_S} s")
        if not self._answers.readline():
            raise RuntimeError("the client of the peer has ended")


@contextmanager
def installed(names: Sequence[str]) -> Iterator[Mapping[str, Path]]:
    """Install peers into new environments, and yield the Python of each. Exits with the reason if pip cannot."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(environment(PEERS[name].packages)) for name in names}


@contextmanager
def peer(
    name: str, python: Path, used: Servers, vhost: str, workers: int
) -> Iterator[tuple[PeerClient, dict[str, Sequence[int]]]]:
    """Run a peer on these servers, in a vhost and a database of its own; yield its client and its processes by kind."""
    database = used.postgres.create_database()
    variables = {
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(_ROOT),
        "LANG": "C.UTF-8",
        PORT: str(free_port()),
    }
    started: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory(prefix="dagway-bench-") as folder, (Path(folder) / "log").open("w+") as log:

        def start(command: str, *more: str) -> subprocess.Popen[str]:
            argv = [str(python), "-m", f"bench.peers.{name}_peer", command, vhost, database, *more]
            answers = subprocess.PIPE if command == "client" else log
            process = subprocess.Popen(
                argv, cwd=folder, env=variables, stdin=subprocess.PIPE, stdout=answers, stderr=log, text=True
            )
            started.append(process)
            return process

        try:
            if code := start("prepare").wait(_PREPARE_S):
                raise RuntimeError(f"it ended with {code}")
            services = {service: [start(service).pid] for service in PEERS[name].services}
            hands = [start("worker", f"w{number}", _SLOTS) for number in range(workers * PEERS[name].workers)]
            client = start("client")
            assert client.stdin is not None
            assert client.stdout is not None
            servers = {kind: used.pids[kind] for kind in PEERS[name].servers}
            pids = {"workers": [each.pid for each in hands], **services, **servers}
            yield PeerClient(client.stdin, client.stdout), {kind: each for kind, each in pids.items() if each}
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            log.seek(0)
            raise RuntimeError(f"{name}: {error}\n{log.read()[-4000:]}") from error
        finally:
            stop(started)


def stop(processes: Sequence[subprocess.Popen[str]]) -> None:
    """End processes, and what is left of their children after that."""
    children = [pid for process in processes for pid in descendants(process.pid)]
    # The kernel may give the id of an ended process to another one, but a handle stays with its process.
    handles = [handle for handle in map(_handle, children) if handle is not None]
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.communicate(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    for handle in handles:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)


def _handle(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
