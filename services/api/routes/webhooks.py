"""Webhooks: managed by administrators, triggered by whoever holds the token (REST contract section 5.12)."""

import hmac
import json
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import Field

from services.api.auth.authentication import forbidden, unauthorized
from services.api.auth.tokens import HOOK_PREFIX, drawn, new_secret, secret_hash
from services.api.command_client import Accepted
from services.api.operations import Answer, Body, Call, Operations, accepted, created, ok, removed
from services.api.problems import TOO_LARGE, Problem, not_found
from services.api.representations import json_values
from services.api.routes.control import set_run_id
from shared.contracts.commands import EnqueueRun
from shared.contracts.commands.webhooks import (
    CreateWebhook,
    DeleteWebhook,
    RegenerateWebhook,
    ToggleWebhook,
    WebhookCommand,
)
from shared.store.reads.reader import WebhookRow

__all__ = ["WEBHOOKS"]

WEBHOOKS = Operations()
_HOOK = "/dags/{fileName}/webhook"
_SHOWN = 12
_MAX_PAYLOAD_BYTES = 1024 * 1024
_WHY = "Webhooks need the builtin authentication mode"
_NO_WEBHOOKS, _NO_TRIGGER = partial(unauthorized, _WHY), partial(not_found, _WHY)


class ToggleBody(Body):
    enabled: bool


class TriggerBody(Body):
    dag_run_id: str = Field(default="", alias="dagRunId")
    payload: dict[str, Any] = Field(default_factory=dict)


@WEBHOOKS.get("/webhooks", id="listWebhooks", role="admin", builtin=_NO_WEBHOOKS)
def list_webhooks(call: Call) -> Answer:
    """List all webhooks by file name."""
    return ok({"webhooks": [_shown(each) for each in call.deps.reads.webhooks()]})


@WEBHOOKS.get(_HOOK, id="getDAGWebhook", role="admin", builtin=_NO_WEBHOOKS)
def get_webhook(call: Call, file_name: str) -> Answer:
    """Return a dag's webhook without its token."""
    stem = json_values.file_name(file_name)
    found = call.deps.reads.webhook(stem)
    if found is None:
        raise not_found(f"DAG {stem!r} has no webhook")
    return ok(_shown(found))


@WEBHOOKS.post(_HOOK, id="createDAGWebhook", role="admin", builtin=_NO_WEBHOOKS)
def create_webhook(call: Call, file_name: str) -> Answer:
    """Make a dag's webhook; its token is in this answer and nowhere else."""
    token, stem = _token(call), json_values.file_name(file_name)
    random = drawn(16, server_secret=call.deps.settings.token_secret, purpose="webhook id", key=call.key)
    command = CreateWebhook(
        by=call.user,
        file_name=stem,
        webhook_id=str(UUID(bytes=random, version=4)),
        prefix=token[:_SHOWN],
        secret_hash=secret_hash(token),
        created_by=call.principal.id,
    )
    outcome = call.deps.commands.ask(command, key=call.key)
    if isinstance(outcome, Accepted):
        return accepted({"commandId": outcome.command_id, "token": token})
    return created({"webhook": _from_reply(outcome.result["webhook"]), "token": token})


@WEBHOOKS.delete(_HOOK, id="deleteDAGWebhook", role="admin", builtin=_NO_WEBHOOKS)
def delete_webhook(call: Call, file_name: str) -> Answer:
    """Remove a dag's webhook."""
    outcome = call.deps.commands.ask(
        DeleteWebhook(by=call.user, file_name=json_values.file_name(file_name)), key=call.key
    )
    return accepted({"commandId": outcome.command_id}) if isinstance(outcome, Accepted) else removed()


@WEBHOOKS.post(f"{_HOOK}/regenerate", id="regenerateDAGWebhookToken", role="admin", builtin=_NO_WEBHOOKS)
def regenerate(call: Call, file_name: str) -> Answer:
    """Replace a webhook's token."""
    token = _token(call)
    command = RegenerateWebhook(
        by=call.user, file_name=json_values.file_name(file_name), prefix=token[:_SHOWN], secret_hash=secret_hash(token)
    )
    return _changed(call, command, token)


