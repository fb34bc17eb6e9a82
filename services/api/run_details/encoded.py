"""The JSON of a run's details as bytes. That of a run that has ended is made once for each version of the run."""

from datetime import datetime

from services.api.deps import Deps
from services.api.operations import json_bytes
from services.api.run_details.builder import run_details
from services.api.run_details.called_runs import has_called_earlier
from services.api.run_details.lookup import run_of, stored_run_name
from shared.store.reads.reader import RunRow

__all__ = ["encoded_details"]


def encoded_details(deps: Deps, name: str, dag_run_id: str, now: datetime) -> bytes:
    """Return the JSON of a root run with its nodes, for the names in a path. Raises a 400 or 404 for other names."""
    stored = stored_run_name(deps, name, dag_run_id)
    # Each request asks the database for the version, within the workspace of the request.
    kept = deps.ended_details.json(stored, lambda: deps.reads.run_version(*stored))
    if kept is not None:
        return kept
    run = run_of(deps, stored, name, dag_run_id)
    made = json_bytes(run_details(deps, run, now))
    if _is_settled(run):
        deps.ended_details.keep(stored, (run.run_key, run.version), made)
    return made


def _is_settled(run: RunRow) -> bool:
    """Return whether nothing in the details changes without a new version of the run.

    Each decision of a scheduler makes one. What a run waits for changes without, and so do the progress and remarks of
    an open attempt, and the list of the sub-runs that earlier repetitions called, as each may be deleted.
    """
    if run.status.active or has_called_earlier(run):
        return False
    return all(node.token_state is None for node in run.nodes or ())
