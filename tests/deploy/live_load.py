"""Restarts of a compose system under load."""

import http.client
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self

from shared.clock import utc_now
from tests.deploy.live_system import LONG_S, DisturbedSystem, say
from tests.harness.eventually import eventually

__all__ = ["restart_under_load"]

_RATE = 50
_RUN_EVERY = 25
_ROUNDS = 3
"""How often each replica is restarted. What one restart in ten does would often be missed with one."""
_LONG_RUNS = 100
_MOST = 20 * 60 * _RATE
"""The most requests of one load: an end, should a restart hang."""
_CONNECT_S = 2.0
_ANSWER_S = 60.0
_THREADS = 100
_PORT = 8080


class _Load:
    """Sends requests to the gateways from ``__enter__`` to ``__exit__``, each on a connection of its own.

    It goes to the containers' own addresses, as a load balancer does: the engine's forwarder of published ports accepts
    connections for a gateway that does not listen. If a gateway refuses the connection, the next one gets the request.
    After that there is no second try: a request that was sent must be answered.
    """

    def __init__(self, addresses: Sequence[str], login: str, name: str) -> None:
        self.addresses = addresses
        self._headers = {"Authorization": login, "Content-Type": "application/json"}
        self._name = name
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._send, name="load")
        self._lock = threading.Lock()
        self.sent = 0
        self.took_s: list[float] = []
        self.later = 0
        """How many answers were 503 with ``Retry-After``."""
        self.pending = 0
        """How many answers were 202: the start is stored by the broker, its outcome was not known in time."""
        self.accepted: list[str] = []
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _send(self) -> None:
        began_s = time.monotonic()
        with ThreadPoolExecutor(_THREADS) as pool:
            for number in range(_MOST):
                if self._end.wait(max(0.0, began_s + number / _RATE - time.monotonic())):
                    return
                pool.submit(self._request, number)

    def _request(self, number: int) -> None:
        began_s, began_at = time.monotonic(), utc_now()
        run_id = f"{self._name}-{number}" if number % _RUN_EVERY == 0 else ""
        try:
            status, retry_after, text = self._exchange(number, run_id)
        except OSError as error:
            status, retry_after, text = 0, "", str(error)
        with self._lock:
            self.sent += 1
            self.took_s.append(time.monotonic() - began_s)
            if status == 503 and retry_after:
                self.later += 1
            elif run_id and status in {200, 202}:
                self.pending += status == 202
                self.accepted.append(run_id)
            elif status != 200:
                self.failed.append(f"{run_id or 'read'} at {began_at.isoformat()}: {status} {text[:200]}")

    def _exchange(self, number: int, run_id: str) -> tuple[int, str, str]:
        connection = self._connect(number)
        try:
            if run_id:
                body = json.dumps({"dagRunId": run_id})
                headers = self._headers | {"Idempotency-Key": run_id}
                connection.request("POST", "/api/v2/dags/quick/start", body, headers)
            else:
                connection.request("GET", "/api/v2/dag-runs/quick/before-the-load", headers=self._headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Retry-After", ""), answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise OSError(f"{type(error).__name__}: {error}, from {connection.host}") from error
        finally:
            connection.close()

    def _connect(self, number: int) -> http.client.HTTPConnection:
        addresses = self.addresses
        refused: OSError | None = None
        for turn in range(len(addresses)):
            connection = http.client.HTTPConnection(addresses[(number + turn) % len(addresses)], _PORT, _CONNECT_S)
            try:
                connection.connect()
            except OSError as error:
                refused = error
                continue
            connection.sock.settimeout(_ANSWER_S)
            return connection
        raise OSError(f"no gateway accepts a connection: {refused}")


def _gateways(system: DisturbedSystem) -> list[str]:
    """Return the address of each gateway that runs. A container may have another address after a restart."""
    networks = [system.state(each)["NetworkSettings"]["Networks"] for each in system.containers("api")]
    found = [network["IPAddress"] for of_one in networks for name, network in of_one.items() if name.endswith("_front")]
    return [address for address in found if address]


def _begin_long_runs(system: DisturbedSystem) -> None:
    """Start runs of two minutes, and return when the steps of all are running, on both workers."""
    for number in range(_LONG_RUNS):
        system.begin("two-minutes", f"long-{number}")

    def run() -> None:
        found = _long_steps(system)
        assert found == (_LONG_RUNS, 2), found

    eventually(run, timeout_s=LONG_S, every_s=0.5)


def _long_steps(system: DisturbedSystem) -> tuple[int, int]:
    """Return how many steps of two minutes are running, on how many workers."""
    [found] = system.rows(
        "SELECT count(*), count(DISTINCT token_worker) FROM nodes JOIN dag_runs USING (run_key) "
        "WHERE dag_name = 'two-minutes' AND token_state = 'running'"
    )
    return int(found[0]), int(found[1])


def _restart_each(system: DisturbedSystem, load: _Load, *, draining: "Sequence[Future[str]]") -> None:
    """``draining``: first restarts of workers, which go on for as long as their steps of two minutes do."""
    _restart_in_turn(system, load, ("api", "scheduler") * _ROUNDS)
    for each in draining:
        each.result()
    system.wait_until_healthy()
    _restart_in_turn(system, load, ("worker",) * (_ROUNDS - 1))


def _restart_in_turn(system: DisturbedSystem, load: _Load, services: Sequence[str]) -> None:
    for service in services:
        for container in system.containers(service):
            system.sh(f"docker restart {container}")
            load.addresses = _gateways(system)
            system.wait_until_healthy(container)


def _restart_servers(system: DisturbedSystem, load: _Load) -> None:
    for service in ("postgres", "rabbitmq"):
        system.sh(f"docker compose restart {service}")
        system.wait_until_healthy(*system.containers(service))
    # Until all have found them again.
    system.wait_until_healthy()


def restart_under_load(system: DisturbedSystem) -> None:
    """Restart every replica in turn, and then both servers, while a client sends requests to two gateways.

    No request may fail, except by 503 with ``Retry-After``, and every run that was accepted, by 200 or 202, must
    succeed. Both workers are first restarted while each runs many steps of two minutes, and another worker is there for
    new runs, as in a rolling update on Kubernetes.
    """
    system.begin("quick", "before-the-load")
    system.wait_for_end("quick", "before-the-load")
    workers = system.containers("worker")
    assert len(workers) == 2, workers
    _begin_long_runs(system)
    system.scale(gateways=2, workers=3)
    running, on_workers = _long_steps(system)
    assert on_workers == 2, (running, on_workers)
    draining = [system.beside(f"docker restart {each}") for each in workers]
    restart = partial(_restart_each, draining=draining)
    _under_load(system, "replicas", f"each replica restarted {_ROUNDS} times", restart)
    eventually(lambda: _all_ended_well(system), timeout_s=LONG_S, every_s=0.5)
    say(f"load: {running} steps of 120 s were running when both workers were told to end; all {_LONG_RUNS} succeeded")
    _under_load(system, "servers", "database and broker restarted", _restart_servers)
    system.scale(gateways=1, workers=2)


def _all_ended_well(system: DisturbedSystem) -> None:
    """Every step of two minutes has succeeded at its only attempt."""
    found = system.rows(
        "SELECT r.status, a.outcome, a.number, count(*) FROM dag_runs r JOIN attempts a USING (run_key) "
        "WHERE r.dag_name = 'two-minutes' GROUP BY 1, 2, 3"
    )
    assert found == [["succeeded", "succeeded", "1", str(_LONG_RUNS)]], found


def _under_load(
    system: DisturbedSystem, name: str, what: str, restart: Callable[[DisturbedSystem, _Load], None]
) -> None:
    gateways = _gateways(system)
    assert len(gateways) == 2, gateways
    began_s = time.monotonic()
    with _Load(gateways, system.login, name) as load:
        eventually(lambda: len(load.accepted) >= 3, every_s=0.1)
        restart(system, load)
        # In the end all is as before.
        so_far = len(load.accepted)
        eventually(lambda: len(load.accepted) >= so_far + 3, every_s=0.1)
    lasted_s = time.monotonic() - began_s
    eventually(lambda: _all_succeeded(system, load, name), timeout_s=LONG_S, every_s=1)
    say(
        f"load: {what}, in {lasted_s:.0f} s: {load.sent} requests, {len(load.failed)} failed, "
        f"{load.later} answered 503 with Retry-After, {len(load.accepted)} runs accepted "
        f"({load.pending} by 202), which all succeeded; "
        f"median {statistics.median(load.took_s) * 1000:.0f} ms, longest {max(load.took_s):.1f} s "
        f"(load {os.getloadavg()[0]:.0f})"
    )
    if load.failed:
        raise SystemExit("\n".join(["requests failed:", *load.failed[:20]]))


def _all_succeeded(system: DisturbedSystem, load: _Load, name: str) -> None:
    query = f"SELECT dag_run_id FROM dag_runs WHERE dag_run_id LIKE '{name}-%' AND status = 'succeeded'"  # noqa: S608
    missing = set(load.accepted) - {run_id for [run_id] in system.rows(query)}
    assert not missing, f"accepted, and not succeeded: {sorted(missing)[:20]}"
