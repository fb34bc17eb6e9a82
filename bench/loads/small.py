"""The workloads w1 to w4, as a client runs them against any server that has Dagu's API, the floor, or a peer.

w1  runs of one step, one after the other: from the request until a client sees the end
w2  runs of one step, started by 8 clients as fast as they are answered
w3  one run of parallel steps
w4  one run of steps in a chain

Each step is ``true`` in a shell. A client of the API polls the details of a run until it has ended: every 2 ms in w1,
every 10 ms in the others. A client that waits asks ``start?wait=`` instead, one request for each run, where the server
has it. ``details`` reads the details of a run of w4 that has ended, one after the other.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

import urllib3
from urllib3.exceptions import HTTPError

from bench.floor.api import FloorApi
from bench.floor.engine import Floor
from tests.harness.eventually import eventually

__all__ = ["SHORT_SIZES", "SIZES", "ApiClient", "Contender", "FloorClient", "Sizes", "WaitingClient", "measure"]

_CLIENTS = 8
_POLL_S = 0.002
_POLL_LONG_S = 0.01
_DEADLINE_S = 120
_WAIT_S = 60
"""The longest that a request may wait."""
_READS = 200
_ACTIVE = frozenset({"not_started", "queued", "running"})


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much each workload runs."""

    single: int = 60
    many: int = 2000
    wide: int = 500
    chain: int = 200


SIZES, SHORT_SIZES = Sizes(), Sizes(single=20, many=100, wide=60, chain=20)


class Contender(Protocol):
    """What can run the workloads."""

    def one(self) -> None:
        """Run one step and return when a client sees its end."""

    def many(self, count: int) -> int:
        """Run ``count`` runs of one step and return how many did not succeed."""

    def large(self, steps: int, *, chain: bool) -> None:
        """Run one run of many steps."""


class ApiClient:
    """A client of Dagu's API at ``url``, which polls. ``own``: the server is Dagway; ``token``: of the API."""

    def __init__(self, url: str, *, own: bool, token: str = "") -> None:
        self._api, self._own = f"{url}/api/v2", own
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = urllib3.PoolManager(maxsize=32, retries=False, timeout=_DEADLINE_S, headers=headers)
        self._known: set[str] = set()
        self._created: list[str] = []

    def one(self) -> None:
        self.ended("one", self.start("one", self.dag("one", 1)), _POLL_S)

    def many(self, count: int) -> int:
        dag = self.dag("one", 1)
        with ThreadPoolExecutor(_CLIENTS) as clients:
            started = list(clients.map(lambda _: self.start("one", dag), range(count)))
            statuses = clients.map(lambda run: self.ended("one", run, _POLL_LONG_S), started)
            return sum(status != "succeeded" for status in statuses)

    def large(self, steps: int, *, chain: bool) -> None:
        name = self.large_dag(steps, chain=chain)
        status = self.ended(name, self.start(name, name), _POLL_LONG_S)
        assert status == "succeeded", status

    def large_dag(self, steps: int, *, chain: bool) -> str:
        """Create the DAG of w3 or w4, once, and return its name."""
        return self.dag(f"{'chain' if chain else 'wide'}{steps}", steps, chain=chain)

    def dag(self, name: str, steps: int, *, chain: bool = True) -> str:
        """Create a DAG, once, and return its name when a run of it has succeeded."""
        if name not in self._known:
            lines = "".join(f"  - name: s{number}\n    command: 'true'\n" for number in range(steps))
            self.create(
                name, f"type: chain\nsteps:\n{lines}" if chain else f"type: graph\n{self.spread}steps:\n{lines}"
            )
            self._known.add(name)
            self.ended(name, self.first_run(name), _POLL_LONG_S)
        return name

    @property
    def spread(self) -> str:
        """A line of a DAG: a wide run may use all workers. Dagu does not know it."""
        return "placement: spread\n" if self._own else ""

    def details(self, steps: int) -> None:
        """Read the details of the latest run of a chain."""
        status, answer = self.ask("GET", f"/dag-runs/chain{steps}/latest")
        assert status == 200, answer

    def create(self, name: str, spec: str) -> None:
        """Create a DAG. Fails if the server has one of that name."""
        status, answer = self.ask("POST", "/dags", {"name": name, "spec": spec})
        assert status == 201, answer
        self._created.append(name)

    def delete_dags(self) -> None:
        """Delete the DAGs that this client has created."""
        for name in self._created:
            status, answer = self.ask("DELETE", f"/dags/{name}")
            assert status == 204, answer

    def first_run(self, name: str) -> str:
        """Start a run of a new DAG: Dagu's server knows its file a moment later."""
        return eventually(lambda: self.start(name, name), timeout_s=30)

    def start(self, name: str, dag: str) -> str:
        """Start a run and return its id."""
        status, answer = self.ask("POST", f"/dags/{dag}/start", {})
        assert status == 200, (name, status, answer)
        return str(answer["dagRunId"])

    def ended(self, name: str, run: str, poll_s: float, deadline_s: float = _DEADLINE_S) -> str:
        """Return the status with which a run ended."""
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            # Dagu knows a run a moment after its start is answered: 404 before. While many steps run, it closes
            # connections without an answer.
            with suppress(HTTPError):
                status, answer = self.ask("GET", f"/dag-runs/{name}/{run}")
                if status == 200 and answer["dagRunDetails"]["statusLabel"] not in _ACTIVE:
                    return str(answer["dagRunDetails"]["statusLabel"])
            time.sleep(poll_s)
        return "unfinished"

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request and return the status and the JSON of the response."""
        answer = (
            self._http.request(method, self._api + path, json=body)
            if body is not None
            else self._http.request(method, self._api + path)
        )
        return answer.status, json.loads(answer.data) if answer.data else None


class WaitingClient:
    """A client of Dagway's API that waits for its runs instead of polling them."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    def one(self) -> None:
        self._succeed(self._api.dag("one", 1))

    def many(self, count: int) -> int:
        dag = self._api.dag("one", 1)
        with ThreadPoolExecutor(_CLIENTS) as clients:
            return sum(status != "succeeded" for status in clients.map(lambda _: self._status(dag), range(count)))

    def large(self, steps: int, *, chain: bool) -> None:
        self._succeed(self._api.large_dag(steps, chain=chain))

    def _succeed(self, dag: str) -> None:
        assert (status := self._status(dag)) == "succeeded", status

    def _status(self, dag: str) -> str:
        """Run a DAG and return the status with which the run ended."""
        status, answer = self._api.ask("POST", f"/dags/{dag}/start?wait={_WAIT_S}s", {})
        assert status == 200, (status, answer)
        assert answer["finished"], answer
        return str(answer["dagRunDetails"]["statusLabel"])


