"""Webhooks. Administrators manage them; a client can trigger one with its token (as in Dagu's REST API v2).

An addition to Dagu's API: a request can be signed instead (``webhook_signatures``).
"""

import hmac
import json
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn

from pydantic import Field

from services.api.auth.authentication import forbidden, unauthorized
from services.api.auth.principals import Principal
from services.api.auth.tokens import BCRYPT, HOOK_PREFIX, secret_hash
from services.api.auth.webhook_signatures import (
    TOLERANCE,
    SignedRequest,
    WebhookRefusal,
    shown_secret,
    signing_secret,
    why_refused,
)
from services.api.command_client import chosen_run_id, run_id_for
from services.api.observability.request_metrics import WEBHOOK_REFUSALS
from services.api.operations import ApiResponse, Body, Call, Operations, Result, ok
from services.api.problems import TOO_LARGE, Problem, not_found
from services.api.representations import accounts_json
from services.api.requests import checked_values
from services.api.requests.workspace_names import stored_command_id
from services.api.response_schemas.accounts import TriggeredSchema, WebhookMadeSchema, WebhookSchema, WebhooksSchema
from shared.base58 import base58
from shared.contracts.commands import EnqueueRun
from shared.contracts.commands.webhooks import (
    CreateWebhook,
    DeleteWebhook,
    RegenerateWebhook,
    ToggleWebhook,
)
from shared.store.reads.reader import WebhookRow

__all__ = ["WEBHOOKS"]

WEBHOOKS = Operations()
_HOOK = "/dags/{fileName}/webhook"
_SIGNATURE = "webhook-signature"
_SHOWN = 12
_MAX_PAYLOAD_BYTES = 1024 * 1024
_WHY = "Webhooks require the builtin authentication mode (DAGWAY_AUTH_MODE=builtin)"
_NO_WEBHOOKS, _NO_TRIGGER = partial(unauthorized, _WHY), partial(not_found, _WHY)


class ToggleBody(Body):
    enabled: bool


class TriggerBody(Body):
    dag_run_id: str = Field(default="", alias="dagRunId")
    payload: dict[str, Any] = Field(default_factory=dict)


@WEBHOOKS.get("/webhooks", id="listWebhooks", role="admin", builtin=_NO_WEBHOOKS, response=WebhooksSchema)
def list_webhooks(call: Call) -> ApiResponse:
    """List all webhooks, sorted by the file name of their DAG, without their tokens."""
    return ok({"webhooks": [accounts_json.webhook(each) for each in call.deps.reads.webhooks()]})


@WEBHOOKS.get(_HOOK, id="getDAGWebhook", role="admin", builtin=_NO_WEBHOOKS, response=WebhookSchema)
def get_webhook(call: Call, file_name: str) -> ApiResponse:
    """Return the webhook of a DAG, without its token."""
    stem = checked_values.file_name(file_name)
    found = call.deps.reads.webhook(stem)
    if found is None:
        raise not_found(f"DAG {stem!r} has no webhook")
    return ok(accounts_json.webhook(found))


@WEBHOOKS.post(_HOOK, id="createDAGWebhook", role="admin", builtin=_NO_WEBHOOKS, response=WebhookMadeSchema, status=201)
def create_webhook(call: Call, file_name: str) -> ApiResponse:
    """Create the webhook of a DAG. Only this response contains the token and the secret for signatures."""
    token, stem = _token(call), checked_values.file_name(file_name)
    command = CreateWebhook(
        by=call.user,
        file_name=stem,
        webhook_id=call.drawn_id("webhook id"),
        prefix=token[:_SHOWN],
        secret_hash=secret_hash(token),
        created_by=call.principal.id,
    )
    return call.carry_out(command, then=_hook, known=_credentials(call, token))


@WEBHOOKS.delete(_HOOK, id="deleteDAGWebhook", role="admin", builtin=_NO_WEBHOOKS, status=204)
def delete_webhook(call: Call, file_name: str) -> ApiResponse:
    """Delete the webhook of a DAG. Requests with its token are refused from then on."""
    return call.carry_out(DeleteWebhook(by=call.user, file_name=checked_values.file_name(file_name)))


@WEBHOOKS.post(
    f"{_HOOK}/regenerate",
    id="regenerateDAGWebhookToken",
    role="admin",
    builtin=_NO_WEBHOOKS,
    response=WebhookMadeSchema,
)
def regenerate(call: Call, file_name: str) -> ApiResponse:
    """Replace the token of a DAG's webhook and the secret for signatures. Only this response contains the new ones."""
    token = _token(call)
    command = RegenerateWebhook(
        by=call.user,
        file_name=checked_values.file_name(file_name),
        prefix=token[:_SHOWN],
        secret_hash=secret_hash(token),
    )
    return call.carry_out(command, then=_hook, known=_credentials(call, token))


@WEBHOOKS.post(f"{_HOOK}/toggle", id="toggleDAGWebhook", role="admin", builtin=_NO_WEBHOOKS, response=WebhookSchema)
def toggle(call: Call, body: ToggleBody, file_name: str) -> ApiResponse:
    """Enable or disable the webhook of a DAG."""
    command = ToggleWebhook(by=call.user, file_name=checked_values.file_name(file_name), enabled=body.enabled)
    return call.carry_out(command, then=lambda result: accounts_json.webhook(result["webhook"]))


