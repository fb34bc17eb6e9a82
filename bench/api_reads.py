"""``python -m bench.api_reads``: how long reads take with a long history in Postgres, and what the gateway can carry.

200,000 runs of 5,000 dags. p99 of lists and details at 50 requests/s; the plan of each query; then
requests/s at 16 connections, and what one takes of the processor, beside a bare Flask route that does
one indexed SELECT under the same server settings (``bench.bare``) and, for a recorded start, a bare hop
that is as recorded and as durable (``bench.bare_hop``).
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import urllib3
from sqlalchemy import create_engine, event, text

from bench.bare_hop import bare_hop
from bench.http_load import Measured, flat_out, paced
from bench.processor import cpu_s
from bench.rig import running
from shared.store.engine import open_engine
from shared.store.migrate import migrate
from shared.store.reads import Reads
from tests.harness.eventually import eventually, free_port
from tests.harness.procs import DagwayProcess
from tests.harness.servers import PostgresServer, RabbitServer

_RUNS, _DAGS, _RATE, _CONNECTIONS, _THREADS = 200_000, 5_000, 50, 16, 40
_NOW = int(time.time())
_READS: dict[str, list[str]] = {
    "list of runs (1000)": ["/dag-runs"],
    "the same by cursor (limit=1000)": ["/dag-runs?cursor=&limit=1000"],
    "page of runs (100)": ["/dag-runs?cursor="],
    "runs by status (1000)": ["/dag-runs?status=2"],
    "runs by a status nobody has": ["/dag-runs?status=3"],
    "runs by name, 1000 names": [f"/dag-runs?name=dag-{n}" for n in range(1000)],
    "runs of one dag": ["/dag-runs/dag-7"],
    "runs between dates, 1000 of 40,000": [
        f"/dag-runs?fromDate={_NOW - n * 1000 - 1000}&toDate={_NOW - n * 1000}" for n in range(40)
    ],
    "details, 1000 runs": [f"/dag-runs/dag-{1 + n}/id-{n}" for n in range(1, 1001)],
    "page of dags (50)": ["/dags?page=3"],
    "page of dags (200), descending": ["/dags?perPage=200&order=desc"],
    "dags by next run": ["/dags?sort=nextRun"],
    "dags by tag": ["/dags?tag=t7"],
    "dags by part of a name": ["/dags?name=AG-12"],
    "dag details": ["/dags/dag-8"],
    "history of a dag": ["/dags/dag-8/dag-runs"],
    "queues": ["/queues"],
}

_FILL = [
    "INSERT INTO specs VALUES (:hash, :yaml, now())",
    """INSERT INTO dags (file_name, dag_name, spec_hash, version, summary, tags, errors, judged_by, created_at,
         updated_at)
       SELECT 'dag-' || n, 'dag-' || n, :hash, 1, json_build_object('name', 'dag-' || n),
         json_build_array('t' || n % 20), '[]', :version, now(), now()
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


def _fill(url: str) -> None:
    spec = "steps:\n  - name: s0\n    command: echo hi\n  - name: s1\n    command: echo hi\n"
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    for statement in _FILL:
        values = {"hash": "0" * 64, "yaml": spec, "version": version("dagway"), "dags": _DAGS, "runs": _RUNS}
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


def _say(what: str, found: Measured, more: str) -> None:
    print(f"  {what:34} p50 {found.p50_ms:7.1f} ms  p99 {found.p99_ms:7.1f} ms  worst {found.worst_ms:7.1f} ms{more}")


@dataclass(frozen=True, slots=True)
class _Flat:
    """``cpu_ms``: of the server's processes, for one request; the database's is not in it."""

    rate: float
    cpu_ms: float


def _latency(what: str, seconds: float, pid: int, port: int, paths: Sequence[str]) -> None:
    began_s = cpu_s(pid)
    found = paced(port, [f"/api/v2{path}" for path in paths], rate=_RATE, seconds=seconds)
    cpu_ms = (cpu_s(pid) - began_s) * 1000 / (found.rate * seconds)
    _say(what, found, f"  {cpu_ms:6.2f} ms of a processor each")


def _throughput(what: str, seconds: float, pid: int, port: int, request: str) -> _Flat:
    method, path = request.split()
    began_s = cpu_s(pid)
    found = flat_out(port, method, path, connections=_CONNECTIONS, seconds=seconds)
    cpu_ms = (cpu_s(pid) - began_s) * 1000 / (found.rate * seconds)
    _say(what, found, f"  {found.rate:6.0f} requests/s, {cpu_ms:.2f} ms of a processor each ({found.by})")
    return _Flat(found.rate, cpu_ms)