class FloorClient:
    """A client of the floor, which replies when a run has ended: nothing has to be polled."""

    def __init__(self, floor: Floor | FloorApi) -> None:
        self.floor = floor

    def one(self) -> None:
        self.floor.run(1, chain=True)

    def many(self, count: int) -> int:
        with ThreadPoolExecutor(_CLIENTS) as clients:
            list(clients.map(lambda _: self.one(), range(count)))
        return 0

    def large(self, steps: int, *, chain: bool) -> None:
        self.floor.run(steps, chain=chain)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(
    contender: Contender, sizes: Sizes, between: Callable[[str], None] = lambda _done: None
) -> dict[str, float]:
    """Run the workloads and return the figures; ``between`` is called with the name of each before and after it.

    ``w1`` and ``details`` are medians in milliseconds, with ``p99``; ``w2`` is in runs and ``w3`` in steps a second;
    ``w4`` in milliseconds a step.
    """
    found: dict[str, float] = {}
    for _ in range(3):
        contender.one()
    contender.large(sizes.wide, chain=False)
    contender.large(sizes.chain, chain=True)
    between("w1")
    took = sorted(_seconds(contender.one) * 1000 for _ in range(sizes.single))
    between("w1")
    found["w1"], found["w1 p99"] = median(took), took[int(len(took) * 0.99)]
    between("w2")
    began = time.perf_counter()
    found["w2 failed"] = contender.many(sizes.many)
    found["w2"] = sizes.many / (time.perf_counter() - began)
    between("w2")
    between("w3")
    found["w3"] = sizes.wide / _seconds(lambda: contender.large(sizes.wide, chain=False))
    between("w3")
    between("w4")
    found["w4"] = _seconds(lambda: contender.large(sizes.chain, chain=True)) / sizes.chain * 1000
    between("w4")
    if isinstance(contender, ApiClient):
        took = sorted(_seconds(lambda: contender.details(sizes.chain)) * 1000 for _ in range(_READS))
        found["details"], found["details p99"] = median(took), took[int(len(took) * 0.99)]
    return found
