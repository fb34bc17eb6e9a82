"""``dagway why``: show what a run, its steps or the schedule of a DAG waits for."""

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import urllib3

from shared.errors import DagwayError

__all__ = ["authorization", "why_waiting"]

_TIMEOUT_S = 30
_QUEUED, _RUNNING = 5, 1
"""Status numbers of runs in the API."""


class GatewayError(DagwayError):
    """The gateway cannot be reached, or answered with an error."""


def authorization(token: str, username: str, password: str) -> str:
    """Return the value of the ``Authorization`` header, or an empty text. A token takes precedence over a username."""
    if token:
        return f"Bearer {token}"
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}" if username else ""


def why_waiting(url: str, by: str, dag: str, run_id: str = "") -> Iterator[str]:
    """Yield one line for the run and for each of its steps that waits.

    Without ``run_id``, the lines are about the schedule of the DAG and about all its queued and running runs.
    ``run_id`` may be ``latest``. ``url`` may omit ``http://``. ``by`` is the value of the ``Authorization`` header.

    Raises:
        GatewayError: the gateway cannot be reached or refuses the request, or the run or DAG does not exist.
    """
    url = url if "://" in url else f"http://{url}"
    if run_id:
        run = _get(url, by, f"/dag-runs/{quote(dag, safe='')}/{quote(run_id, safe='')}")["dagRunDetails"]
        found = list(_of_run(run))
        yield from found or [f"{dag}/{run['dagRunId']} is {run['statusLabel']} and waits for nothing"]
        return
    about = _get(url, by, f"/dags/{quote(dag, safe='')}")
    yield f"{dag}: {about.get('waitingFor') or 'its schedule waits for nothing'}"
    name = about["dag"]["name"]
    for status in (_QUEUED, _RUNNING):
        for run in _get(url, by, f"/dag-runs/{quote(name, safe='')}?status={status}")["dagRuns"]:
            yield from _of_run(_get(url, by, f"/dag-runs/{quote(name, safe='')}/{run['dagRunId']}")["dagRunDetails"])


def _of_run(run: dict[str, Any]) -> Iterator[str]:
    name = f"{run['name']}/{run['dagRunId']}"
    if run.get("waitingFor"):
        yield f"{name} is {run['statusLabel']}, waits for: {run['waitingFor']}"
    for node in run["nodes"]:
        if node.get("waitingFor"):
            yield f"{name}, step {node['step']['name']}, waits for: {node['waitingFor']}"


def _get(url: str, by: str, path: str) -> Any:
    headers = {"Authorization": by} if by else {}
    try:
        answer = urllib3.request(
            "GET", f"{url.rstrip('/')}/api/v2{path}", headers=headers, timeout=_TIMEOUT_S, retries=False
        )
    except urllib3.exceptions.HTTPError as error:
        raise GatewayError(f"the gateway at {url} cannot be reached (--url): {error}") from error
    try:
        body = json.loads(answer.data)
    except ValueError as error:
        raise GatewayError(f"{url} answered {answer.status} without JSON: is this a Dagway gateway (--url)?") from error
    if answer.status != 200:
        raise GatewayError(str(body.get("message", answer.status)))
    return body
