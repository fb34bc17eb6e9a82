"""Every example has the same statuses, outputs and logs on both deployments."""

import functools
import re
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.language.load import load
from tests.harness.client import Client, statuses
from tests.harness.cluster import Cluster, Deployment, Embedded
from tests.harness.loopback import QuietHandler, serving

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent / "workflows"
EXPECTED: dict[str, list[dict[str, Any]]] = yaml.safe_load((HERE / "expected.yaml").read_text())
CASES = [(name, number) for name, cases in sorted(EXPECTED.items()) for number in range(len(cases))]
Deployments = tuple[Deployment, Deployment]


class _Quiet(QuietHandler, SimpleHTTPRequestHandler):
    """Serves files."""


@pytest.fixture(scope="module")
def orders_url() -> Iterator[str]:
    """The URL of a file on a local HTTP server."""
    handler = functools.partial(_Quiet, directory=str(HERE))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}/orders.csv"


@pytest.fixture(scope="module")
def deployments(shared_embedded: Embedded, shared_cluster: Cluster) -> Iterator[Deployments]:
    """The shared systems; the distributed one with a second scheduler and a second worker."""
    with shared_cluster.scheduler("scheduler-2") as scheduler, shared_cluster.worker("w2") as worker:
        for process in (scheduler, worker):
            shared_cluster.ready(process)
        both = (shared_embedded.start(), shared_cluster.start())
        for system in both:
            for name in EXPECTED:
                system.client.create(name, (ROOT / "examples" / f"{name}.yaml").read_text())
        yield both


@pytest.mark.parametrize(("name", "number"), CASES, ids=[f"{name}-{number + 1}" for name, number in CASES])
def test_an_example_comes_to_the_same_on_both_deployments(
    deployments: Deployments, orders_url: str, name: str, number: int
) -> None:
    case = EXPECTED[name][number]
    run_id = f"case-{number}"
    for system in deployments:
        body = {"params": case["params"].format(orders_url=orders_url)} if "params" in case else {}
        system.client.start(name, run_id, **body)

    embedded, distributed = (result(system.client, name, run_id, case["status"]) for system in deployments)

    steps = dict.fromkeys(step_names(name), "succeeded") | case.get("steps", {})
    assert {step: status for step, status in embedded["statuses"].items() if step in steps} == steps
    assert {key: value for key, value in embedded["outputs"].items() if key in case.get("outputs", {})} == case.get(
        "outputs", {}
    )
    assert {step: embedded["retries"][step] for step in case.get("retries", {})} == case.get("retries", {})
    assert distributed == embedded


def step_names(name: str) -> list[str]:
    (dag,) = load((ROOT / "examples" / f"{name}.yaml").read_text(), file_name=name).documents
    return [step.name for step in dag.steps]


MEASURED = re.compile(r"(?<=timed out after )[\d.]+s")
"""How long a step really ran differs from run to run."""


def result(client: Client, name: str, run_id: str, status: str) -> dict[str, Any]:
    """Wait for a run's end; return everything of it that must be the same on both deployments."""
    run = client.until(status, name, run_id)
    found = statuses(run)
    logs = {
        (step, stream): client.text(name, run_id, step.replace(" ", "%20"), f"?stream={stream}")
        for step in found
        for stream in ("stdout", "stderr")
    }
    return {
        "statuses": found,
        "outputs": outputs(client, name, run_id, logs),
        "errors": {node["step"]["name"]: MEASURED.sub("some s", node.get("error", "")) for node in run["nodes"]},
        "retries": {node["step"]["name"]: node["retryCount"] for node in run["nodes"]},
        "logs": logs,
        "params": run.get("params", ""),
        "changes": sorted(change(line) for line in client.log(name, run_id)["content"].split("\n")),
    }


def outputs(client: Client, name: str, run_id: str, logs: dict[tuple[str, str], str]) -> dict[str, str]:
    """Return the outputs of a run by the names in its spec. A handler's output is in its log only."""
    (dag,) = load((ROOT / "examples" / f"{name}.yaml").read_text(), file_name=name).documents
    shown = client.outputs(name, run_id)
    found = {}
    for step in dag.steps:
        if step.output is not None and (key := camel(step.output.name)) in shown:
            found[step.output.name] = shown[key]
    for handler, step in dag.handlers.items():
        if step.output is not None and logs.get((str(handler), "stdout")):
            found[step.output.name] = logs[str(handler), "stdout"]
    return found


def camel(name: str) -> str:
    first, *rest = name.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


def change(line: str) -> str:
    """Return a line of the run log without time, worker and reason."""
    return line.partition(" ")[2].partition(": ")[0].partition(" (by ")[0]
