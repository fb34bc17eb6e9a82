"""The floor behind an API: what a route of the gateway's server adds to the thinnest engine.

A Flask route on the gateway's server, on greenlets, hands each request to the floor and answers when its run has
ended. It checks no caller, reads no database and knows no DAGs: a request names the number of steps.

``python -m bench.floor_api AMQP_URL PORT THREADS`` runs the route.
"""

import json
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from services.api.serving.greenlets import become_green

if __name__ == "__main__":
    become_green()

import urllib3
from flask import Flask, Response, jsonify, request

from bench.bare_hop import Requester
from bench.floor import STARTS, floor
from bench.peers.client import wait_ready
from bench.rig import Servers, running
from services.api.serving.gunicorn_server import run_gunicorn
from tests.harness.eventually import free_port

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

__all__ = ["FloorApiClient", "floor_api"]

_CLIENTS = 8
_TIMEOUT_S = 120
_THREADS = "16"


class FloorApiClient:
    """A client of the route at ``url``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = urllib3.PoolManager(maxsize=_CLIENTS, retries=False, timeout=_TIMEOUT_S)

    def one(self) -> None:
        self.large(1, chain=True)

    def many(self, count: int) -> int:
        with ThreadPoolExecutor(_CLIENTS) as clients:
            list(clients.map(lambda _: self.one(), range(count)))
        return 0

    def large(self, steps: int, *, chain: bool) -> None:
        answer: BaseHTTPResponse = self._http.request("POST", self._url, json={"steps": steps, "chain": chain})
        assert answer.status == 200, answer.data


@contextmanager
def floor_api(
    servers: Servers, amqp_url: str, workers: int, *, thorough: bool = False
) -> Iterator[tuple[FloorApiClient, dict[str, list[int]]]]:
    """Run the floor, or the thorough one, with the route before it; yield a client, and the process ids by kind."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (
        floor(servers, amqp_url, workers, thorough=thorough) as started,
        running(__name__, amqp_url, str(port), _THREADS) as route,
    ):
        wait_ready(f"{url}/ready")
        yield FloorApiClient(f"{url}/runs"), {**started.pids, "route": [route]}


def _make(amqp_url: str) -> Flask:
    app, asker = Flask("floor_api"), Requester(amqp_url, STARTS)

    @app.get("/ready")
    def ready() -> Response:
        return jsonify({})

    @app.post("/runs")
    def run() -> Response:
        run_id = str(uuid.uuid4())
        asker.ask(run_id, json.dumps(request.get_json()).encode())
        return jsonify({"run_id": run_id})

    return app


if __name__ == "__main__":
    run_gunicorn(partial(_make, sys.argv[1]), "127.0.0.1", int(sys.argv[2]), threads=int(sys.argv[3]))
