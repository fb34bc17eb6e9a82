"""Finds the DAGs, runs and steps that request paths name."""

from services.api.deps import Deps
from services.api.problems import not_found
from services.api.requests import checked_values
from shared.store.reads.reader import DagRow, NodeRow, RunRow

__all__ = ["RUN", "SUB_RUN", "find_dag", "find_run", "find_step", "run_name", "run_of", "stored_run_name", "sub_run_of"]

RUN = "/dag-runs/{name}/{dagRunId}"
SUB_RUN = f"{RUN}/sub-dag-runs/{{subDAGRunId}}"


def find_dag(deps: Deps, file_name: str) -> DagRow:
    """Return a stored DAG by its file name. Raises a 400 if it cannot be one, a 404 if there is none."""
    stem = checked_values.file_name(file_name)
    found = deps.reads.dag(stem)
    if found is None:
        raise not_found(f"There is no DAG {stem!r}")
    return found


def find_run(deps: Deps, name: str, dag_run_id: str, sub_run_id: str = "") -> RunRow:
    """Return a root run by DAG name and run id, or ``latest``; or a sub-run at any depth below it.

    Raises a 404 if there is none.
    """
    root = run_of(deps, stored_run_name(deps, name, dag_run_id), name, dag_run_id)
    return sub_run_of(deps, root, sub_run_id) if sub_run_id else root


def find_step(run: RunRow, step_name: str) -> NodeRow:
    """Return a step or handler of a run. Raises a 404 if it has none of this name."""
    node = run.shown_node(step_name)
    if node is None:
        raise not_found(f"Run {run.dag_run_id!r} has no step {step_name!r}")
    return node


def run_of(deps: Deps, stored: tuple[str, str], name: str, dag_run_id: str) -> RunRow:
    """Return the root run with the names of ``stored_run_name``. Raises a 404 with those in the path."""
    run = deps.reads.run(*stored)
    if run is None:
        if dag_run_id == checked_values.LATEST:
            raise not_found(f"DAG {name!r} has no runs, or there is no such DAG")
        raise not_found(f"DAG {name!r} has no run {dag_run_id!r}")
    return run


def stored_run_name(deps: Deps, name: str, dag_run_id: str) -> tuple[str, str]:
    """Return the stored DAG name and the run id for those in a path. Raises a 400 if one of them cannot be a name."""
    checked_values.any_name(dag_run_id, "dagRunId")
    return run_name(deps, name), dag_run_id


def sub_run_of(deps: Deps, root: RunRow, sub_run_id: str) -> RunRow:
    """Return a sub-run at any depth below ``root``. Raises a 404 if there is none with this id."""
    checked_values.any_name(sub_run_id, "subDAGRunId")
    found = deps.reads.sub_run(root.root_key, sub_run_id)
    if found is None:
        raise not_found(f"Run {root.dag_run_id!r} has no sub-run {sub_run_id!r}")
    return found


def run_name(deps: Deps, name: str) -> str:
    """Return the stored DAG name for the name in a path. Raises a 400 if it cannot be a name.

    Some clients send the ``fileName`` from a list of DAGs instead of the DAG name. In Dagu this works for most DAGs:
    there ``fileName`` has no extension and equals the DAG name.
    """
    stem, stored = checked_values.file_name(name, "name"), checked_values.any_name(name, "name")
    if stem == stored or deps.reads.run(stored, checked_values.LATEST):
        return stored
    return deps.reads.dag_name(stem) or stem
