"""The Python client and ``dagway mcp`` against both deployments."""

import asyncio
import contextlib
import io
import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dagway import client as dagway_client
from dagway.client import AsyncClient, RequestRefused, WaitTimeout
from tests.harness.cluster import Deployment
from tests.harness.event_loops import in_thread, run_coroutine
from tests.harness.eventually import PATIENCE_S

if TYPE_CHECKING:
    from mcp.client.session import ClientSession

BEGAN = datetime.now(UTC) - timedelta(minutes=1)
ROOT = Path(__file__).parents[2]
GREET = """
params: "NAME=world"
steps:
  - name: greet
    command: echo "Hello, ${NAME}!"
    output: GREETING
  - name: count
    command: printf '%s' "${GREETING}" | wc -c
"""


def test_a_run_is_started_followed_and_read(deployment: Deployment, dag: Callable[[str], str]) -> None:
    name = dag(GREET)
    with dagway_client.Client(deployment.client.base) as client:
        run_id = client.start(name, params={"NAME": "Ada"})
        run = client.wait(name, run_id, timeout_s=PATIENCE_S)

        assert run.statusLabel == "succeeded"
        assert [node.step.name for node in run.nodes] == ["greet", "count"]
        assert client.step_log(name, run_id, "greet").content.strip() == "Hello, Ada!"
        assert client.outputs(name, run_id) == {"greeting": "Hello, Ada!"}
        events = list(client.run_events(name, run_id))
        assert [event.became for event in events if event.stepName == "count"][-1] == "succeeded"
        # After the last event there is none, and the stream ends at once.
        assert list(client.run_events(name, run_id, last_id=events[-1].id)) == []
        second = client.start(name)
        assert [found.dagRunId for found in client.runs(name=name, limit=1).dagRuns] == [second]
        assert [found.dagRunId for found in client.all_runs(name=name, limit=1)] == [second, run_id]
        assert {found.dagRunId for found in client.runs(name=name, since=BEGAN).dagRuns} == {second, run_id}


def test_dags_are_created_changed_and_deleted(deployment: Deployment) -> None:
    with dagway_client.Client(deployment.client.base) as client:
        client.create_dag("made-by-client", GREET)
        assert "made-by-client" in [found.dag.name for found in client.dags(name="made-by").dags]
        assert client.update_spec("made-by-client", "steps:\n  - echo changed\n") == []
        assert client.update_spec("made-by-client", "steps: 5") != []
        assert "changed" in client.spec("made-by-client")
        assert client.validate("steps: 1\n").valid is False
        client.delete_dag("made-by-client")
        with pytest.raises(RequestRefused) as caught:
            client.dag("made-by-client")
    assert caught.value.status == 404


def test_a_client_of_a_workspace_sends_it_with_every_request(deployment: Deployment) -> None:
    base = deployment.client.base
    with dagway_client.Client(base) as server, dagway_client.Client(base, workspace="of-client") as client:
        server.create_workspace(name="of-client")
        client.create_dag("apart", "steps:\n  - echo a\n")
        run_id = client.start("apart")
        assert client.wait("apart", run_id, timeout_s=PATIENCE_S).statusLabel == "succeeded"
        assert [event.dagRunId for event in client.run_events("apart", run_id)][-1] == run_id

        async def names() -> list[str]:
            async with AsyncClient(base, workspace="of-client") as same:
                await same.delete_dag("apart")
                return [found.dag.name for found in (await same.dags()).dags]

        with pytest.raises(RequestRefused, match="apart"):
            server.dag("apart")
        with pytest.raises(RequestRefused, match="send it without a workspace"):
            client.create_workspace(name="more")
        assert run_coroutine(names()) == []


def test_every_operation_has_a_method_that_reads_its_answer(deployment: Deployment, dag: Callable[[str], str]) -> None:
    name = dag(GREET)
    with dagway_client.Client(deployment.client.base) as client:
        assert client.set_pool_capacity("client-db", capacity=5).capacity == 5
        assert "client-db" in [pool.name for pool in client.list_pools().pools]
        client.remove_pool("client-db")
        assert client.pause_dag(name, reason="a test").paused
        assert not client.resume_dag(name, catchup="none").paused
        assert client.get_dag_details(name).dag is not None
        assert name in [found.name for found in client.search_dags(q="count").results]
        assert "dagu_" in client.get_metrics()
        assert client.get_open_api()["openapi"].startswith("3.")
    assert run_coroutine(_workers(deployment.client.base)) > 0


