"""Adds the stored secrets that a task names to the task, as they are sealed: at each dispatch the present values."""

from dataclasses import replace

from services.scheduler.core.decision import Dispatch
from shared.contracts.dag_scope import DagScope
from shared.language.model import STORED
from shared.secret_box import MOST_IN_A_TASK, TOO_MUCH
from shared.store.writes.transaction import Transaction
from shared.workspaces import MARK, stored_name, workspace_of

__all__ = ["with_stored_secrets"]


def with_stored_secrets(tx: Transaction, dispatch: Dispatch) -> Dispatch:
    """Return the dispatch with the sealed values of the secrets that its DAG may use; others are left out.

    If the values have too many characters together, ``TOO_MUCH`` takes their place.
    """
    task = dispatch.task
    workspace = workspace_of(task.dag_name)
    # A worker finds and opens a sealed value by the stored name of its secret.
    secrets = tuple(
        secret.model_copy(update={"key": stored_name(workspace, secret.key)})
        if secret.provider == STORED and MARK not in secret.key
        else secret
        for secret in task.secrets
    )
    names = {secret.key for secret in secrets if secret.provider == STORED and workspace_of(secret.key) == workspace}
    if not names:
        return dispatch
    found = tx.secrets.named(names)
    sealed = tuple((row["name"], row["sealed"]) for row in found if _may_use(row["dags"], task.file_name))
    if sum(len(text) for _, text in sealed) > MOST_IN_A_TASK:
        sealed = tuple((name, TOO_MUCH) for name, _ in sealed)
    return replace(dispatch, task=task.model_copy(update={"secrets": secrets, "sealed_secrets": sealed}))


def _may_use(patterns: str, file_name: str) -> bool:
    """Return whether the DAG of this file may use a secret. The name of a DAG without a file is anybody's choice."""
    scope = DagScope.parse(patterns)
    return not scope.limited or bool(file_name and not scope.outside((file_name,)))
