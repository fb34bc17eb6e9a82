"""Rollouts: each service is stopped and started again while runs are in progress."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from shared.store import tables as t
from shared.transport.base import COMMANDS
from tests.faults.conftest import LEASE_S, attempts
from tests.harness.cluster import Cluster, gone, pid_in, running
from tests.harness.eventually import eventually, free_port
from tests.harness.procs import DagwayProcess
from tests.harness.servers import PostgresServer, RabbitServer

RUNS = 12
OUTLASTING = """
workerSelector: {{only: wide}}
steps:
  - name: long
    command: while [ ! -e {over} ]; do sleep 1; done
"""
CHAIN = """
steps:
  - name: first
    command: |
      touch {folder}/$DAG_RUN_ID
      while [ ! -e {folder}/go ]; do sleep 0.05; done
  - name: second
    command: echo done
"""
POLICY = """
onWorkerShutdown: {policy}
workerSelector: {{{selector}}}
"""
OVER_DRAIN_TIME = """
steps:
  - name: long
    command: |
      echo $$ >> {folder}/tries
      if [ $(wc -l < {folder}/tries) -lt 2 ]; then exec sleep 600; fi
"""


def drains(worker: DagwayProcess) -> bool:
    """Return whether a worker that was told to end drains. It has ended if all steps are on another one."""
    return "worker.draining" in worker.output() or not worker.running


def test_a_rolling_restart_of_every_service_fails_no_run_and_runs_no_step_twice(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.client.create("rolled", CHAIN.format(folder=tmp_path))
    ids = [f"r{number}" for number in range(RUNS)]
    for run_id in ids:
        cluster.client.start("rolled", run_id)
    eventually(lambda: all((tmp_path / run_id).exists() for run_id in ids))

    for process in (*cluster.schedulers, *cluster.gateways):
        process.terminate()
        cluster.start(process)
    for worker in cluster.workers:
        os.kill(worker.pid, signal.SIGTERM)
        eventually(partial(drains, worker))
    (tmp_path / "go").touch()
    for worker in cluster.workers:
        assert worker.wait_exit() == 0
    cluster.start()

    for run_id in ids:
        cluster.client.until("succeeded", "rolled", run_id)
        # A task that comes too late for a draining worker is withdrawn and sent again.
        assert [each for each in attempts(cluster, "rolled", run_id) if each[2] != "withdrawn"] == [
            ("first", 1, "finished", "succeeded"),
            ("second", 1, "finished", "succeeded"),
        ]
    keys = [run["run_key"] for run in cluster.rows(t.dag_runs, dag_name="rolled")]
    assert {row["accepted"] for key in keys for row in cluster.rows(t.executions, run_key=key)} == {True}


def test_a_hundred_long_steps_outlast_a_rollout_in_which_new_workers_come_first(
    cluster: Cluster, tmp_path: Path
) -> None:
    """As in a rolling update on Kubernetes: a new worker is ready before the old ones, with their steps, are ended."""
    ids = [f"r{number}" for number in range(100)]
    cluster.client.create("outlasting", OUTLASTING.format(over=tmp_path / "over"))
    settings = {"DAGWAY_WORKER_SLOTS": "60", "DAGWAY_WORKER_LABELS": "only=wide", "DAGWAY_DRAIN_S": "150"}
    with ExitStack() as stack:
        old = [stack.enter_context(cluster.worker(f"wide-{number}", **settings)) for number in (1, 2)]
        for worker in old:
            cluster.ready(worker)
        for run_id in ids:
            cluster.client.start("outlasting", run_id)
        eventually(lambda: len(cluster.rows(t.nodes, name="long", token_state="running")) == len(ids))
        new = cluster.ready(stack.enter_context(cluster.worker("wide-3", **settings)))

        for worker in old:
            os.kill(worker.pid, signal.SIGTERM)
            worker.wait_output("worker.draining")
        for process in (*cluster.schedulers, *cluster.gateways):
            process.terminate()
            cluster.start(process)
        cluster.client.start("outlasting", "late")
        cluster.client.until_step("running", "outlasting", "late", "long")
        assert cluster.client.run("outlasting", "late")["workerId"] == "wide-3"
        (tmp_path / "over").touch()
        for worker in old:
            assert worker.wait_exit() == 0

        for run_id in (*ids, "late"):
            cluster.client.until("succeeded", "outlasting", run_id)
            assert attempts(cluster, "outlasting", run_id) == [("long", 1, "finished", "succeeded")]
        assert new.terminate() == 0


@pytest.mark.parametrize(("policy", "status", "tries"), [("fail", "failed", 1), ("rerun", "succeeded", 2)])
def test_a_step_over_the_drain_time_says_why_it_ended_and_its_dag_decides_whether_it_runs_again(
    cluster: Cluster, tmp_path: Path, policy: str, status: str, tries: int
) -> None:
    selector = f"only={policy}"
    with cluster.worker(f"hasty-{policy}", DAGWAY_DRAIN_S="1", DAGWAY_WORKER_LABELS=selector) as worker:
        cluster.ready(worker)
        spec = POLICY.format(policy=policy, selector=selector.replace("=", ": "))
        cluster.client.create(policy, spec + OVER_DRAIN_TIME.format(folder=tmp_path))
        cluster.client.start(policy)
        pid = pid_in(tmp_path / "tries")
        assert worker.terminate() == 0
        assert gone(pid)
        cluster.ready(worker.start())

        cluster.client.until(status, policy)
        first, *rest = attempts(cluster, policy)
    assert (first, len(rest)) == (("long", 1, "finished", "broken"), tries - 1)
    (run,) = cluster.rows(t.dag_runs, dag_name=policy)
    errors = {row["error"] for row in cluster.rows(t.attempts, run_key=run["run_key"]) if row["error"]}
    assert errors == {"the worker shut down before the step ended"}
    assert len((tmp_path / "tries").read_text().split()) == tries


def test_the_base_configuration_decides_for_all_dags_and_a_dag_for_itself(
    servers: tuple[RabbitServer, PostgresServer], tmp_path: Path
) -> None:
    base = tmp_path / "base.yaml"
    base.write_text("onWorkerShutdown: rerun\n")
    policies = {"as-all": "", "by-itself": "onWorkerShutdown: fail\n"}
    cluster = Cluster(tmp_path / "system", *running(*servers), lease_s=LEASE_S)
    for process in cluster.schedulers:
        process.env["DAGWAY_BASE_CONFIG"] = str(base)
    (worker,) = cluster.workers
    worker.env["DAGWAY_DRAIN_S"] = "1"
    with cluster:
        for name, policy in policies.items():
            (tmp_path / name).mkdir()
            cluster.client.create(name, policy + OVER_DRAIN_TIME.format(folder=tmp_path / name))
            cluster.client.start(name)
        for name in policies:
            pid_in(tmp_path / name / "tries")

        assert worker.terminate() == 0
        cluster.start(worker)

        cluster.client.until("succeeded", "as-all")
        cluster.client.until("failed", "by-itself")
        assert [len(attempts(cluster, name)) for name in policies] == [2, 1]


def test_a_gateway_that_ends_answers_a_write_that_waits_for_a_scheduler(cluster: Cluster) -> None:
    """A client whose connection is cut cannot know that its write is stored."""
    for process in cluster.schedulers:
        process.terminate()
    port = free_port()
    with ThreadPoolExecutor() as pool, cluster.gateway(1, port, DAGWAY_COMMAND_WAIT_S="20") as gateway:
        cluster.ready(gateway)
        held = cluster.rabbit.held(cluster.amqp_url, COMMANDS.name)
        answer = pool.submit(cluster.client.once, "POST", "/dags", {"name": "held-write", "spec": CHAIN}, port=port)
        eventually(lambda: cluster.rabbit.held(cluster.amqp_url, COMMANDS.name) > held)
        assert gateway.terminate() == 0
        assert answer.result().status == 202
