"""``python -m bench.floor.bare_read PORT URL THREADS [green]``: a minimal server to compare the gateway with.

A Flask route under gunicorn does one indexed SELECT of a whole row, through a SQLAlchemy engine with the gateway's
settings. The server runs on threads or, with ``green``, on greenlets like the gateway.
"""

import sys

from services.api.serving.greenlets import become_green

if "green" in sys.argv:
    become_green()

from flask import Flask, Response, jsonify
from sqlalchemy import bindparam, select

from services.api.serving.gunicorn_server import run_gunicorn
from shared.store import tables as t
from shared.store.engine import one_statement, open_engine

_run = t.dag_runs.c
_BY_NAME = select(t.dag_runs).where(
    _run.dag_name == bindparam("dag_name"), _run.dag_run_id == bindparam("dag_run_id"), _run.root_key.is_(None)
)


def make(url: str, threads: int) -> Flask:
    """Return the Flask application."""
    app = Flask("bare")
    engine = open_engine(url, pool_size=threads, read_only=True)

    @app.get("/run/<name>/<run_id>")
    def run(name: str, run_id: str) -> Response:
        with one_statement(engine) as connection:
            row = connection.execute(_BY_NAME, {"dag_name": name, "dag_run_id": run_id}).one()
        return jsonify({"row": [str(value) for value in row]})

    return app


if __name__ == "__main__":
    port, url, threads = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    run_gunicorn(lambda: make(url, threads), "127.0.0.1", port, threads=threads)
