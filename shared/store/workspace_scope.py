"""Tells Postgres which workspace each transaction is for, so that its policies hide the rows of all others (ADR 58).

They are a second safeguard beside the conditions of the queries: a query that lacks its condition finds nothing of
another workspace. They bind the gateway's database role only. SQLite has no policies, so there this has no effect.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import ExecutionContext

from shared.workspaces import DEFAULT, valid_workspace

__all__ = ["name_workspaces", "naming", "of_every_workspace", "of_workspace"]

_SCOPE = "dagway_workspace"
"""The execution option of engines whose transactions name a workspace."""
_EVERY = "*"
_DEFAULT = "default"
"""How the policies call the default workspace. No other workspace may have this name."""


def of_workspace(engine: Engine, workspace: str) -> Engine:
    """Return an engine on the same connections whose transactions see the rows of one workspace.

    Raises:
        ValueError: no workspace can have this name.
    """
    if workspace != DEFAULT and not valid_workspace(workspace):
        raise ValueError(f"{workspace!r} is not the name of a workspace")
    return engine.execution_options(**{_SCOPE: workspace or _DEFAULT})


def of_every_workspace(engine: Engine) -> Engine:
    """Return an engine on the same connections whose transactions see all rows."""
    return engine.execution_options(**{_SCOPE: _EVERY})


def name_workspaces(engine: Engine) -> None:
    """Make this Postgres engine tell the policies which workspace each transaction is for.

    Only transactions of the engines that ``of_workspace`` and ``of_every_workspace`` return say one.
    """
    event.listen(engine, "do_execute", _execute)


def naming(connection: Connection) -> str:
    """Return the SQL that names a connection's workspace, to put before a statement, or nothing if it names none."""
    return _naming(connection.get_execution_options())


def _naming(options: Mapping[str, Any]) -> str:
    scope = options.get(_SCOPE)
    return "" if scope is None else f"SET LOCAL dagway.workspace = '{scope}'; "


def _execute(cursor: Any, statement: str, parameters: Any, context: ExecutionContext) -> bool:
    named = _naming(context.execution_options)
    if not named:
        return False
    if cursor.name is not None:
        # A cursor on the server puts DECLARE before its statement.
        with cursor.connection.cursor() as plain:
            plain.execute(named)
        return False
    # In the message of the statement it costs no round trip. Both are one transaction, with and without a pooler, and
    # the setting ends with it.
    cursor.execute(named + statement, parameters)
    return True
