"""Stored secrets: additions to Dagu's API. Values can be written and not read."""

import re
from typing import Any

from pydantic import Field

from services.api.operations import ApiResponse, Body, Call, Operations, ok
from services.api.problems import Problem, bad_request
from services.api.representations.json_values import precise
from services.api.requests import checked_values
from services.api.requests.workspace_names import stored
from services.api.response_schemas.secrets import RotatedSchema, SecretSetSchema, SecretsSchema
from shared.contracts.commands.secrets import DeleteSecret, ResealedSecret, ResealSecrets, SetSecret
from shared.secret_box import CannotOpenSecret, SecretBox, key_of
from shared.store.reads.reader import SecretRow

__all__ = ["SECRETS"]

SECRETS = Operations()
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_MOST_BYTES = 64 * 1024
"""The largest value: each task that needs it carries it, and Linux takes 128 KiB of one environment variable."""
_AT_ONCE = 10
"""How many secrets one request seals anew: with the old and the new text together at most 2 MiB, as one message."""


class SecretBody(Body):
    value: str = Field(repr=False, min_length=1, description="at most 64 KiB in UTF-8")
    dags: list[str] = Field(
        default_factory=list, description="patterns of the names of DAG files that may use it; empty: all DAGs"
    )


@SECRETS.get("/secrets", id="listSecrets", role="manager", response=SecretsSchema)
def list_secrets(call: Call) -> ApiResponse:
    """List the stored secrets, without their values. ``keyId`` is the key that seals new values; empty: none is set."""
    shown = [_shown(row) for row in call.deps.reads.secrets()]
    return ok({"secrets": shown, "keyId": call.deps.settings.secret_box.key_id})


@SECRETS.put("/secrets/{name}", id="setSecret", role="manager", permission="write_dags", response=SecretSetSchema)
def set_secret(call: Call, body: SecretBody, name: str) -> ApiResponse:
    """Store a secret, or replace its value and its ``dags``. No operation returns the value."""
    known, box = _name(name), _box(call)
    sealed = box.seal(known, _value(body.value), request=call.key)
    command = SetSecret(by=call.user, name=known, sealed=sealed, dags=checked_values.dag_patterns(body.dags))
    return call.carry_out(command, then=lambda result: {"name": known, "version": result["version"]})


@SECRETS.delete("/secrets/{name}", id="deleteSecret", role="manager", permission="write_dags", status=204)
def delete_secret(call: Call, name: str) -> ApiResponse:
    """Delete a stored secret. Steps that need it fail from now on."""
    return call.carry_out(DeleteSecret(by=call.user, name=_name(name)))


@SECRETS.post("/secrets/rotate", id="rotateSecrets", role="manager", permission="write_dags", response=RotatedSchema)
def rotate(call: Call) -> ApiResponse:
    """Seal again, with the first key, up to 10 stored secrets that another key seals.

    Repeat while ``remaining`` is not 0.
    """
    box = _box(call)
    # What a repeated request would seal is another set by now, or none: the first one's outcome counts.
    known = call.deps.reads.command(call.key) if call.key else None
    if known is not None and known.type == ResealSecrets.type and known.outcome == "recorded":
        return ok(known.reply["result"])
    old = [row for row in call.deps.reads.secrets() if key_of(row.sealed) != box.key_id]
    some = tuple(_resealed(box, row, call.key) for row in old[:_AT_ONCE])
    command = ResealSecrets(by=call.user, secrets=some, remaining=len(old) - len(some))
    return call.carry_out(command, then=lambda result: result)


def _resealed(box: SecretBox, row: SecretRow, key: str | None) -> ResealedSecret:
    try:
        value = box.open(row.name, row.sealed)
    except CannotOpenSecret as error:
        raise Problem(409, "conflict", f"The secret {row.name} cannot be opened: {error}") from error
    return ResealedSecret(name=row.name, replaces=row.sealed, sealed=box.seal(row.name, value, request=key))


def _shown(row: SecretRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "version": row.version,
        "keyId": key_of(row.sealed),
        "dags": row.dags.split(),
        "createdAt": precise(row.created_at),
        "updatedAt": precise(row.updated_at),
        "updatedBy": row.by,
    }


def _box(call: Call) -> SecretBox:
    box = call.deps.settings.secret_box
    if not box:
        raise Problem(409, "conflict", "This gateway has no key for stored secrets: set DAGWAY_SECRET_KEYS")
    return box


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        rule = "1 to 100 letters, digits, dashes, dots or underscores, and not begin with a dash or dot"
        raise bad_request(f"name: {text[:40]!r} must be {rule}", field="name")
    return stored(text, "name")


def _value(text: str) -> str:
    size = len(text.encode())
    if size > _MOST_BYTES:
        raise bad_request(f"value: must have at most {_MOST_BYTES} bytes, and has {size}", field="value")
    if "\0" in text:
        raise bad_request("value: must not contain a NUL character: no environment variable can", field="value")
    return text
