"""Refuses what an API key that is limited to some DAGs may not see or change.

Such a key may use the operations with the name of a DAG in their path, if it and the DAG's other name match. Lists of
all DAGs or runs, and everything that is about no DAG, are refused. Names in bodies are checked by the scheduler.
"""

from collections.abc import Mapping

from services.api.auth.authentication import forbidden
from services.api.auth.principals import Principal
from services.api.deps import Deps
from services.api.operations import Operation
from services.api.requests import checked_values
from services.api.run_details.lookup import run_name
from shared.contracts.dag_scope import why_out_of_scope

__all__ = ["refuse_out_of_scope"]

_ALWAYS = frozenset({"getCurrentUser", "validateDAGSpec", "createNewDAG"})
"""Operations that show no DAG. The scheduler checks the name of a new one."""


def refuse_out_of_scope(
    deps: Deps, principal: Principal, operation: Operation, path: Mapping[str, str], *, remote: bool
) -> None:
    """Raise a 403 if the principal is an API key that may not use the DAGs of this request."""
    if not principal.dags.limited or (operation.id in _ALWAYS and not remote) or operation.role == "public":
        return
    if remote:
        raise forbidden(f"{principal.username} is limited to the DAGs {principal.dags} of this server")
    if why := why_out_of_scope(principal.username, principal.dags, _names(deps, operation, path)):
        raise forbidden(why)


def _names(deps: Deps, operation: Operation, path: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the DAG in the path. A file can define a DAG with another name, whose runs it shows."""
    if operation.path.startswith("/dags/{fileName}"):
        file_name = checked_values.file_name(path["fileName"])
        dag_name = deps.reads.dag_name(file_name)
        return (file_name,) if dag_name is None else (file_name, dag_name)
    if operation.path.startswith("/dag-runs/{name}"):
        return (run_name(deps, path["name"]),)
    return ()
