"""The audit log: an addition to Dagu's API."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from services.api.operations import ApiResponse, Call, Operations, Query, json_bytes, ok
from services.api.representations.audit_json import audit_entry
from services.api.requests import checked_values
from services.api.requests.cursors import moment, read_cursor, write_cursor
from services.api.response_schemas.audit import AuditPageSchema
from shared.store.reads.reader import AuditFilter, AuditPlace, AuditRow

__all__ = ["AUDIT"]

AUDIT = Operations()
_LINES = "application/x-ndjson"
_PAGE, _MAX_PAGE = 100, 1000
_MAX_CHARS = 200


class AuditQuery(Query):
    actor: str | None = Field(default=None, max_length=_MAX_CHARS, description="name or id of the actor")
    target: str | None = Field(default=None, max_length=_MAX_CHARS, description="name or id of the target")
    target_kind: str | None = Field(
        default=None,
        max_length=_MAX_CHARS,
        alias="targetKind",
        description="run, dag, user, api_key, webhook, queue, pool, secret, worker, worker_pool, dead_letter, "
        "workspace, all or audit",
    )
    operation: str | None = Field(
        default=None, max_length=_MAX_CHARS, description="type of a command, or operationId: run.start, login"
    )
    outcome: str | None = Field(
        default=None, max_length=_MAX_CHARS, description="done, refused, or the error code of a refusal"
    )
    since: AwareDatetime | None = Field(default=None, alias="from", description="entries from this time on (RFC 3339)")
    until: AwareDatetime | None = Field(default=None, alias="to", description="entries before this time (RFC 3339)")
    cursor: str = Field(default="", max_length=_MAX_CHARS, description="nextCursor of a page: return the page after it")
    limit: int = Field(default=_PAGE, ge=1, le=_MAX_PAGE, description="maximum number of entries on a page")
    format: Literal["json", "ndjson"] | None = Field(
        default=None, description="ndjson: all entries, one JSON object a line (or send Accept: application/x-ndjson)"
    )


@AUDIT.get("/audit", id="listAuditEntries", role="admin", reach="server", response=AuditPageSchema, media_type=_LINES)
def list_entries(call: Call, query: AuditQuery) -> ApiResponse:
    """List the entries of the audit log that match all filters, newest first.

    As JSON lines, the response has all entries from the cursor on, without pages.
    """
    asked = AuditFilter(
        actor=query.actor,
        target=query.target,
        target_kind=query.target_kind,
        operation=query.operation,
        outcome=query.outcome,
        since=checked_values.utc(query.since, "from"),
        until=checked_values.utc(query.until, "to"),
    )
    before = read_cursor(query.cursor, _place) if query.cursor else None
    accepts = query.format == "ndjson" or (query.format is None and _LINES in call.headers.get("Accept", ""))
    if accepts:
        first = call.deps.reads.audit(asked, before=before, limit=_MAX_PAGE)
        return ApiResponse(200, _lines(call, asked, first), _LINES)
    found = call.deps.reads.audit(asked, before=before, limit=query.limit + 1)
    shown = found[: query.limit]
    cursor = write_cursor(shown[-1].at.isoformat(), shown[-1].id) if len(found) > query.limit else None
    return ok({"entries": [audit_entry(each) for each in shown], "nextCursor": cursor})


def _lines(call: Call, asked: AuditFilter, page: tuple[AuditRow, ...]) -> Iterator[bytes]:
    """Yield the entries of ``page`` and of all pages behind it. An error ends the response before its end."""
    while page:
        yield b"".join(json_bytes(audit_entry(each)) + b"\n" for each in page)
        if len(page) < _MAX_PAGE:
            return
        page = call.deps.reads.audit(asked, before=page[-1].place, limit=_MAX_PAGE)


def _place(values: list[Any]) -> AuditPlace | None:
    match values:
        case [str(at), str(entry_id)]:
            return AuditPlace(moment(at), entry_id)
    return None
