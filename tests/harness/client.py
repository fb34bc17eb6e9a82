"""A small client of the REST API. It uses several gateways in turn, and the next one if one does not answer."""

import contextlib
import itertools
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import urllib3

from tests.harness.eventually import PATIENCE_S, eventually

__all__ = ["Answer", "Client", "ask_probe", "send_raw", "statuses"]

_TIMEOUT = urllib3.Timeout(connect=2, read=60)
_PASSING = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """The response of a gateway. ``json`` is ``None`` for an empty body."""

    status: int
    json: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The error code in the error envelope."""
        return str(self.json["code"])


class Client:
    """Sends requests to the gateways on these loopback ports in turn."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._turn = itertools.count()
        self._pool = urllib3.PoolManager(retries=False, timeout=_TIMEOUT, maxsize=32)

    def close(self) -> None:
        self._pool.clear()

    @property
    def base(self) -> str:
        """The URL of the first gateway, without a path."""
        return f"http://127.0.0.1:{self._ports[0]}"

    def once(self, method: str, path: str, body: Any = None, *, key: str = "", port: int = 0) -> Answer:
        """Send one request, to the gateway on ``port`` or the next gateway. Raises ``urllib3.exceptions.HTTPError``."""
        port = port or self._ports[next(self._turn) % len(self._ports)]
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if key:
            headers["Idempotency-Key"] = key
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self._pool.request(method, f"http://127.0.0.1:{port}/api/v2{path}", body=data, headers=headers)
        return Answer(answer.status, json.loads(answer.data) if answer.data else None, answer.headers)

    def ask(self, method: str, path: str, body: Any = None, *, key: str = "") -> Answer:
        """Send a request, to the next gateway if one does not answer.

        A write is repeated only with a ``key``, its Idempotency-Key.
        """
        for _ in self._ports[1:] if key or method == "GET" else ():
            try:
                return self.once(method, path, body, key=key)
            except urllib3.exceptions.HTTPError:
                continue
        return self.once(method, path, body, key=key)

    def insist(
        self, method: str, path: str, body: Any = None, *, key: str = "", timeout_s: float = PATIENCE_S
    ) -> Answer:
        """Repeat the request until a gateway answers, and not with a status that means "try again later"."""

        def answered() -> Answer:
            try:
                answer = self.ask(method, path, body, key=key)
            except urllib3.exceptions.HTTPError as error:
                raise AssertionError(str(error)) from error
            assert answer.status not in _PASSING, answer
            return answer

        return eventually(answered, timeout_s=timeout_s, every_s=0.1)

    def settle(self, method: str, path: str, body: Any = None, *, key: str) -> Answer:
        """Repeat a write until its outcome is known.

        The answer is 202 if no scheduler was fast enough, as on a busy machine: the same key asks for the outcome.
        """

        def settled() -> Answer:
            answer = self.insist(method, path, body, key=key)
            assert answer.status != 202, answer
            return answer

        return eventually(settled)

    # -- what users do ------------------------------------------------------------------------

    def create(self, name: str, spec: str) -> None:
        """Create a DAG; fails the test if it is refused."""
        answer = self.settle("POST", "/dags", {"name": name, "spec": spec}, key=f"create-{name}")
        assert answer.status == 201, answer

    def start(self, dag: str, run_id: str = "r1", *, key: str = "", **body: Any) -> str:
        """Start a run and return its id when the start is recorded; fails the test if it is refused."""
        answer = self.ask("POST", f"/dags/{dag}/start", {"dagRunId": run_id, **body}, key=key)
        if answer.status == 202:
            place = f"/commands/{answer.json['commandId']}"

            def decided() -> Answer:
                outcome = self.insist("GET", place)
                assert outcome.status == 200, outcome
                return outcome

            outcome = eventually(decided)
            assert outcome.json["outcome"] == "recorded", outcome
        else:
            assert answer.status == 200, answer
        return str(answer.json["dagRunId"])

    def run(self, dag: str, run_id: str = "r1") -> dict[str, Any]:
        """Return a run's details."""
        answer = self.insist("GET", f"/dag-runs/{dag}/{run_id}")
        assert answer.status == 200, answer
        details: dict[str, Any] = answer.json["dagRunDetails"]
        return details

    def steps(self, dag: str, run_id: str = "r1") -> dict[str, str]:
        """Return the status of each step of a run, and of each of its handlers."""
        return statuses(self.run(dag, run_id))

    def until(self, status: str, dag: str, run_id: str = "r1", *, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """Wait for a run's status and return its details; fails immediately if the run ends with another status."""
        seen: dict[str, Any] = {}

        def there() -> bool:
            seen.clear()
            seen.update(self.run(dag, run_id))
            return seen["statusLabel"] == status or seen["statusLabel"] not in _ACTIVE

        eventually(there, timeout_s=timeout_s, every_s=0.03)
        assert seen["statusLabel"] == status, (statuses(seen), [node.get("error") for node in seen["nodes"]])
        return seen

    def until_step(self, status: str, dag: str, run_id: str, step: str, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait until one step of a run has a status."""

        def there() -> None:
            assert self.steps(dag, run_id)[step] == status, self.steps(dag, run_id)

        eventually(there, timeout_s=timeout_s, every_s=0.03)

    def log(self, dag: str, run_id: str, step: str = "", query: str = "") -> dict[str, Any]:
        """Return the log of a step or, without ``step``, of the run."""
        path = f"/dag-runs/{dag}/{run_id}" + (f"/steps/{step}" if step else "") + f"/log{query}"
        answer = self.insist("GET", path)
        assert answer.status == 200, answer
        log: dict[str, Any] = answer.json
        return log

    def text(self, dag: str, run_id: str, step: str, query: str = "") -> str:
        """Return the text that a step wrote."""
        return str(self.log(dag, run_id, step, query)["content"])

    def outputs(self, dag: str, run_id: str = "r1") -> dict[str, str]:
        """Return the outputs of a run, by their camel-case keys."""
        answer = self.insist("GET", f"/dag-runs/{dag}/{run_id}/outputs")
        assert answer.status == 200, answer
        return dict(answer.json["outputs"])


_ACTIVE = frozenset({"not_started", "queued", "running", "waiting"})
_HANDLERS = ("onInit", "onSuccess", "onFailure", "onCancel", "onExit")


def statuses(details: Mapping[str, Any]) -> dict[str, str]:
    """Return ``{step or handler: status}`` of a run's details."""
    found = {node["step"]["name"]: node["statusLabel"] for node in details["nodes"]}
    return found | {name: details[name]["statusLabel"] for name in _HANDLERS if name in details}


def ask_probe(url: str) -> tuple[int, str]:
    """Return status and text of a GET. If the server does not answer, raise AssertionError, for ``eventually``."""
    try:
        answer = urllib3.request("GET", url, retries=False, timeout=30)
    except urllib3.exceptions.HTTPError as error:
        raise AssertionError(str(error)) from error
    return answer.status, answer.data.decode()


def send_raw(port: int, request: bytes) -> str:
    """Send bytes and return what the server sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        # A server that closes the connection without reading all that was sent resets it.
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                answer += piece
        return answer.decode("latin-1")
