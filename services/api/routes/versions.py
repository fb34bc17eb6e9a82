"""The versions of a DAG's spec: list, read, compare, restore. Additions to Dagu's API."""

from typing import Any

from pydantic import Field

from services.api.operations import ApiResponse, Call, Operations, Query, Result, ok
from services.api.problems import bad_request, not_found
from services.api.representations import json_values
from services.api.representations.spec_diff import unified_diff
from services.api.requests import checked_values
from services.api.response_schemas.dags import (
    DiffResponseSchema,
    RestoreResponseSchema,
    VersionsResponseSchema,
    VersionTextSchema,
)
from services.api.run_details.lookup import find_dag
from services.api.serving.greenlets import run_in_thread
from shared.contracts.commands.dags import RestoreSpec
from shared.store.reads.reader import DagVersionRow

__all__ = ["VERSIONS"]

VERSIONS = Operations()
_VERSIONS = "/dags/{fileName}/versions"
_MAX_VERSION = 2**31 - 1
_MAX_DIFF_LINES = 20_000


class DiffQuery(Query):
    to: int | None = Field(default=None, description="the version to compare with (default: the newest)")


@VERSIONS.get(_VERSIONS, id="listDAGVersions", response=VersionsResponseSchema)
def list_versions(call: Call, file_name: str) -> ApiResponse:
    """List the stored versions of a DAG's spec, newest first, without the specs."""
    stem = find_dag(call.deps, file_name).file_name
    return ok({"versions": [_shown(each) for each in call.deps.reads.dag_versions(stem)]})


@VERSIONS.get(f"{_VERSIONS}/{{version}}", id="getDAGVersion", response=VersionTextSchema)
def get_version(call: Call, file_name: str, version: str) -> ApiResponse:
    """Return one stored version of a DAG, with its spec."""
    found = _find(call, find_dag(call.deps, file_name).file_name, _number(version))
    return ApiResponse(200, {**_shown(found), "spec": found.spec or ""}, headers={"ETag": f'"{found.spec_hash}"'})


@VERSIONS.get(f"{_VERSIONS}/{{version}}/diff", id="diffDAGVersions", response=DiffResponseSchema)
def diff(call: Call, query: DiffQuery, file_name: str, version: str) -> ApiResponse:
    """Return the changes from a version of a DAG's spec to another (``to``, else the newest) as a unified diff.

    If more than 2000 lines lie between the first change and the last, all of them are shown as replaced.
    """
    stem = find_dag(call.deps, file_name).file_name
    old = _find(call, stem, _number(version))
    newest = call.deps.reads.dag_versions(stem)[0].version
    new = _find(call, stem, _number(str(query.to)) if query.to is not None else newest)
    before, after = (old.spec or "").splitlines(), (new.spec or "").splitlines()
    if max(len(before), len(after)) > _MAX_DIFF_LINES:
        raise bad_request(f"A spec has too many lines to be compared: at most {_MAX_DIFF_LINES} are possible")
    left, right = (f"{stem}.yaml@{each.version}" for each in (old, new))
    # In a thread, because comparing texts that differ much takes long.
    lines = run_in_thread(lambda: list(unified_diff(before, after, left, right)))
    return ok({"from": old.version, "to": new.version, "diff": "\n".join(lines)})


@VERSIONS.post(
    f"{_VERSIONS}/{{version}}/restore",
    id="restoreDAGVersion",
    role="manager",
    permission="write_dags",
    response=RestoreResponseSchema,
)
def restore(call: Call, file_name: str, version: str) -> ApiResponse:
    """Restore an older version of a DAG's spec: store it as a new version."""
    command = RestoreSpec(by=call.user, file_name=checked_values.file_name(file_name), version=_number(version))

    def restored(result: Result) -> dict[str, Any]:
        return {"errors": result.get("errors", []), "version": result.get("version", 0)}

    return call.carry_out(command, then=restored)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:12]) <= _MAX_VERSION:
        raise bad_request(f"version: must be a whole number from 1 to {_MAX_VERSION}", field="version")
    return int(text)


def _find(call: Call, stem: str, version: int) -> DagVersionRow:
    found = call.deps.reads.dag_version(stem, version)
    if found is None:
        raise not_found(f"DAG {stem!r} has no version {version}")
    return found


def _shown(version: DagVersionRow) -> dict[str, Any]:
    return {
        "version": version.version,
        "hash": version.spec_hash,
        "createdAt": json_values.precise(version.at),
        "createdBy": version.by,
    }
