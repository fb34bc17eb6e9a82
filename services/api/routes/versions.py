"""A dag's earlier texts: listed, looked at, compared, restored. Additions to the contract."""

import difflib
from typing import Any

from pydantic import Field

from services.api.command_client import Accepted
from services.api.operations import Answer, Call, Operations, Query, accepted, ok
from services.api.problems import bad_request, not_found
from services.api.representations import json_values
from shared.contracts.commands.dags import RestoreSpec
from shared.store.reads.reader import DagVersionRow

__all__ = ["VERSIONS"]

VERSIONS = Operations()
_VERSIONS = "/dags/{fileName}/versions"
_MAX_VERSION = 2**31 - 1
_MAX_DIFF_LINES = 20_000


class DiffQuery(Query):
    to: int | None = Field(default=None, description="the version to compare with; the newest if absent")


@VERSIONS.get(_VERSIONS, id="listDAGVersions")
def list_versions(call: Call, file_name: str) -> Answer:
    """List a dag's versions, the newest first."""
    stem = _known(call, file_name)
    return ok({"versions": [_shown(each) for each in call.deps.reads.dag_versions(stem)]})


@VERSIONS.get(f"{_VERSIONS}/{{version}}", id="getDAGVersion")
def get_version(call: Call, file_name: str, version: str) -> Answer:
    """Return one version with its text."""
    found = _find(call, _known(call, file_name), _number(version))
    return Answer(200, {**_shown(found), "spec": found.spec or ""}, headers={"ETag": f'"{found.spec_hash}"'})


@VERSIONS.get(f"{_VERSIONS}/{{version}}/diff", id="diffDAGVersions", query=DiffQuery)
def diff(call: Call, query: DiffQuery, file_name: str, version: str) -> Answer:
    """Return what changed from one version to another, as a unified diff."""
    stem = _known(call, file_name)
    old = _find(call, stem, _number(version))
    newest = call.deps.reads.dag_versions(stem)[0].version
    new = _find(call, stem, _number(str(query.to)) if query.to is not None else newest)
    before, after = (old.spec or "").splitlines(), (new.spec or "").splitlines()
    if max(len(before), len(after)) > _MAX_DIFF_LINES:
        raise bad_request(f"Texts of more than {_MAX_DIFF_LINES} lines are not compared")
    left, right = (f"{stem}.yaml@{each.version}" for each in (old, new))
    lines = difflib.unified_diff(before, after, left, right, lineterm="")
    return ok({"from": old.version, "to": new.version, "diff": "\n".join(lines)})


@VERSIONS.post(f"{_VERSIONS}/{{version}}/restore", id="restoreDAGVersion", role="manager", permission="write_dags")
def restore(call: Call, file_name: str, version: str) -> Answer:
    """Make an older text the present one again, as a new version."""
    command = RestoreSpec(by=call.user, file_name=json_values.file_name(file_name), version=_number(version))
    outcome = call.deps.commands.ask(command, key=call.key)
    if isinstance(outcome, Accepted):
        return accepted({"commandId": outcome.command_id})
    return ok({"errors": outcome.result.get("errors", []), "version": outcome.result.get("version", 0)})


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:12]) <= _MAX_VERSION:
        raise bad_request("version: must be a number from 1 on", field="version")
    return int(text)


def _known(call: Call, file_name: str) -> str:
    stem = json_values.file_name(file_name)
    if call.deps.reads.dag(stem) is None:
        raise not_found(f"There is no DAG {stem!r}")
    return stem


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
