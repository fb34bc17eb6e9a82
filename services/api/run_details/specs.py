"""Parsed specs: those of DAGs, and those that runs were created from."""

from collections.abc import Iterable

from services.api.deps import Deps
from shared.language.load import LoadResult
from shared.language.model import Dag
from shared.store.reads.reader import DagRow, RunRow

__all__ = ["dags_of_runs", "load_dags"]


def load_dags(deps: Deps, dags: Iterable[DagRow]) -> dict[str, LoadResult]:
    """Return the parsed specs of DAGs by file name. Reads from the store only what is not cached."""
    listed = list(dags)
    found = {dag.file_name: deps.specs.get(dag.spec_hash, file_name=dag.file_name) for dag in listed}
    missing = [dag for dag in listed if found[dag.file_name] is None]
    texts = {dag.spec_hash: dag.spec for dag in missing if dag.spec is not None}
    wanted = {dag.spec_hash for dag in missing} - texts.keys()
    texts |= deps.reads.specs(wanted) if wanted else {}
    for dag in missing:
        found[dag.file_name] = deps.specs.parse(dag.spec_hash, texts.get(dag.spec_hash, ""), file_name=dag.file_name)
    return {name: loaded for name, loaded in found.items() if loaded is not None}


def dags_of_runs(deps: Deps, runs: Iterable[RunRow]) -> dict[str, Dag | None]:
    """Return, by run key, the DAG of the spec that each run was created from, which may be an older one."""
    found: dict[str, Dag | None] = {}
    unknown: list[RunRow] = []
    for run in runs:
        kept = deps.specs.get(run.spec_hash, file_name=run.file_name or "", dag_name=run.dag_name)
        if kept is None:
            unknown.append(run)
        else:
            found[run.run_key] = kept.dag
    texts = deps.reads.specs(run.spec_hash for run in unknown) if unknown else {}
    for run in unknown:
        text = texts.get(run.spec_hash, "")
        loaded = deps.specs.parse(run.spec_hash, text, file_name=run.file_name or "", dag_name=run.dag_name)
        found[run.run_key] = loaded.dag
    return found
