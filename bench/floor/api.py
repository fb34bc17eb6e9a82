"""The floor behind an API: what a route of the gateway's server adds to the thinnest engine.

A Flask route on the gateway's server, on greenlets, hands each request to the floor and answers when its run has
ended. It checks no caller and knows no DAGs: a request names the number of steps. Only with ``Promises.ALL`` it reads
the database.

``python -m bench.floor.api AMQP_URL PORT THREADS DATABASE_URL PROMISES`` runs the route.
"""

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from queue import LifoQueue
from typing import TYPE_CHECKING, Any

from services.api.serving.greenlets import become_green

if __name__ == "__main__":
    become_green()

import psycopg2
import urllib3
from flask import Flask, Response, jsonify, request

from bench.floor.bare_command import Requester
from bench.floor.decisions import DETAILS, Promises
from bench.floor.engine import SLOTS, STARTS, floor, pack, unpack
from bench.systems.rig import Servers, running
from services.api.serving.gunicorn_server import run_gunicorn
from tests.harness.eventually import answers_200, eventually, free_port

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

__all__ = ["FloorApi", "floor_api"]

_MOST_CLIENTS = 64
_TIMEOUT_S = 120
_THREADS = "64"
_CONNECTIONS = 4


class FloorApi:
    """The route at ``url``, whose processes have these ids by kind."""

    def __init__(self, url: str, pids: dict[str, list[int]]) -> None:
        self.pids, self._url = pids, url
        self._http = urllib3.PoolManager(maxsize=_MOST_CLIENTS, retries=False, timeout=_TIMEOUT_S)

    def run(self, steps: int, *, chain: bool, lines: int = 0) -> None:
        """See ``Floor.run``."""
        start = {"steps": steps, "chain": chain, "lines": lines}
        answer: BaseHTTPResponse = self._http.request("POST", self._url, json=start)
        assert answer.status == 200, answer.data


@contextmanager
def floor_api(
    servers: Servers, amqp_url: str, workers: int, *, slots: int = SLOTS, promises: Promises = Promises.RUNS
) -> Iterator[FloorApi]:
    """Run the floor with the route before it. ``slots``, ``promises``: as of ``floor``."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with floor(servers, amqp_url, workers, slots=slots, promises=promises) as started:
        route_argv = (amqp_url, str(port), _THREADS, started.database_url, str(promises.value))
        with running(__name__, *route_argv) as route:
            eventually(lambda: answers_200(f"{url}/ready"))
            yield FloorApi(f"{url}/runs", {**started.pids, "route": [route]})


def _make(amqp_url: str, database_url: str, promises: Promises) -> Flask:
    app, asker = Flask("floor_api"), Requester(amqp_url, STARTS)
    idle: LifoQueue[Any] = LifoQueue()
    for _ in range(_CONNECTIONS if promises is Promises.ALL else 0):
        database = psycopg2.connect(database_url)
        database.autocommit = True
        idle.put(database)

    def details(run_id: str) -> str:
        database = idle.get()
        try:
            with database.cursor() as cursor:
                cursor.execute(DETAILS, (run_id,))
                return str(cursor.fetchone()[0])
        finally:
            idle.put(database)

    @app.get("/ready")
    def ready() -> Response:
        return jsonify({})

    @app.post("/runs")
    def run() -> Response:
        run_id = str(uuid.uuid4())
        unpack(asker.ask(run_id, pack(request.get_json(), promises)), promises)
        if promises is Promises.ALL:
            return Response(details(run_id), mimetype="application/json")
        return jsonify({"run_id": run_id})

    return app


if __name__ == "__main__":
    made = partial(_make, sys.argv[1], sys.argv[4], Promises(int(sys.argv[5])))
    run_gunicorn(made, "127.0.0.1", int(sys.argv[2]), threads=int(sys.argv[3]))
