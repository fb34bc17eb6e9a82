"""The specs that runs were created from, parsed."""

from collections.abc import Iterable

from services.api.deps import Deps
from shared.language.model import Dag
from shared.store.reads.reader import RunRow

__all__ = ["dags_of_runs"]


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
