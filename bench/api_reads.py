"""``python -m bench.api_reads``: how long reads take with a long history in Postgres, and what the gateway can carry.

200,000 runs of 5,000 dags. p99 of lists and details at 50 requests/s; the plan of each query; then
requests/s at 16 connections beside a bare Flask route that does one indexed SELECT under the same
server settings.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import urllib3
from sqlalchemy import create_engine, event, text

from shared.store.engine import open_engine
from shared.store.migrate import migrate
from shared.store.reads import Reads
from tests.harness.eventually import eventually, free_port
from tests.harness.procs import DagwayProcess
from tests.harness.servers import PostgresServer, RabbitServer

_RUNS, _DAGS, _RATE, _SECONDS, _CONNECTIONS = 200_000, 5_000, 50, 10, 16

_FILL = [
    "INSERT INTO specs VALUES (:hash, :yaml, now())",
    """INSERT INTO dags (file_name, dag_name, spec_hash, version, summary, tags, errors, created_at, updated_at)
       SELECT 'dag-' || n, 'dag-' || n, :hash, 1, '{}', json_build_array('t' || n % 20), '[]', now(), now()
       FROM generate_series(1, :dags) n""",
    """INSERT INTO dag_runs (run_key, dag_name, dag_run_id, file_name, spec_hash, status, version, last_seq,
         run_attempt, queue, given, params, env, created_at, started_at, finished_at)
       SELECT 'run-' || n, 'dag-' || 1 + n % :dags, 'id-' || n, 'dag-' || 1 + n % :dags, :hash,
         (ARRAY['succeeded', 'succeeded', 'succeeded', 'failed'])[1 + n % 4], 5, 4, 1, 'dag-' || 1 + n % :dags, '',
         '[]', '[]', now() - (:runs - n) * interval '1 second', now(), now()
       FROM generate_series(1, :runs) n""",
    """INSERT INTO nodes (run_key, idx, kind, name, status, number, retry_count, done_count, error, stdout, stderr,
         outputs, started_at, finished_at)
       SELECT 'run-' || n, i, 'step', 's' || i, 'succeeded', 1, 0, 1, '', '', '', '{}', now(), now()
       FROM generate_series(1, :runs) n, generate_series(0, 1) i""",
    "ANALYZE",
]
_BARE = """
    import sys
    import psycopg2.pool
    from flask import Flask, jsonify
    from services.api.server import run_gunicorn

    def make():
        app = Flask("bare")
        pool = psycopg2.pool.ThreadedConnectionPool(1, 20, sys.argv[2])

        @app.get("/run/<name>/<run_id>")
        def run(name, run_id):
            connection = pool.getconn()
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT * FROM dag_runs WHERE dag_name = %s AND dag_run_id = %s", (name, run_id))
                row = cursor.fetchone()
            pool.putconn(connection)
            return jsonify({"row": [str(value) for value in row]})

        return app

    run_gunicorn(make, "127.0.0.1", int(sys.argv[1]), threads=16)
"""


def _fill(url: str) -> None:
    spec = "steps:\n  - name: s0\n    command: echo hi\n  - name: s1\n    command: echo hi\n"
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    for statement in _FILL:
        values = {"hash": "0" * 64, "yaml": spec, "dags": _DAGS, "runs": _RUNS}
        with engine.begin() as connection:
            connection.execute(
                text(statement), {name: value for name, value in values.items() if f":{name}" in statement}
            )
    engine.dispose()


def _explain(url: str) -> None:
    """Print the plan of every statement that the reads send."""
    engine = open_engine(url, read_only=True)
    seen: list[tuple[str, object]] = []
    event.listen(
        engine, "before_cursor_execute", lambda _c, _cur, statement, values, *_: seen.append((statement, values))
    )
    reads = Reads(engine)
    questions: dict[str, Callable[[], object]] = {
        "list of runs": reads.runs,
        "list of one dag's runs": lambda: reads.runs(dag_name="dag-7"),
        "page of runs": lambda: reads.runs(limit=101),
        "details": lambda: reads.run("dag-8", "id-7"),
        "latest": lambda: reads.run("dag-8", "latest"),
        "page of dags": lambda: reads.dag_page(page=3),
        "their newest runs": lambda: reads.latest_runs(f"dag-{n}" for n in range(50)),
        "history of a dag": lambda: reads.recent_runs("dag-8"),
        "newest place": reads.newest_place,
    }
    for name, ask in questions.items():
        seen.clear()
        ask()
        sent, seen[:] = tuple(seen), []
        for statement, values in sent:
            with engine.connect() as connection:
                plan = [row[0] for row in connection.exec_driver_sql(f"EXPLAIN ANALYZE {statement}", values)]  # type: ignore[arg-type]
            scans = [line.strip().split("  (")[0].lstrip("-> ") for line in plan if "Scan" in line]
            print(f"  {name}: {', '.join(scans)}; {plan[-1].strip()}")
    engine.dispose()


def _paced(url: str) -> list[float]:
    """Ask ``_RATE`` times a second for a while, from as many threads as that takes; return milliseconds."""
    http = urllib3.PoolManager(maxsize=32, retries=False, timeout=30)
    took: list[float] = []

    def one() -> None:
        began = time.perf_counter()
        assert http.request("GET", url).status == 200, url
        took.append((time.perf_counter() - began) * 1000)

    threads = []
    begin = time.perf_counter()
    for number in range(_RATE * _SECONDS):
        time.sleep(max(0.0, begin + number / _RATE - time.perf_counter()))
        threads.append(threading.Thread(target=one))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return sorted(took)


_LOAD = """
    import json, sys, threading, time, urllib3
    method, url, connections, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    took = []
    def load():
        http = urllib3.HTTPConnectionPool(*sys.argv[5:7], maxsize=1, retries=False, timeout=30)
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends:
            began = time.perf_counter()
            assert http.request(method, url).status == 200
            took.append((time.perf_counter() - began) * 1000)
    threads = [threading.Thread(target=load) for _ in range(connections)]
    [each.start() for each in threads]
    [each.join() for each in threads]
    print(json.dumps(sorted(took)))