@dataclass(frozen=True, slots=True)
class _Credential:
    """The webhook that a request may trigger. ``delivery``: the id of a signed request, else empty.

    ``signed_at``: the timestamp of a signed request, as it was sent.
    """

    hook: WebhookRow
    delivery: str = ""
    signed_at: str = ""


def _check_credential(call: Call, file_name: str) -> _Credential:
    """Return the webhook whose token or signature the request has. Raises a 401 if it has none."""
    hook = call.deps.reads.webhook(checked_values.file_name(file_name))
    if _SIGNATURE in call.headers:
        return _check_signature(call, hook)
    scheme, _, token = call.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        _refuse(WebhookRefusal.TOKEN, "The webhook's token is missing: send the header Authorization: Bearer TOKEN")
    if hook is None or not token.startswith(HOOK_PREFIX) or not _fits(call, hook, token):
        # A DAG that does not exist gets the same response: without a token, a client cannot find out which DAGs exist.
        _refuse(WebhookRefusal.TOKEN, "The webhook's token is not valid")
    return _Credential(hook)


def _check_signature(call: Call, hook: WebhookRow | None) -> _Credential:
    headers, settings = call.headers, call.deps.settings
    signed = SignedRequest(
        headers.get("webhook-id", ""), headers.get("webhook-timestamp", ""), headers[_SIGNATURE], call.raw_body()
    )
    keys = (settings.token_secret, *settings.other_token_secrets)
    token_hash = hook.secret_hash if hook is not None else ""
    why = why_refused(signed, [signing_secret(key, token_hash) for key in keys if key], call.now)
    if why is WebhookRefusal.STALE:
        _refuse(why, f"webhook-timestamp: is more than {TOLERANCE.seconds // 60} minutes from now")
    if hook is None or why is not None:
        _refuse(WebhookRefusal.SIGNATURE, "The webhook's signature is not valid")
    return _Credential(hook, signed.id, signed.timestamp)


def _refuse(why: WebhookRefusal, message: str) -> NoReturn:
    WEBHOOK_REFUSALS.labels(why.value).inc()
    raise unauthorized(message)


@WEBHOOKS.post(
    "/webhooks/{fileName}",
    id="triggerWebhook",
    role="public",
    builtin=_NO_TRIGGER,
    own_token=_check_credential,
    headers=("webhook-id", "webhook-timestamp", _SIGNATURE),
    body_required=False,
    response=TriggeredSchema,
)
def trigger(call: Call, body: TriggerBody, file_name: str, credential: _Credential) -> ApiResponse:
    """Trigger a webhook: queue a run of its DAG. The only credential is the webhook's token, or a signature.

    A signed request starts one run, however often it is sent: the id of the run follows from the request. That holds
    too when the run has been removed meanwhile.
    """
    deps, stem, hook = call.deps, checked_values.file_name(file_name), credential.hook
    call = call.made_by(Principal("webhook", hook.id, f"webhook:{stem}", "operator" if hook.enabled else ""))
    deps.auth.last_uses.note("webhook", hook.id, hook.last_used_at)
    if not hook.enabled:
        raise forbidden("This webhook is disabled; an administrator can enable it")
    dag = deps.reads.dag(stem)
    if dag is None or dag.errors:
        raise not_found(f"There is no DAG {stem!r}, or its spec has errors")
    payload = json.dumps(body.payload, ensure_ascii=False, separators=(",", ":"))
    if len(payload.encode("utf-8", "replace")) > _MAX_PAYLOAD_BYTES:
        raise Problem(TOO_LARGE, "bad_request", "payload: must have at most 1 MiB")
    delivery = f"{hook.id} {credential.delivery}" if credential.delivery else call.key
    run_id = chosen_run_id(body.dag_run_id, delivery)
    command = EnqueueRun(
        by=call.user,
        file_name=stem,
        dag_run_id=run_id,
        params=json.dumps({"WEBHOOK_PAYLOAD": payload}, ensure_ascii=False),
        own_run_id=bool(body.dag_run_id),
    )
    if credential.delivery:
        # A request that was signed anew is another command. So a sender may repeat a delivery that was refused.
        signed = f"webhook {delivery} {credential.signed_at}"
        call = replace(call, key=stored_command_id(call.workspace, run_id_for(signed)))
        outcome = deps.reads.command(call.key or "")
        if outcome is not None and outcome.outcome == "recorded":
            WEBHOOK_REFUSALS.labels(WebhookRefusal.REPLAYED.value).inc()
            raise Problem(409, "already_exists", f"This request was accepted before: it started the run {run_id}")
    try:
        return call.carry_out(command, known={"dagRunId": run_id, "dagName": dag.dag_name})
    except Problem as problem:
        if credential.delivery and problem.code == "already_exists":
            WEBHOOK_REFUSALS.labels(WebhookRefusal.REPLAYED.value).inc()
        raise


def _hook(result: Result) -> dict[str, Any]:
    return {"webhook": accounts_json.webhook(result["webhook"])}


def _token(call: Call) -> str:
    return HOOK_PREFIX + base58(call.drawn(32, "webhook"))


def _credentials(call: Call, token: str) -> dict[str, str]:
    secret = signing_secret(call.deps.settings.token_secret, secret_hash(token))
    return {"token": token, "signingSecret": shown_secret(secret)}


def _fits(call: Call, hook: WebhookRow, token: str) -> bool:
    if hook.secret_hash.startswith(BCRYPT):
        return token.startswith(hook.prefix) and call.deps.auth.fits_imported(hook.secret_hash, token, call.address)
    return hmac.compare_digest(hook.secret_hash, secret_hash(token))
