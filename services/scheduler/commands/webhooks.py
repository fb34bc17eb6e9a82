"""Webhooks: one per dag file. Their runs are queued by the same command as everybody's."""

from typing import Any

from services.scheduler.commands.accounts import shown
from services.scheduler.deciding.batch import Batch
from shared.contracts.commands.webhooks import (
    CreateWebhook,
    DeleteWebhook,
    RegenerateWebhook,
    ToggleWebhook,
    WebhookCommand,
)
from shared.errors import AlreadyExists, InvalidInput, NotFound
from shared.store import tables as t
from shared.store.writes.accounts import AccountWrites
from shared.store.writes.transaction import Transaction

__all__ = ["carry_out_webhook", "forget_webhook", "move_webhook"]


def carry_out_webhook(batch: Batch, command: WebhookCommand) -> dict[str, Any]:
    """Carry out one of these commands within ``batch``'s transaction."""
    accounts = batch.tx.accounts
    row = accounts.lock(t.webhooks, file_name=command.file_name)
    if isinstance(command, CreateWebhook):
        return {"webhook": _create(batch, accounts, command, taken=row is not None)}
    if row is None:
        raise NotFound(f"DAG {command.file_name} has no webhook")
    values: dict[str, Any] = {"updated_at": batch.now}
    match command:
        case RegenerateWebhook():
            values |= {"prefix": command.prefix, "secret_hash": command.secret_hash}
        case ToggleWebhook():
            values["enabled"] = command.enabled
        case DeleteWebhook():
            accounts.remove(t.webhooks, row["id"])
            return {}
        case _:
            raise InvalidInput(f"{type(command).__name__} is not a command about webhooks")
    accounts.change(t.webhooks, row["id"], values)
    return {"webhook": shown(row | values)}


def forget_webhook(tx: Transaction, file_name: str) -> None:
    """Remove the webhook of a dag that goes."""
    accounts = tx.accounts
    row = accounts.lock(t.webhooks, file_name=file_name)
    if row is not None:
        accounts.remove(t.webhooks, row["id"])


def move_webhook(tx: Transaction, file_name: str, new_file_name: str) -> None:
    """Let the webhook of a renamed dag go with it."""
    accounts = tx.accounts
    forget_webhook(tx, new_file_name)
    row = accounts.lock(t.webhooks, file_name=file_name)
    if row is not None:
        accounts.change(t.webhooks, row["id"], {"file_name": new_file_name})


def _create(batch: Batch, accounts: AccountWrites, command: CreateWebhook, *, taken: bool) -> dict[str, Any]:
    dag = batch.tx.dags.lock(command.file_name)
    if dag is None or dag["errors"]:
        raise NotFound(f"DAG {command.file_name} not found, or invalid")
    if taken:
        raise AlreadyExists(f"DAG {command.file_name} has a webhook already")
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
    return shown(row)
