"""What parameters mean that have the same meaning wherever they occur, for the OpenAPI document."""

from collections.abc import Mapping

from shared.status import RUN_LABELS

__all__ = ["parameter_text"]

_NAMED: Mapping[str, str] = {
    "dag-runs": "the DAG of the run, or of the root run if the path goes on to a sub-run",
    "pools": "the pool",
    "queues": "the queue",
    "secrets": "the stored secret",
    "worker-pools": "the worker pool",
    "workspaces": "the workspace",
}
"""What ``name`` names in a path, by the first part of the path."""
_TEXTS: Mapping[str, str] = {
    "commandId": "id of the command",
    "dagRunId": "id of the run; latest is the newest run of the DAG",
    "fileName": "file name of the DAG, without .yaml",
    "fromDate": "only runs created at this time or later, in seconds since 1970",
    "head": "return this many lines from the beginning",
    "keyId": "id of the API key",
    "limit": "how many entries or lines to return",
    "offset": "the first line to return, from 1",
    "outcome": "only fires with this outcome",
    "page": "number of the page, from 1",
    "perPage": "how many entries a page has",
    "status": "only runs with this status: " + ", ".join(f"{at} {label}" for at, label in enumerate(RUN_LABELS)),
    "stepName": "name of the step, or of a handler such as onExit",
    "stream": "which output of the step",
    "subDAGRunId": "id of the sub-run",
    "tag": "only DAGs with this tag",
    "tail": "return this many lines from the end; takes precedence over head, which takes precedence over offset",
    "toDate": "only runs created before this time, in seconds since 1970",
    "userId": "id of the user",
    "version": "number of the version",
    "workerId": "id of the worker",
}


def parameter_text(name: str, path: str) -> str:
    """Return what a parameter means, if its own operation does not say it; empty if unknown."""
    return _NAMED.get(path.split("/")[1], "") if name == "name" else _TEXTS.get(name, "")
