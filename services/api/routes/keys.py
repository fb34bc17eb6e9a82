"""API keys (REST contract section 5.16)."""

from functools import partial
from typing import Any
from uuid import UUID

from pydantic import Field

from services.api.auth.authentication import forbidden
from services.api.auth.tokens import KEY_PREFIX, drawn, new_secret, secret_hash
from services.api.command_client import Accepted
from services.api.operations import Answer, Body, Call, Operations, accepted, created, ok, removed
from services.api.problems import bad_request, not_found
from services.api.representations import json_values
from services.api.routes.accounts import role_of
from shared.contracts.commands.accounts import CreateApiKey, DeleteApiKey, UpdateApiKey
from shared.store.reads.reader import ApiKeyRow

__all__ = ["KEYS"]

KEYS = Operations()
_KEY = "/api-keys/{keyId}"
_MAX_NAME, _MAX_DESCRIPTION, _SHOWN = 100, 500, 8
_NO_KEYS = partial(forbidden, "API keys need the builtin authentication mode")


class CreateKeyBody(Body):
    name: str
    description: str = Field(default="", max_length=_MAX_DESCRIPTION)
    role: str


class UpdateKeyBody(Body):
    name: str = ""
    description: str | None = Field(default=None, max_length=_MAX_DESCRIPTION)
    role: str | None = None


@KEYS.get("/api-keys", id="listAPIKeys", role="admin", builtin=_NO_KEYS)
def list_keys(call: Call) -> Answer:
    """List the keys, the oldest first; their secrets are known to nobody."""
    return ok({"apiKeys": [_shown(each) for each in call.deps.reads.api_keys()]})


@KEYS.post("/api-keys", id="createAPIKey", role="admin", body=CreateKeyBody, builtin=_NO_KEYS)
def create_key(call: Call, body: CreateKeyBody) -> Answer:
    """Make a key; its secret is in this answer and nowhere else."""
    server_secret = call.deps.settings.token_secret
    secret = new_secret(KEY_PREFIX, drawn(32, server_secret=server_secret, purpose="api key", key=call.key))
    random = drawn(16, server_secret=server_secret, purpose="api key id", key=call.key)
    command = CreateApiKey(
        by=call.user,
        key_id=str(UUID(bytes=random, version=4)),
        name=_name(body.name),
        description=body.description,
        role=role_of(body.role),
        prefix=secret[:_SHOWN],
        secret_hash=secret_hash(secret),
        created_by=call.principal.id,
    )
    outcome = call.deps.commands.ask(command, key=call.key)
    if isinstance(outcome, Accepted):
        return accepted({"commandId": outcome.command_id, "key": secret})
    return created({"apiKey": _from_reply(outcome.result["apiKey"]), "key": secret})


@KEYS.get(_KEY, id="getAPIKey", role="admin", builtin=_NO_KEYS)
def get_key(call: Call, key_id: str) -> Answer:
    """Return a key without its secret."""
    found = call.deps.reads.api_key(_id(key_id))
    if found is None:
        raise not_found(f"There is no API key {key_id!r}")
    return ok({"apiKey": _shown(found)})


@KEYS.patch(_KEY, id="updateAPIKey", role="admin", body=UpdateKeyBody, builtin=_NO_KEYS)
def update_key(call: Call, body: UpdateKeyBody, key_id: str) -> Answer:
    """Change a key's name, description or role."""
    command = UpdateApiKey(
        by=call.user,
        key_id=_id(key_id),
        name=_name(body.name) if body.name.strip() else None,
        description=body.description,
        role=role_of(body.role) if body.role is not None else None,
    )
    outcome = call.deps.commands.ask(command, key=call.key)
    if isinstance(outcome, Accepted):
        return accepted({"commandId": outcome.command_id})
    return ok({"apiKey": _from_reply(outcome.result["apiKey"])})


@KEYS.delete(_KEY, id="deleteAPIKey", role="admin", builtin=_NO_KEYS)
def delete_key(call: Call, key_id: str) -> Answer:
    """Remove a key; it is worth nothing from then on."""
    outcome = call.deps.commands.ask(DeleteApiKey(by=call.user, key_id=_id(key_id)), key=call.key)
    return accepted({"commandId": outcome.command_id}) if isinstance(outcome, Accepted) else removed()


def _name(text: str) -> str:
    name = text.strip()
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise bad_request(f"name: 1 to {_MAX_NAME} printable characters", field="name")
    return name


def _id(key_id: str) -> str:
    if len(key_id) > 36 or "\0" in key_id:
        raise not_found(f"There is no API key {key_id[:40]!r}")
    return key_id


def _shown(key: ApiKeyRow) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        **({"description": key.description} if key.description else {}),
        "role": key.role,
        "keyPrefix": key.prefix,
        "createdAt": json_values.precise(key.created_at),
        "updatedAt": json_values.precise(key.updated_at),
        "createdBy": key.created_by,
        "lastUsedAt": json_values.precise(key.last_used_at) if key.last_used_at else None,
    }


def _from_reply(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        **({"description": row["description"]} if row["description"] else {}),
        "role": row["role"],
        "keyPrefix": row["prefix"],
        "createdAt": json_values.zulu(row["created_at"]),
        "updatedAt": json_values.zulu(row["updated_at"]),
        "createdBy": row["created_by"],
        "lastUsedAt": json_values.zulu(row["last_used_at"]) if row["last_used_at"] else None,
    }
