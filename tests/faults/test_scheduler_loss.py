"""Schedulers killed between the commit of a decision and the sending of its messages."""

import pytest

from shared.store import tables as t
from tests.faults.conftest import attempts
from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually
from tests.harness.procs import DagwayProcess

# The first step may be repeated, so its worker does not go on with the second one itself.
CHAIN = """
steps:
  - name: first
    command: echo 1
    output: A
    repeatPolicy: {repeat: while, exitCode: [99]}
  - name: second
    command: echo ${A}2
    output: B
"""
ONCE_EACH = [("first", 1, "finished", "succeeded"), ("second", 1, "finished", "succeeded")]


def only(cluster: Cluster, name: str, fault: str, *, workers: bool) -> DagwayProcess:
    """Run one scheduler only, which kills itself at ``fault``."""
    # What another test has left to do would bring the new scheduler to that point too early.
    eventually(lambda: cluster.rows(t.outbox) == [])
    eventually(lambda: [row for row in cluster.rows(t.nodes) if row["token"]] == [])
    for process in (*([] if workers else cluster.workers), *cluster.schedulers):
        assert process.terminate() == 0
    process = cluster.scheduler(name, DAGWAY_FAULTS=fault)
    cluster.start(process)
    return process


@pytest.mark.parametrize("fault", ["scheduler.committed:kill", "relay.before_publish:kill"])
def test_a_command_whose_scheduler_died_after_the_commit_is_carried_out_once(cluster: Cluster, fault: str) -> None:
    dag = fault.split(":", maxsplit=1)[0].replace("_", "-")
    cluster.client.create(dag, CHAIN)
    # Without workers there are no reports: the command is the first thing it decides about any run.
    doomed = only(cluster, f"doomed-{dag}", fault, workers=False)

    answer = cluster.client.ask("POST", f"/dags/{dag}/start", {"dagRunId": "r1"}, key=dag)

    assert answer.status == 202, answer
    assert doomed.wait_exit() == -9
    # Rows of earlier runs, whose tasks were sent, may not be deleted yet.
    assert len([row for row in cluster.rows(t.outbox) if dag.encode() in row["body"]]) == 1
    cluster.start(*cluster.schedulers, *cluster.workers)
    assert cluster.client.settle("POST", f"/dags/{dag}/start", {"dagRunId": "r1"}, key=dag).status == 200
    cluster.client.until("succeeded", dag)
    assert attempts(cluster, dag) == ONCE_EACH
    assert cluster.client.outputs(dag) == {"a": "1", "b": "12"}
    eventually(lambda: cluster.rows(t.outbox) == [])


def test_a_report_whose_scheduler_died_after_the_commit_starts_the_next_step_once(cluster: Cluster) -> None:
    cluster.client.create("second", CHAIN)
    doomed = only(cluster, "doomed-second", "relay.before_publish:kill@2", workers=True)

    cluster.client.start("second")

    assert doomed.wait_exit() == -9
    assert cluster.client.steps("second") == {"first": "succeeded", "second": "not_started"}
    cluster.start(*cluster.schedulers)
    cluster.client.until("succeeded", "second")
    assert attempts(cluster, "second") == ONCE_EACH
    eventually(lambda: cluster.rows(t.outbox) == [])


def test_a_scheduler_killed_at_work_leaves_it_to_the_others(cluster: Cluster) -> None:
    client = cluster.client
    client.create("many", CHAIN)
    for number in range(30):
        client.start("many", f"n{number}", key=f"many-{number}")
        if number == 15:
            cluster.schedulers[0].kill9()

    for number in range(30):
        client.until("succeeded", "many", f"n{number}")
        assert attempts(cluster, "many", f"n{number}") == ONCE_EACH
    eventually(lambda: cluster.rows(t.outbox) == [])