async def _workers(url: str) -> int:
    async with AsyncClient(url) as client:
        return len((await client.get_workers()).workers)


def test_waiting_ends_at_its_time_limit_and_a_stop_ends_the_run(
    deployment: Deployment, dag: Callable[[str], str]
) -> None:
    name = dag("steps:\n  - sleep 300\n")
    with dagway_client.Client(deployment.client.base) as client:
        run_id = client.start(name)
        with pytest.raises(WaitTimeout, match="has not ended"):
            client.wait(name, run_id, timeout_s=0.5)
        client.stop(name, run_id)
        assert client.wait(name, run_id, timeout_s=PATIENCE_S).statusLabel == "aborted"


def test_the_asyncio_client_follows_many_runs_at_once(deployment: Deployment, dag: Callable[[str], str]) -> None:
    name = dag(GREET)

    async def follow_all() -> list[str]:
        async with AsyncClient(deployment.client.base) as client:
            ids = await asyncio.gather(*[client.start(name, params={"NAME": str(n)}) for n in range(3)])
            runs = await asyncio.gather(*[client.wait(name, run_id, timeout_s=PATIENCE_S) for run_id in ids])
            events = [event async for event in client.run_events(name, ids[0])]
            assert events[-1].became == "succeeded"
            assert {run.dagRunId async for run in client.all_runs(name=name)} == set(ids)
            return [run.statusLabel for run in runs]

    assert run_coroutine(follow_all()) == ["succeeded"] * 3


def test_the_documented_programs_print_what_the_page_says(deployment: Deployment, dag: Callable[[str], str]) -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    programs = re.findall(r"```python\n(.*?)```.*?```text\n(.*?)```", page, re.DOTALL)
    name = dag((ROOT / "examples" / "hello.yaml").read_text())
    assert len(programs) == 2
    for program, expected in programs:
        here = program.replace("http://127.0.0.1:8080", deployment.client.base).replace('"hello"', repr(name))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            in_thread(partial(exec, compile(here, "docs/python.md", "exec"), {"__name__": "__main__"}))
        assert printed.getvalue() == expected


def test_an_assistant_starts_a_run_and_reads_its_log(deployment: Deployment, dag: Callable[[str], str]) -> None:
    # A second of CPU time, which at the top every test process would spend that collects this module.
    from mcp.client.session import ClientSession  # noqa: PLC0415
    from mcp.client.stdio import StdioServerParameters, stdio_client  # noqa: PLC0415

    name = dag(GREET)

    async def ask() -> None:
        arguments = ["-m", "dagway", "mcp", "--url", deployment.client.base, "--role", "operator"]
        async with (
            stdio_client(StdioServerParameters(command=sys.executable, args=arguments)) as (incoming, outgoing),
            ClientSession(incoming, outgoing) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            assert "deleteDAG" not in tools
            assert tools["getDAGRunDetails"].annotations is not None
            assert tools["getDAGRunDetails"].annotations.read_only_hint
            hints = tools["executeDAG"].annotations
            assert hints is not None
            assert (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint) == (False, True, False)

            body = {"params": {"NAME": "Bob"}, "dagRunId": "r1"}
            started = await call(session, "executeDAG", fileName=name, body=body)
            assert started == {"dagRunId": "r1"}
            deployment.client.until("succeeded", name, "r1")
            log = await call(session, "getDAGRunStepLog", name=name, dagRunId="r1", stepName="greet")
            assert log["content"].strip() == "Hello, Bob!"
            page = await call(session, "listDAGRuns", cursor="", limit=1)
            assert [len(page["dagRuns"]), "nextCursor" in page] == [1, True]
            refused = await session.call_tool("getDAGDetails", {"fileName": "no-such-dag"})
            assert refused.is_error

    run_coroutine(ask())


async def call(session: "ClientSession", tool: str, **arguments: Any) -> Any:
    answer = await session.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    (content,) = answer.content
    return json.loads(content.text)  # type: ignore[union-attr]
