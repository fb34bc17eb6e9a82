"""Checks of a workflow file that need the JSON Schema of its params: the schema may be in another file."""

from collections.abc import Mapping
from pathlib import Path

from shared.errors import InvalidInput
from shared.language.model import Dag
from shared.language.parameters import inline_schema

__all__ = ["schema_problem"]


def schema_problem(dag: Dag, folder: Path | None, given: Mapping[str, str] | None = None) -> str:
    """Return what is wrong with the schema of a DAG's params, or with their values; empty if nothing is known to be.

    ``folder`` has the file of the DAG; ``None``: it is not on this machine, and nor is a schema in a file. ``given``:
    the params of a run, instead of the defaults, to which a request may add others. No URL is read, and values that
    only a worker can know are not checked.
    """
    reference = dag.param_schema
    if not reference:
        return ""
    if not inline_schema(reference) and (folder is None or "$" in reference or "://" in reference):
        return ""
    from services.worker.inputs.param_schema import apply_schema  # noqa: PLC0415 - few DAGs have a schema

    defaults = {param.name: param.value for param in dag.params}
    evaluated = {name for name, text in defaults.items() if "$" in text or "`" in text}
    values = defaults if given is None else given
    known = tuple((name, value) for name, value in values.items() if name not in evaluated)
    base = folder or Path()
    folders = (base, base) if "$" in dag.working_dir else (base / Path(dag.working_dir).expanduser(), base)
    try:
        apply_schema(reference, known, folders, more_follow=given is None or len(known) < len(values))
    except InvalidInput as error:
        return f"params: {error}"
    return ""