@WEBHOOKS.post(f"{_HOOK}/toggle", id="toggleDAGWebhook", role="admin", body=ToggleBody, builtin=_NO_WEBHOOKS)
def toggle(call: Call, body: ToggleBody, file_name: str) -> Answer:
    """Switch a webhook on or off."""
    command = ToggleWebhook(by=call.user, file_name=json_values.file_name(file_name), enabled=body.enabled)
    return _changed(call, command, None)


@WEBHOOKS.post(
    "/webhooks/{fileName}",
    id="triggerWebhook",
    role="public",
    body=TriggerBody,
    body_required=False,
    builtin=_NO_TRIGGER,
)
def trigger(call: Call, body: TriggerBody, file_name: str) -> Answer:
    """Queue a run of the webhook's dag; the token is the only credential."""
    deps = call.deps
    scheme, _, token = call.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthorized("A webhook's token is needed as Bearer")
    stem = json_values.file_name(file_name)
    hook = deps.reads.webhook(stem)
    token = token.strip()
    if hook is None or not token.startswith(HOOK_PREFIX) or not _fits(hook, token):
        # The same for a dag that does not exist: whoever has no token learns nothing.
        raise unauthorized("The webhook's token is not valid")
    deps.auth.touch("webhook", hook.id, hook.last_used_at)
    if not hook.enabled:
        raise forbidden("This webhook is switched off")
    dag = deps.reads.dag(stem)
    if dag is None or dag.errors:
        raise not_found(f"There is no DAG {stem!r}, or it is invalid")
    payload = json.dumps(body.payload, ensure_ascii=False, separators=(",", ":"))
    if len(payload.encode("utf-8", "replace")) > _MAX_PAYLOAD_BYTES:
        raise Problem(TOO_LARGE, "bad_request", "payload: 1 MiB at most")
    run_id = set_run_id(call, body.dag_run_id)
    command = EnqueueRun(
        by=f"webhook:{stem}",
        file_name=stem,
        dag_run_id=run_id,
        params=json.dumps({"WEBHOOK_PAYLOAD": payload}, ensure_ascii=False),
    )
    outcome = deps.commands.ask(command, key=call.key)
    if isinstance(outcome, Accepted):
        return accepted({"commandId": outcome.command_id, "dagRunId": run_id, "dagName": dag.dag_name})
    return ok({"dagRunId": outcome.result.get("dagRunId", run_id), "dagName": dag.dag_name})


def _changed(call: Call, command: WebhookCommand, token: str | None) -> Answer:
    outcome = call.deps.commands.ask(command, key=call.key)
    more = {} if token is None else {"token": token}
    if isinstance(outcome, Accepted):
        return accepted({"commandId": outcome.command_id, **more})
    shown = _from_reply(outcome.result["webhook"])
    return ok({"webhook": shown, **more} if more else shown)


def _token(call: Call) -> str:
    secret = call.deps.settings.token_secret
    return new_secret(HOOK_PREFIX, drawn(32, server_secret=secret, purpose="webhook", key=call.key))


def _fits(hook: WebhookRow, token: str) -> bool:
    return hmac.compare_digest(hook.secret_hash, secret_hash(token))


def _shown(hook: WebhookRow) -> dict[str, Any]:
    return {
        "id": hook.id,
        "dagName": hook.file_name,
        "tokenPrefix": hook.prefix,
        "enabled": hook.enabled,
        "createdAt": json_values.precise(hook.created_at),
        "updatedAt": json_values.precise(hook.updated_at),
        "createdBy": hook.created_by,
        **({"lastUsedAt": json_values.precise(hook.last_used_at)} if hook.last_used_at else {}),
    }


def _from_reply(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "dagName": row["file_name"],
        "tokenPrefix": row["prefix"],
        "enabled": row["enabled"],
        "createdAt": json_values.zulu(row["created_at"]),
        "updatedAt": json_values.zulu(row["updated_at"]),
        "createdBy": row["created_by"],
        **({"lastUsedAt": json_values.zulu(row["last_used_at"])} if row["last_used_at"] else {}),
    }
