"""RabbitMQ and Postgres are stopped or killed in the middle of a run."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import urllib3

from shared.store import tables as t
from tests.faults.conftest import LEASE_S, attempts
from tests.harness.client import ask_probe
from tests.harness.cluster import Cluster, descendants, gone, pid_in
from tests.harness.eventually import eventually
from tests.harness.invariants import violations

_PROBE_S = 4
"""The timeout of readiness probes in ``deploy/k8s``."""
_MORE_THAN_AT_ONCE = 20
"""More requests than the 16 that a gateway answers at the same time."""
WAITING = """
steps:
  - name: wait
    script: |
      echo $$ > {folder}/pid
      until test -e {folder}/go; do sleep 0.05; done
      echo waited
    output: WAITED
  - name: after
    command: echo "${{WAITED}}, then went on"
    output: SAID
"""
ONCE_EACH = [("wait", 1, "finished", "succeeded"), ("after", 1, "finished", "succeeded")]


def begin(cluster: Cluster, dag: str, folder: Path) -> int:
    """Start a run whose step waits for the file ``go``; return the process id of the step."""
    cluster.client.create(dag, WAITING.format(folder=folder))
    cluster.client.start(dag)
    pid = pid_in(folder / "pid")
    cluster.client.until_step("running", dag, "r1", "wait")
    # A report of an earlier test may be recorded without its confirm: its worker then sends it again.
    eventually(lambda: spooled(cluster) == [])
    return pid


def went_on(cluster: Cluster, dag: str) -> None:
    """Assert that the run succeeded, with one attempt per step."""
    cluster.client.until("succeeded", dag)
    assert attempts(cluster, dag) == ONCE_EACH
    assert cluster.client.outputs(dag) == {"waited": "waited", "said": "waited, then went on"}
    assert cluster.client.text(dag, "r1", "wait") == "waited"
    eventually(lambda: cluster.rows(t.outbox) == [])
    assert violations(cluster.engine) == []


def spooled(cluster: Cluster) -> list[str]:
    """Return the names of the reports that wait at the workers for the broker."""
    return sorted(path.name for path in cluster.folder.glob("*/worker/spool/*"))


def await_spooled(cluster: Cluster) -> None:
    """Wait until one report is spooled; on failure tell what the workers do instead."""
    try:
        eventually(lambda: len(spooled(cluster)) == 1)
    except AssertionError as failure:
        doing = "\n".join(worker.abort() for worker in cluster.workers)
        raise AssertionError(f"spooled: {spooled(cluster)}, workers:\n{doing}") from failure


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_step_outlasts_the_broker_and_its_report_is_delivered(cluster: Cluster, tmp_path: Path, end: str) -> None:
    dag = f"broker-{end}"
    pid = begin(cluster, dag, tmp_path)

    getattr(cluster.rabbit, end)()
    assert not gone(pid)
    (tmp_path / "go").touch()
    eventually(lambda: gone(pid))
    await_spooled(cluster)
    cluster.rabbit.start()

    went_on(cluster, dag)
    eventually(lambda: spooled(cluster) == [])
    assert [process.running for process in cluster.processes] == [True] * 5


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_step_that_is_still_running_when_the_broker_comes_back_is_not_lost(
    cluster: Cluster, tmp_path: Path, end: str
) -> None:
    dag = f"back-{end}"
    begin(cluster, dag, tmp_path)

    getattr(cluster.rabbit, end)()
    cluster.rabbit.start()
    for process in cluster.processes:
        cluster.ready(process)
    # Long enough for whoever judges without having heard to do so.
    cluster.client.create(f"{dag}-pause", f"steps:\n  - sleep {2 * LEASE_S:g}\n")
    cluster.client.start(f"{dag}-pause")
    cluster.client.until("succeeded", f"{dag}-pause")
    (tmp_path / "go").touch()

    went_on(cluster, dag)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_step_outlasts_the_database(cluster: Cluster, tmp_path: Path, end: str) -> None:
    dag = f"database-{end}"
    pid = begin(cluster, dag, tmp_path)

    getattr(cluster.postgres, end)()
    assert not gone(pid)
    answer = cluster.client.once("GET", f"/dag-runs/{dag}/r1")
    assert (answer.status, answer.code) == (503, "service_unavailable")
    (tmp_path / "go").touch()
    eventually(lambda: gone(pid))
    cluster.postgres.start()

    went_on(cluster, dag)
    assert [process.running for process in cluster.processes] == [True] * 5


@pytest.mark.parametrize("server", ["rabbit", "postgres"])
def test_what_was_accepted_before_a_crash_of_a_server_is_carried_out_once(cluster: Cluster, server: str) -> None:
    client = cluster.client
    dag = f"accepted-{server}"
    client.create(dag, "steps:\n  - name: wait\n    command: echo 1\n  - name: after\n    command: echo 2\n")
    # The bodies are the same, so each may be sent again with its key until somebody says yes.
    crash: Callable[[], None] = getattr(cluster, server).kill
    for number in range(20):
        if number == 10:
            crash()
            getattr(cluster, server).start()
        body = {"dagRunId": f"n{number}"}
        answer = client.insist("POST", f"/dags/{dag}/start", body, key=f"{dag}-{number}")
        assert answer.status in {200, 202}, answer

    def recorded() -> bool:
        return len(cluster.rows(t.dag_runs, dag_name=dag)) == 20

    eventually(recorded)
    for number in range(20):
        client.until("succeeded", dag, f"n{number}")
    eventually(lambda: cluster.rows(t.outbox) == [])
    assert violations(cluster.engine, commands=[f"{dag}-{number}" for number in range(20)]) == []


def test_a_database_that_hangs_is_noticed_and_nothing_is_lost(cluster: Cluster, tmp_path: Path) -> None:
    pid = begin(cluster, "database-hangs", tmp_path)
    ports = [each.env["DAGWAY_METRICS_PORT"] for each in cluster.schedulers]
    urls, ready = ([f"http://127.0.0.1:{port}/{path}" for port in ports] for path in ("metrics", "readyz"))

    def hangs() -> list[int]:
        return [each.output().count("database.hangs") for each in cluster.schedulers]

    earlier = hangs()

    def say(line: str) -> bool:
        return all(line in ask_probe(url)[1] for url in urls)

    eventually(lambda: say("dagway_database_up 1.0"))
    with frozen(cluster.postgres.pid):
        eventually(lambda: say("dagway_database_up 0.0"))
        (tmp_path / "go").touch()
        eventually(lambda: gone(pid))
        eventually(lambda: all(now > before for now, before in zip(hangs(), earlier, strict=True)))
        eventually(lambda: {ask_probe(url)[0] for url in ready} == {503})

    eventually(lambda: say("dagway_database_up 1.0"))
    eventually(lambda: {ask_probe(url)[0] for url in ready} == {200})
    went_on(cluster, "database-hangs")
    assert [process.running for process in cluster.processes] == [True] * 5


def test_readiness_probes_are_answered_in_time_while_the_database_hangs(cluster: Cluster) -> None:
    admin = [each.env["DAGWAY_METRICS_PORT"] for each in cluster.schedulers]
    urls = [f"http://127.0.0.1:{port}/readyz" for port in (*cluster.ports, *admin)]
    reads = f"{cluster.client.base}/dags"

    def are_ready() -> bool:
        return {ask_probe(url)[0] for url in urls} == {200}

    def answered_in_time() -> None:
        eventually(are_ready)
        with ThreadPoolExecutor(_MORE_THAN_AT_ONCE) as users, frozen(cluster.postgres.pid):
            for _ in range(_MORE_THAN_AT_ONCE):
                users.submit(urllib3.request, "GET", reads, retries=False, timeout=60)
            for url in urls:
                try:
                    answer = urllib3.request("GET", url, retries=False, timeout=_PROBE_S)
                except urllib3.exceptions.TimeoutError as error:
                    raise AssertionError(str(error)) from error
                assert answer.status == 503, url
                assert b"the database does not answer" in answer.data, answer.data

    # A machine that stands still makes one probe late, but not some of each try.
    eventually(answered_in_time)
    eventually(are_ready)


@contextmanager
def frozen(server: int) -> Iterator[None]:
    """Stop a server and all its children: it keeps its connections, and answers nothing."""
    pids = [server]
    try:
        os.kill(server, signal.SIGSTOP)
        pids += descendants(server)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in reversed(pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
