"""The rights and secrets of each process, its orderly end, and its errors about bad settings."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest

from tests.harness.cluster import Cluster, Embedded, descendants, gone, pid_in, running
from tests.harness.eventually import eventually, free_port
from tests.harness.procs import DagwayProcess, clean_environment, refused
from tests.harness.servers import PostgresServer, RabbitServer

_STOPPED_S = 60.0
"""How long a service may take to end. Its steps have 25 s (DAGWAY_DRAIN_S), and the machine may be busy."""
SECRET_WORDS = ("postgres", "amqp", "DATABASE_URL", "guest")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO specs (hash, yaml, created_at) VALUES ('x', 'y', now())",
        "UPDATE dag_runs SET status = 'succeeded'",
        "DELETE FROM dags",
        "CREATE TABLE mine (x INTEGER)",
    ],
)
def test_the_gateways_database_user_cannot_write(cluster: Cluster, statement: str) -> None:
    connection = psycopg2.connect(cluster.gateways[0].env["DAGWAY_DATABASE_URL"])
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM dags")
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)
    finally:
        connection.close()


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment with which a process was started; empty if only root may read it, or if it has ended."""
    try:
        items = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    except (PermissionError, FileNotFoundError, ProcessLookupError):
        return {}
    return dict(item.split("=", 1) for item in items if item)


def test_no_process_of_a_worker_holds_the_databases_url(cluster: Cluster, tmp_path: Path) -> None:
    client = cluster.client
    client.create("spy", f"steps:\n  - name: spy\n    command: env; echo $$ > {tmp_path}/pid; exec sleep 600\n")
    client.start("spy")
    step = pid_in(tmp_path / "pid")
    (worker,) = cluster.workers
    family = set(descendants(worker.pid))
    assert step in family

    assert "DAGWAY_DATABASE_URL" not in environment_of(worker.pid)
    for pid in family:
        told = str(environment_of(pid))
        assert [word for word in SECRET_WORDS if word in told] == [], (pid, told)
    client.ask("POST", "/dag-runs/spy/r1/stop")
    client.until("aborted", "spy")
    assert [word for word in SECRET_WORDS if word in client.text("spy", "r1", "spy")] == []


def test_a_step_of_the_embedded_deployment_sees_no_setting_of_it(tmp_path: Path) -> None:
    with Embedded(tmp_path / "up") as system:
        system.client.create("spy", "steps:\n  - name: spy\n    command: env\n")
        system.client.start("spy")
        system.client.until("succeeded", "spy")
        names = {line.split("=", 1)[0] for line in system.client.text("spy", "r1", "spy").split("\n")}
    assert {name for name in names if name.startswith("DAGWAY_")} <= {"DAGWAY_ATTEMPT"}


def test_a_worker_refuses_to_hold_the_databases_url(tmp_path: Path) -> None:
    said = refused(tmp_path, "worker", DAGWAY_DATABASE_URL="postgresql://x", DAGWAY_AMQP_URL="amqp://127.0.0.1:1/")

    assert "DAGWAY_DATABASE_URL" in said


