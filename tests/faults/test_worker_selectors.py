"""Worker selectors that the names of broker queues cannot hold as they are."""

from collections.abc import Iterator

import pytest

from tests.harness.cluster import Cluster
from tests.harness.procs import DagwayProcess

LONG = {f"label{number}": "v" * 40 for number in range(8)}
"""Labels that need more than the 255 bytes of a queue's name."""
DAG = """
workerSelector: {{{selector}}}
steps:
  - name: s
    command: echo hi
"""


@pytest.fixture
def labelled(cluster: Cluster) -> Iterator[DagwayProcess]:
    """One more worker, which has the long labels and one with a dot in its name."""
    labels = {**LONG, "nvidia.com/gpu": "1"}
    text = ",".join(f"{name}={value}" for name, value in labels.items())
    with cluster.worker("labelled", DAGWAY_WORKER_LABELS=text) as process:
        yield cluster.ready(process)


def test_a_selector_may_be_longer_than_the_name_of_a_broker_queue(cluster: Cluster, labelled: DagwayProcess) -> None:
    selector = ", ".join(f"{name}: {value}" for name, value in LONG.items())
    cluster.client.create("long-selector", DAG.format(selector=selector))
    cluster.client.start("long-selector")

    run = cluster.client.until("succeeded", "long-selector")

    assert run["workerId"] == labelled.env["DAGWAY_WORKER_ID"]
    assert not any("ShortStringTooLong" in process.output() for process in [*cluster.processes, labelled])


def test_what_is_no_name_of_a_worker_pool_reaches_no_queue_of_one(cluster: Cluster, labelled: DagwayProcess) -> None:
    inside = DAG.format(selector='"nvidia.com/gpu": "1"')
    cluster.client.create("inside-pool", inside)
    cluster.client.start("inside-pool")
    assert cluster.client.until("succeeded", "inside-pool")["workerId"] == labelled.env["DAGWAY_WORKER_ID"]

    # Joined by dots, both selectors make the same name.
    outside = DAG.format(selector='worker-pool: default.nvidia, "com/gpu": "1"')
    cluster.client.create("outside-pool", outside)
    refused = cluster.client.ask("POST", "/dags/outside-pool/start", {"dagRunId": "r1"}, key="outside-pool")

    message = (
        "'default.nvidia' is not the name of a worker pool: expected 1 to 40 lower-case letters, digits or underscores"
    )
    assert (refused.status, refused.json["message"]) == (409, message)
