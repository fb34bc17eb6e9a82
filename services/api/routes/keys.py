"""API keys (as in Dagu's REST API v2)."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from pydantic import Field

from services.api.auth.authentication import forbidden
from services.api.auth.tokens import KEY_PREFIX, secret_hash
from services.api.operations import ApiResponse, Body, Call, Operations, Result, ok
from services.api.problems import bad_request, not_found
from services.api.representations import accounts_json
from services.api.requests import checked_values
from services.api.requests.workspace_names import stored
from services.api.response_schemas.accounts import ApiKeyAnswerSchema, ApiKeyMadeSchema, ApiKeysSchema
from shared.base58 import base58
from shared.contracts.commands.accounts import CreateApiKey, DeleteApiKey, UpdateApiKey

__all__ = ["KEYS"]

KEYS = Operations()
_PATH = "/api-keys/{keyId}"
_MAX_NAME, _MAX_DESCRIPTION, _SHOWN = 100, 500, 8
_NO_KEYS = partial(forbidden, "API keys require the builtin authentication mode (DAGWAY_AUTH_MODE=builtin)")


class CreateKeyBody(Body):
    name: str
    description: str = Field(default="", max_length=_MAX_DESCRIPTION)
    role: str
    expires_at: str = Field(default="", alias="expiresAt", description="time (RFC 3339); empty: never")
    dags: list[str] = Field(default_factory=list, description="patterns of DAG names; empty: all DAGs")


class UpdateKeyBody(Body):
    name: str = ""
    description: str | None = Field(default=None, max_length=_MAX_DESCRIPTION)
    role: str | None = None
    expires_at: str | None = Field(default=None, alias="expiresAt", description="time (RFC 3339); empty: never")
    dags: list[str] | None = Field(default=None, description="patterns of DAG names; empty: all DAGs")


@KEYS.get("/api-keys", id="listAPIKeys", role="admin", builtin=_NO_KEYS, response=ApiKeysSchema)
def list_keys(call: Call) -> ApiResponse:
    """List all API keys, oldest first, without their secrets."""
    return ok({"apiKeys": [accounts_json.api_key(each) for each in call.deps.reads.api_keys()]})


@KEYS.post("/api-keys", id="createAPIKey", role="admin", builtin=_NO_KEYS, response=ApiKeyMadeSchema, status=201)
def create_key(call: Call, body: CreateKeyBody) -> ApiResponse:
    """Create an API key. Only this response contains the secret key."""
    secret = KEY_PREFIX + base58(call.drawn(32, "api key"))
    command = CreateApiKey(
        by=call.user,
        key_id=call.drawn_id("api key id"),
        name=_name(body.name),
        description=body.description,
        role=checked_values.role(body.role),
        prefix=secret[:_SHOWN],
        secret_hash=secret_hash(secret),
        created_by=call.principal.id,
        expires_at=_expiry(call, body.expires_at),
        dags=checked_values.dag_patterns(body.dags),
    )
    return call.carry_out(command, then=_key, known={"key": secret})


@KEYS.get(_PATH, id="getAPIKey", role="admin", builtin=_NO_KEYS, response=ApiKeyAnswerSchema)
def get_key(call: Call, key_id: str) -> ApiResponse:
    """Return one API key, without its secret."""
    found = call.deps.reads.api_key(checked_values.known_id(key_id, "API key"))
    if found is None:
        raise not_found(f"There is no API key {key_id!r}")
    return ok({"apiKey": accounts_json.api_key(found)})


@KEYS.patch(_PATH, id="updateAPIKey", role="admin", builtin=_NO_KEYS, response=ApiKeyAnswerSchema)
def update_key(call: Call, body: UpdateKeyBody, key_id: str) -> ApiResponse:
    """Change an API key. An empty ``expiresAt`` removes its expiry, an empty ``dags`` its limit to some DAGs."""
    command = UpdateApiKey(
        by=call.user,
        key_id=checked_values.known_id(key_id, "API key"),
        name=_name(body.name) if body.name.strip() else None,
        description=body.description,
        role=checked_values.role(body.role) if body.role is not None else None,
        expires_at=_expiry(call, body.expires_at or ""),
        never_expires=body.expires_at == "",
        dags=checked_values.dag_patterns(body.dags) if body.dags is not None else None,
    )
    return call.carry_out(command, then=_key)


@KEYS.delete(_PATH, id="deleteAPIKey", role="admin", builtin=_NO_KEYS, status=204)
def delete_key(call: Call, key_id: str) -> ApiResponse:
    """Delete an API key. Later requests with this key are refused."""
    return call.carry_out(DeleteApiKey(by=call.user, key_id=checked_values.known_id(key_id, "API key")))


def _key(result: Result) -> dict[str, Any]:
    return {"apiKey": accounts_json.api_key(result["apiKey"])}


def _name(text: str) -> str:
    return stored(checked_values.printable(text, "name", most=_MAX_NAME), "name")


def _expiry(call: Call, text: str) -> datetime | None:
    if text == "":
        return None
    try:
        expires_at = datetime.fromisoformat(text)
        if expires_at.tzinfo is None:
            raise ValueError("no offset from UTC")
        expires_at = expires_at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise bad_request(
            f"expiresAt: must be a time with an offset from UTC, such as 2027-01-31T00:00:00Z, not {text[:40]!r}",
            field="expiresAt",
        ) from error
    if expires_at <= call.now:
        raise bad_request(f"expiresAt: {text[:40]} is not in the future", field="expiresAt")
    return expires_at