@pytest.mark.parametrize(
    ("args", "env", "words"),
    [
        (("up",), {"DAGWAY_PROT": "80"}, ["DAGWAY_PROT", "did you mean DAGWAY_PORT?"]),
        (("up",), {"DAGWAY_PORT": "many"}, ["DAGWAY_PORT", "'many'"]),
        (("up", "--port", "99999"), {}, ["--port", "99999"]),
        (("up",), {"DAGWAY_DAGS_DIR": "/no/such/folder"}, ["DAGWAY_DAGS_DIR", "/no/such/folder"]),
        (("up",), {"DAGWAY_LOG_LEVEL": "loud", "DAGWAY_LEASE_S": "0"}, ["DAGWAY_LOG_LEVEL", "DAGWAY_LEASE_S"]),
        (("api",), {}, ["DAGWAY_DATABASE_URL"]),
        (("scheduler",), {"DAGWAY_DATABASE_URL": "mysql://x/y", "DAGWAY_AMQP_URL": "amqp://127.0.0.1:1/"}, ["mysql"]),
        (("worker",), {}, ["DAGWAY_AMQP_URL"]),
        (("worker",), {"DAGWAY_AMQP_URL": "amqp://x", "DAGWAY_WORKER_LABELS": "gpu"}, ["DAGWAY_WORKER_LABELS", "gpu"]),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(
    tmp_path: Path, args: tuple[str, ...], env: dict[str, str], words: list[str]
) -> None:
    said = refused(tmp_path, *args, **env)

    assert [word for word in words if word not in said] == [], said


_COMMANDS = """
import sys
from services.cli import main
for command in ("up", "scheduler", "worker", "api"):
    sys.argv = ["dagway", command]
    try:
        main()
    except SystemExit as end:
        print(command, end.code, sorted(name for name in sys.modules if name.startswith("services.processes.")))
"""


def test_a_bad_setting_is_found_before_a_service_is_imported(tmp_path: Path) -> None:
    """Those imports take a second."""
    env = clean_environment(tmp_path, DAGWAY_PROT="80")

    done = subprocess.run([sys.executable, "-c", _COMMANDS], env=env, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == ["up 2 []", "scheduler 2 []", "worker 2 []", "api 2 []"]
    assert done.stderr.count("DAGWAY_PROT is not a setting") == 4


def test_the_variables_of_kubernetes_break_nothing(tmp_path: Path) -> None:
    injected = {
        "DAGWAY_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "DAGWAY_SERVICE_HOST": "10.0.0.1",
        "DAGWAY_API_SERVICE_HOST": "10.0.0.1",
        "DAGWAY_API_SERVICE_PORT": "8080",
        "DAGWAY_API_SERVICE_PORT_HTTP": "8080",
        "DAGWAY_API_PORT": "tcp://10.0.0.1:8080",
        "DAGWAY_API_PORT_8080_TCP_PROTO": "tcp",
        "DAGWAY_API_PORT_8080_TCP_ADDR": "10.0.0.1",
    }
    with Embedded(tmp_path / "up", env=injected) as system:
        assert system.client.once("GET", "/health").status == 200

    port = str(free_port())
    with DagwayProcess("up", "--port", port, folder=tmp_path / "two", env={"DAGWAY_PORT": "tcp://10.0.0.1:8080"}) as up:
        up.wait_ready(f"http://127.0.0.1:{port}/readyz")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_ends_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    with Embedded(tmp_path / "up") as system:
        system.client.create("busy", f"steps:\n  - command: echo $$ > {tmp_path}/pid; exec sleep 600\n")
        system.client.start("busy")
        pid_in(tmp_path / "pid")
        family = list(descendants(system.process.pid))

        os.kill(system.process.pid, number)

        assert system.process.wait_exit() == 0, system.process.output()
        assert [pid for pid in family if not gone(pid)] == []
        assert "Traceback" not in system.process.output()
        system.start()
        run = system.client.until("failed", "busy")
        assert [node["statusLabel"] for node in run["nodes"]] == ["failed"]


def all_gone(pids: list[int]) -> None:
    eventually(lambda: all(gone(pid) for pid in pids))


@pytest.mark.parametrize("kind", ["gateways", "schedulers", "workers"])
def test_every_service_ends_in_good_order_and_in_time(cluster: Cluster, kind: str) -> None:
    for process in getattr(cluster, kind):
        family, before = list(descendants(process.pid)), process.output()

        assert process.terminate(timeout_s=_STOPPED_S) == 0, process.output()

        all_gone(family)
        assert "Traceback" not in process.output().removeprefix(before)
    cluster.start()


def test_a_worker_that_is_told_to_end_lets_its_step_end_first(cluster: Cluster, tmp_path: Path) -> None:
    client = cluster.client
    client.create("drained", f"steps:\n  - command: echo $$ > {tmp_path}/pid; sleep 2; echo done\n  - echo after\n")
    client.start("drained")
    pid_in(tmp_path / "pid")
    (worker,) = cluster.workers

    assert worker.terminate(timeout_s=_STOPPED_S) == 0
    # The worker ends when the broker has its report, and a scheduler records it a moment later.
    client.until_step("succeeded", "drained", "r1", "cmd_1")
    cluster.start()

    client.until("succeeded", "drained")
    assert client.text("drained", "r1", "cmd_1") == "done"


def test_services_may_start_in_any_order(servers: tuple[RabbitServer, PostgresServer], tmp_path: Path) -> None:
    rabbit, postgres = running(*servers)
    system = Cluster(tmp_path / "any", rabbit, postgres)
    try:
        for process in reversed(system.processes):
            process.start()
        for process in system.processes:
            system.ready(process)
        system.client.create("one", "steps:\n  - echo 1\n")
        system.client.start("one")
        system.client.until("succeeded", "one")
    finally:
        system.close()