"""


def _full(method: str, port: int, path: str) -> list[float]:
    """Ask from a process of its own, as fast as answers come; return milliseconds."""
    argv = [
        sys.executable,
        "-c",
        textwrap.dedent(_LOAD),
        method,
        path,
        str(_CONNECTIONS),
        str(_SECONDS),
        "127.0.0.1",
        str(port),
    ]
    found: list[float] = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
    return found


def _say(what: str, took: list[float], rate: bool = False) -> None:
    p50, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
    print(
        f"  {what:34} p50 {p50:7.1f} ms  p99 {p99:7.1f} ms"
        + (f"  {len(took) / _SECONDS:8.0f} requests/s" if rate else "")
    )


@contextmanager
def _running(*argv: str) -> Iterator[None]:
    process = subprocess.Popen(argv)
    try:
        yield
    finally:
        process.terminate()
        process.wait(15)


def main() -> None:
    """Run all of it."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dagway-bench-")))
        home.chmod(0o755)
        rabbit = stack.enter_context(RabbitServer())
        url = stack.enter_context(PostgresServer(fsync=True)).create_database()
        migrate(url)
        _fill(url)
        print("plans")
        _explain(url)
        port, bare_port = free_port(), free_port()
        env = {"DAGWAY_AMQP_URL": rabbit.url, "DAGWAY_LOG_LEVEL": "warning", "DAGWAY_DATABASE_URL": url}
        stack.enter_context(DagwayProcess("scheduler", folder=home / "s", env=env))
        gateway = stack.enter_context(DagwayProcess("api", folder=home / "g", env=env | {"DAGWAY_PORT": str(port)}))
        gateway.wait_ready(f"http://127.0.0.1:{port}/api/v2/health", timeout_s=30)
        api = f"http://127.0.0.1:{port}/api/v2"
        print(f"{_RATE} requests/s, {_RUNS} runs, {_DAGS} dags")
        for what, path in {
            "list of runs (1000)": "/dag-runs",
            "page of runs (100)": "/dag-runs?cursor=",
            "list of one dag's runs": "/dag-runs/dag-7",
            "details": "/dag-runs/dag-8/id-7",
            "page of dags (50)": "/dags?page=3",
            "dag details": "/dags/dag-8",
            "history of a dag": "/dags/dag-8/dag-runs",
        }.items():
            _say(what, _paced(api + path))
        print(f"{_CONNECTIONS} connections")
        stack.enter_context(_running(sys.executable, "-c", textwrap.dedent(_BARE), str(bare_port), url))
        http = urllib3.PoolManager(retries=False)

        def bare_answers() -> bool:
            try:
                return http.request("GET", f"http://127.0.0.1:{bare_port}/run/dag-8/id-7").status == 200
            except urllib3.exceptions.HTTPError:
                return False

        eventually(bare_answers, timeout_s=20)
        _say("bare Flask, one indexed SELECT", _full("GET", bare_port, "/run/dag-8/id-7"), rate=True)
        _say("GET run details", _full("GET", port, "/api/v2/dag-runs/dag-8/id-7"), rate=True)
        _say("POST start, recorded", _full("POST", port, "/api/v2/dags/dag-9/start"), rate=True)


if __name__ == "__main__":
    main()
