"""Many clients that wait for the end of a run at once are all told it, and delay nobody else."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.harness.cluster import Cluster, Deployment, Embedded
from tests.harness.eventually import PATIENCE_S, eventually, free_port

HOLDS = "steps:\n  - name: hold\n    command: sleep 3600\n    lock: {lock}\n"
LOCKED = "steps:\n  - name: one\n    command: 'true'\n    lock: {lock}\n"
NAPS = "steps:\n  - name: nap\n    command: sleep 3600\n"


def post(url: str, body: dict[str, Any]) -> urllib3.BaseHTTPResponse:
    """Send a start on a connection of its own. Repeat it while no scheduler is fast enough, as on a busy machine."""
    timeout = urllib3.Timeout(connect=PATIENCE_S, read=3 * PATIENCE_S)
    with urllib3.PoolManager(
        retries=False, timeout=timeout, headers={"Idempotency-Key": url + body["dagRunId"]}
    ) as pool:

        def answered() -> urllib3.BaseHTTPResponse:
            answer = pool.request("POST", url, json=body)
            assert answer.status != 202, answer.data
            return answer

        return eventually(answered)


def wait_together(system: Deployment, clients: int) -> None:
    """Let so many clients wait for runs that a lock holds back, ask for something else, and let the runs end."""
    name = f"waits-{system.name}"
    holder = f"{name}-holder"
    system.client.create(holder, HOLDS.format(lock=name))
    system.client.create(name, LOCKED.format(lock=name))
    system.client.start(holder)
    eventually(lambda: system.client.run(holder)["nodes"][0]["statusLabel"] == "running")
    url = f"{system.client.base}/api/v2/dags/{name}/start-sync"

    def wait(number: int) -> urllib3.BaseHTTPResponse:
        return post(url, {"dagRunId": f"r{number}", "timeout": int(2 * PATIENCE_S)})

    def all_started() -> None:
        assert not [each.result().data for each in waiting if each.done()], "somebody does not wait"
        runs = system.client.ask("GET", f"/dag-runs?name={name}&status=1&limit={clients}").json["dagRuns"]
        assert len(runs) == clients

    with ThreadPoolExecutor(clients) as pool:
        waiting: list[Future[urllib3.BaseHTTPResponse]] = [pool.submit(wait, number) for number in range(clients)]
        try:
            eventually(all_started)
            assert system.client.once("GET", "/dags").status == 200
            assert system.client.once("POST", "/dags/validate", {"spec": NAPS}).status == 200
            assert not [each for each in waiting if each.done()]
        finally:
            system.client.insist("POST", f"/dag-runs/{holder}/r1/stop")
        answers = [each.result() for each in waiting]

    assert [answer.status for answer in answers] == [200] * clients
    assert {answer.json()["dagRun"]["statusLabel"] for answer in answers} == {"succeeded"}
    assert len({answer.json()["dagRun"]["dagRunId"] for answer in answers}) == clients


def test_a_hundred_requests_wait_at_a_gateway(cluster: Cluster) -> None:
    wait_together(cluster, 100)


@pytest.mark.parametrize("threads", ["1", "16"])
def test_forty_requests_wait_at_dagway_up(tmp_path: Path, threads: str) -> None:
    with Embedded(tmp_path, env={"DAGWAY_API_THREADS": threads}) as system:
        wait_together(system, 40)


def test_a_gateway_that_stops_answers_those_who_wait(cluster: Cluster) -> None:
    cluster.client.create("outlives", NAPS)
    port = free_port()
    base = f"http://127.0.0.1:{port}/api/v2/dags/outlives"
    with cluster.gateway(9, port) as other, ThreadPoolExecutor(2) as pool:
        cluster.ready(other)
        told = pool.submit(post, f"{base}/start?wait=60s", {"dagRunId": "r1"})
        synced = pool.submit(post, f"{base}/start-sync", {"dagRunId": "r2", "timeout": 3600})
        for run_id in ("r1", "r2"):
            cluster.client.until("running", "outlives", run_id)
        assert other.terminate() == 0
        first, second = told.result(), synced.result()

    for run_id in ("r1", "r2"):
        cluster.client.insist("POST", f"/dag-runs/outlives/{run_id}/stop")
    assert (first.status, first.json()["finished"]) == (200, False)
    assert first.json()["dagRunDetails"]["statusLabel"] == "running"
    assert (second.status, second.json()["dagRunId"]) == (408, "r2")
