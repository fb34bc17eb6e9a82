"""Schedulers killed after the commit of an approval or of a sub-run's end, before they send the next messages."""

from typing import Any

import pytest

from shared.store import tables as t
from tests.faults.conftest import attempts
from tests.faults.test_scheduler_loss import only
from tests.harness.client import Answer
from tests.harness.cluster import Cluster

GATED = """
steps:
  - name: ok
    type: hitl
    config: {input: [WHO]}
  - name: after
    command: echo ${WHO}
    output: SAID
"""
CALLS = """
steps:
  - name: call
    call: child
    output: TOLD
  - name: after
    command: echo ${TOLD.outputs.SAID}
    output: SAID
---
name: child
steps:
"""
APPROVAL = {"inputs": {"WHO": "Ann"}}
CHILD_ASKS = CALLS + GATED.partition("steps:\n")[2]
CHILD_WORKS = CALLS + "  - {name: one, command: echo Ann, output: SAID}\n"


def approve(cluster: Cluster, path: str, key: str) -> Answer:
    return cluster.client.ask("POST", f"/dag-runs/{path}/steps/ok/approve", APPROVAL, key=key)


def children(cluster: Cluster, dag: str) -> list[dict[str, Any]]:
    (parent,) = cluster.rows(t.dag_runs, dag_name=dag)
    return cluster.rows(t.dag_runs, parent_key=parent["run_key"])


@pytest.mark.parametrize("fault", ["scheduler.committed:kill", "relay.before_publish:kill"])
def test_an_approval_whose_scheduler_died_after_the_commit_resumes_the_run_once(cluster: Cluster, fault: str) -> None:
    dag = "gated-" + fault.split(":", maxsplit=1)[0].replace("_", "-").replace(".", "-")
    cluster.client.create(dag, GATED)
    cluster.client.start(dag)
    cluster.client.until("waiting", dag)
    doomed = only(cluster, f"doomed-{dag}", fault, workers=False)

    answer = approve(cluster, f"{dag}/r1", dag)

    assert doomed.wait_exit() == -9
    assert answer.status in {200, 202}
    assert cluster.client.run(dag)["statusLabel"] in {"queued", "running"}
    cluster.start(*cluster.schedulers, *cluster.workers)
    again = cluster.client.settle("POST", f"/dag-runs/{dag}/r1/steps/ok/approve", APPROVAL, key=dag)
    assert (again.status, again.json) == (200, {"dagRunId": "r1", "stepName": "ok", "resumed": True})
    cluster.client.until("succeeded", dag)
    assert attempts(cluster, dag) == [("ok", 1, "finished", "succeeded"), ("after", 1, "finished", "succeeded")]
    assert [row["run_attempt"] for row in cluster.rows(t.dag_runs, dag_name=dag)] == [2]
    assert cluster.client.outputs(dag) == {"said": "Ann"}


def test_an_approval_below_whose_scheduler_died_before_it_told_the_caller(cluster: Cluster) -> None:
    cluster.client.create("below", CHILD_ASKS)
    cluster.client.start("below")
    cluster.client.until("waiting", "below")
    (child,) = children(cluster, "below")
    doomed = only(cluster, "doomed-below", "family.before_attend:kill", workers=False)

    approve(cluster, f"below/r1/sub-dag-runs/{child['dag_run_id']}", "below")

    assert doomed.wait_exit() == -9
    assert cluster.client.run("below")["statusLabel"] == "waiting"
    cluster.start(*cluster.schedulers, *cluster.workers)
    cluster.client.until("succeeded", "below")
    assert cluster.client.outputs("below")["said"] == "Ann"
    assert attempts(cluster, "below") == [("call", 1, "finished", "succeeded"), ("after", 1, "finished", "succeeded")]


def test_a_childs_end_whose_scheduler_died_before_it_told_the_caller(cluster: Cluster) -> None:
    cluster.client.create("tells", CHILD_WORKS)
    doomed = only(cluster, "doomed-told", "family.before_attend:kill", workers=True)

    cluster.client.start("tells")

    assert doomed.wait_exit() == -9
    assert [row["status"] for row in children(cluster, "tells")] == ["succeeded"]
    assert cluster.client.steps("tells") == {"call": "running", "after": "not_started"}
    cluster.start(*cluster.schedulers)
    cluster.client.until("succeeded", "tells")
    assert cluster.client.outputs("tells")["said"] == "Ann"
    assert attempts(cluster, "tells") == [("call", 1, "finished", "succeeded"), ("after", 1, "finished", "succeeded")]