def _recorded(what: str, seconds: float, port: int, request: str, pids: dict[str, int]) -> _Flat:
    """Measure what is answered once it is in Postgres; ``pids``: all who take part, the one who answers first."""
    _throughput(f"({what}: warming up)", 1, next(iter(pids.values())), port, request)
    began_s = {name: cpu_s(pid) for name, pid in pids.items()}
    found = _throughput(what, seconds, next(iter(pids.values())), port, request)
    took = {name: (cpu_s(pids[name]) - since) * 1000 / seconds / found.rate for name, since in began_s.items()}
    each = ", ".join(f"{name} {took_ms:.2f}" for name, took_ms in took.items())
    print(f"    ms of a processor each: {each}; {sum(took.values()):.2f} in all")
    return found


def _answers(http: urllib3.PoolManager, method: str, url: str) -> bool:
    try:
        return http.request(method, url).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="how long each question is asked")
    seconds = parser.parse_args().seconds
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dagway-bench-")))
        home.chmod(0o755)
        rabbit = stack.enter_context(RabbitServer())
        postgres = stack.enter_context(PostgresServer(fsync=True))
        url = postgres.create_database()
        migrate(url)
        _fill(url)
        print("plans")
        _explain(url)
        port, bare_port, hop_port = free_port(), free_port(), free_port()
        env = {
            "DAGWAY_AMQP_URL": rabbit.url,
            "DAGWAY_LOG_LEVEL": "warning",
            "DAGWAY_DATABASE_URL": url,
            "DAGWAY_API_THREADS": str(_THREADS),
        }
        scheduler = stack.enter_context(DagwayProcess("scheduler", folder=home / "s", env=env))
        gateway = stack.enter_context(DagwayProcess("api", folder=home / "g", env=env | {"DAGWAY_PORT": str(port)}))
        gateway.wait_ready(f"http://127.0.0.1:{port}/api/v2/health", timeout_s=60)
        http = urllib3.PoolManager(retries=False)
        schedulers = f"http://127.0.0.1:{port}/api/v2/services/scheduler"
        eventually(lambda: bool(http.request("GET", schedulers).json()["schedulers"]), timeout_s=60)
        print(f"{_RATE} requests/s for {seconds:g} s each, {_RUNS} runs, {_DAGS} dags, load {os.getloadavg()[0]:.1f}")
        for what, paths in _READS.items():
            _latency(what, seconds, gateway.pid, port, paths)
        print(f"{_CONNECTIONS} connections")
        bare_pid = stack.enter_context(running("bench.bare", str(bare_port), url, str(_THREADS)))
        bare_url = f"http://127.0.0.1:{bare_port}/run/dag-8/id-7"
        eventually(lambda: _answers(http, "GET", bare_url), timeout_s=20)
        flat_out(bare_port, "GET", "/run/dag-8/id-7", connections=_CONNECTIONS, seconds=1)  # opens its connections
        bare = _throughput("bare Flask, one SELECT", seconds, bare_pid, bare_port, "GET /run/dag-8/id-7")
        details = _throughput("GET run details", seconds, gateway.pid, port, "GET /api/v2/dag-runs/dag-8/id-7")
        # Created by the API: a filled row is enough for reads only. It is started once before, unmeasured.
        api = f"http://127.0.0.1:{port}/api/v2"
        body = {"name": "started", "spec": "steps:\n  - name: one\n    command: echo hi\n"}
        answers = [http.request("POST", f"{api}/dags", json=body), http.request("POST", f"{api}/dags/started/start")]
        print(f"  (create and first start: {[each.status for each in answers]} {answers[-1].data.decode()})")
        servers = {"broker": rabbit.pid, "database": postgres.pid}
        with bare_hop(rabbit.url, url, hop_port, _THREADS) as pids:
            eventually(lambda: _answers(http, "POST", f"http://127.0.0.1:{hop_port}/run/started"), timeout_s=20)
            hop = _recorded("bare recorded hop", seconds, hop_port, "POST /run/started", pids | servers)
        pids = {"gateway": gateway.pid, "scheduler": scheduler.pid}
        start = _recorded("POST start, recorded", seconds, port, "POST /api/v2/dags/started/start", pids | servers)
        by_rate, by_cpu = details.rate / bare.rate, bare.cpu_ms / details.cpu_ms
        print(f"  GET run details: {by_rate:.0%} of the bare route's rate; by processor time it could be {by_cpu:.0%}")
        print(f"  bare recorded hop: {hop.rate / bare.rate:.0%} of the bare route's rate")
        by_route, by_hop = start.rate / bare.rate, start.rate / hop.rate
        print(f"  POST start: {by_route:.0%} of the bare route's rate; {by_hop:.0%} of the bare recorded hop's")


if __name__ == "__main__":
    main()
