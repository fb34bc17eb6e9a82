"""``pydagu``, a client library that others wrote for Dagu, works unchanged."""

import json
import uuid
from collections.abc import Iterator

import pytest
from pydagu.builder import DagBuilder, StepBuilder
from pydagu.http import DaguHttpClient
from pydagu.models import Dag, DagResponseMessage, DagRunId, DagRunResult, StartDagRun, Step

from tests.harness.cluster import Deployment
from tests.harness.counterparts import HttpCounterpart
from tests.harness.eventually import PATIENCE_S, eventually


@pytest.fixture
def theirs(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> DaguHttpClient:
    # It gives each request the default of ``httpx``, 5 s, which a busy machine may need.
    monkeypatch.setattr("httpx._config.DEFAULT_TIMEOUT_CONFIG.read", PATIENCE_S)
    return DaguHttpClient(uuid.uuid4().hex[:20], f"{deployment.client.base}/api/v2/")


@pytest.fixture
def server() -> Iterator[HttpCounterpart]:
    with HttpCounterpart() as made:
        yield made


def finished(client: DaguHttpClient, dag: Dag) -> DagRunResult:
    started = client.start_dag_run(StartDagRun(dagName=dag.name))
    assert isinstance(started, DagRunId)

    def over() -> DagRunResult:
        result = client.get_dag_run_status(started.dagRunId)
        assert result.finishedAt is not None, result
        return result

    result = eventually(over)
    assert client.get_dag_run_status("latest").dagRunId == result.dagRunId == started.dagRunId
    return result


def test_a_dag_is_created_read_updated_run_and_deleted(theirs: DaguHttpClient) -> None:
    made = DagBuilder(theirs.dag_name).add_step("one", "echo 1").add_step("two", "echo 2").build()
    assert theirs.post_dag(made) is None
    assert theirs.get_dag_spec().model_dump() == made.model_dump()
    assert isinstance(theirs.post_dag(made), DagResponseMessage)

    changed = DagBuilder(theirs.dag_name).description("Changed").add_simple_step("echo 3").build()
    assert theirs.update_dag(changed) is None
    assert theirs.get_dag_spec().description == "Changed"
    result = finished(theirs, changed)
    assert (result.statusLabel, [node.statusLabel for node in result.nodes]) == ("succeeded", ["succeeded"])
    theirs.delete_dag()


def test_http_steps_hand_their_answers_on(theirs: DaguHttpClient, server: HttpCounterpart) -> None:
    fetch = (
        StepBuilder("fetch")
        .command(f"GET {server.url}/text/abc")
        .http_executor(headers={"X-API-Key": "k"}, timeout=30, silent=True)
        .retry(limit=3, interval=5)
        .output("FETCHED")
        .build()
    )
    tell = (
        StepBuilder("tell")
        .command(f"POST {server.url}/echo")
        .depends_on("fetch")
        .http_executor(headers={"Content-Type": "application/json"}, body={"got": "${FETCHED}", "on": "${DATE}"})
        .continue_on_failure(enabled=False)
        .build()
    )
    dag = (
        DagBuilder(theirs.dag_name)
        .add_param("DATE", "`date +%Y`")
        .add_tag("web")
        .add_step_models(fetch, tell)
        .max_active_runs(2)
        .timeout(60)
        .build()
    )
    assert theirs.post_dag(dag) is None
    step = theirs.get_dag_spec().steps[0]
    assert isinstance(step, Step)
    assert step.retryPolicy is not None

    assert finished(theirs, dag).statusLabel == "succeeded"
    assert server.requests[0]["headers"]["X-Api-Key"] == "k"
    assert json.loads(server.requests[1]["body"])["got"] == "text abc"
