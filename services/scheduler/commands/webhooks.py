"""Handlers of the commands about webhooks."""

from typing import Any

from services.scheduler.commands.accounts import without_hashes
from services.scheduler.commands.handler import Handlers
from services.scheduler.deciding.batch import Batch
from shared.contracts import commands as c
from shared.errors import AlreadyExists, NotFound
from shared.store import tables as t
from shared.store.writes.accounts import AccountWrites
from shared.store.writes.transaction import Transaction

__all__ = ["HANDLERS", "delete_webhook_of", "move_webhook"]


def _create(batch: Batch, command: c.CreateWebhook) -> dict[str, Any]:
    accounts = batch.tx.accounts
    taken = accounts.lock(t.webhooks, file_name=command.file_name) is not None
    dag = batch.tx.dags.lock(command.file_name)
    if dag is None or dag["errors"]:
        raise NotFound(f"There is no DAG {command.file_name!r}, or its spec has errors")
    if taken:
        raise AlreadyExists(f"DAG {command.file_name!r} already has a webhook")
    row = {
        "id": command.webhook_id,
        "file_name": command.file_name,
        "prefix": command.prefix,
        "secret_hash": command.secret_hash,
        "enabled": True,
        "created_by": command.created_by,
        "created_at": batch.now,
        "updated_at": batch.now,
        "last_used_at": None,
    }
    accounts.add(t.webhooks, row)
    return {"webhook": without_hashes(row)}


def _regenerate(batch: Batch, command: c.RegenerateWebhook) -> dict[str, Any]:
    return _change(batch, command, {"prefix": command.prefix, "secret_hash": command.secret_hash})


def _toggle(batch: Batch, command: c.ToggleWebhook) -> dict[str, Any]:
    return _change(batch, command, {"enabled": command.enabled})


def _delete(batch: Batch, command: c.DeleteWebhook) -> dict[str, Any]:
    accounts = batch.tx.accounts
    accounts.remove(t.webhooks, _find(accounts, command.file_name)["id"])
    return {}


def _change(batch: Batch, command: c.WebhookCommand, values: dict[str, Any]) -> dict[str, Any]:
    accounts = batch.tx.accounts
    row = _find(accounts, command.file_name)
    values = {"updated_at": batch.now, **values}
    accounts.change(t.webhooks, row["id"], values)
    return {"webhook": without_hashes(row | values)}


def _find(accounts: AccountWrites, file_name: str) -> dict[str, Any]:
    row = accounts.lock(t.webhooks, file_name=file_name)
    if row is None:
        raise NotFound(f"DAG {file_name!r} has no webhook")
    return row


def delete_webhook_of(tx: Transaction, file_name: str) -> None:
    """Delete the webhook of a DAG, if it has one."""
    accounts = tx.accounts
    row = accounts.lock(t.webhooks, file_name=file_name)
    if row is not None:
        accounts.remove(t.webhooks, row["id"])


def move_webhook(tx: Transaction, file_name: str, new_file_name: str) -> None:
    """Move the webhook of a renamed DAG to its new file name; a webhook of the new name is deleted."""
    accounts = tx.accounts
    delete_webhook_of(tx, new_file_name)
    row = accounts.lock(t.webhooks, file_name=file_name)
    if row is not None:
        accounts.change(t.webhooks, row["id"], {"file_name": new_file_name})


HANDLERS: Handlers = {
    c.CreateWebhook: _create,
    c.RegenerateWebhook: _regenerate,
    c.ToggleWebhook: _toggle,
    c.DeleteWebhook: _delete,
}
