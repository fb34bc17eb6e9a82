"""Searching the texts of all dags, line by line.

A pattern is somebody else's program. RE2 takes time in proportion to the text, whatever the pattern, and lets
other threads run meanwhile: so it is done apart. A budget bounds the sum, and only as many lines as a screen can
use are returned.
"""

import time
from collections.abc import Iterable
from typing import Any

import re2
from pydantic import Field

from services.api.operations import Answer, Call, Operations, Query, ok
from services.api.problems import bad_request
from services.api.representations import dag_json
from services.api.serving.green import apart
from shared.language.model import Dag as Model
from shared.store.reads.rows import DagRow

__all__ = ["SEARCH"]

SEARCH = Operations()
_AROUND = 2
_MAX_CHARS = 200
_LINE_CHARS = 5000
"""How much of a line is looked at: the worst pattern takes a third of a second for it."""
_MAX_MATCHES = 200
_BUDGET_S = 2.0
"""For looking through the texts, and again for what the answer says of the dags that match."""
_PARTS = ("steps", "handlerOn")
"""Where mistakes leave a DAG's own fields readable."""
_PATTERN_BYTES = 256 * 1024
"""What one compiled pattern may take: the library keeps the last 128 of them."""


class SearchQuery(Query):
    q: str | None = Field(default=None, max_length=_MAX_CHARS)


@SEARCH.get("/dags/search", id="searchDAGs", query=SearchQuery)
def search(call: Call, query: SearchQuery) -> Answer:
    """Find dags with lines that match a regular expression (RE2), in any case.

    A faulty one is searched for as it stands, and ``errors`` says so.
    """
    if query.q is None:
        if "q" in call.arguments:
            return ok({"results": [], "errors": []})
        raise bad_request("q: is missing", field="q")
    errors: list[str] = []
    pattern = _pattern(query.q, errors)
    results: list[dict[str, Any]] = []
    dags = call.deps.reads.dags_with_specs()
    found, whole = apart(lambda: _matching(pattern, dags))
    until = time.monotonic() + _BUDGET_S
    for dag, matches in found:
        if time.monotonic() > until:
            whole = False
            break
        loaded = call.deps.specs.parse(dag.spec_hash, dag.spec or "", file_name=dag.file_name)
        # A search for what is wrong in a step must find it; a DAG that cannot even be described is told of instead.
        if wrong := next((each for each in loaded.errors if not each.path.startswith(_PARTS)), None):
            errors.append(f"{dag.file_name}: {wrong}")
            continue
        model = loaded.dag or Model(name=dag.dag_name)
        results.append({"name": dag.file_name, "dag": dag_json.dag(model), "matches": matches})
    if not whole:
        errors.append("The search took too long: not every DAG was looked at")
    return ok({"results": results, "errors": errors})


def _pattern(text: str, errors: list[str]) -> Any:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _PATTERN_BYTES
    try:
        return re2.compile(text, options)
    except re2.error as error:
        why = error.args[0].decode(errors="replace")
        errors.append(f"Searched for as plain text: it is no regular expression ({why})")
    options.literal = True
    return re2.compile(text, options)


def _matching(pattern: Any, dags: Iterable[DagRow]) -> tuple[list[tuple[DagRow, list[dict[str, Any]]]], bool]:
    """Return the dags that match, each with its matches, and whether the time was enough for all of them."""
    found: list[tuple[DagRow, list[dict[str, Any]]]] = []
    until = time.monotonic() + _BUDGET_S
    for dag in dags:
        # By line ends alone, as editors count: splitlines() also parts at form feeds and the like.
        matches = _matches(pattern, until, (dag.spec or "").removesuffix("\n").replace("\r\n", "\n").split("\n"))
        if time.monotonic() > until:
            return found, False
        if matches:
            found.append((dag, matches))
    return found, True


def _matches(pattern: Any, until: float, lines: list[str]) -> list[dict[str, Any]]:
    found = []
    for index, line in enumerate(lines):
        if pattern.search(line[:_LINE_CHARS]):
            first = max(0, index - _AROUND)
            snippet = "\n".join(lines[first : index + _AROUND + 1])
            found.append({"line": snippet, "lineNumber": index + 1, "startLine": first + 1})
        if len(found) >= _MAX_MATCHES or time.monotonic() > until:
            break
    return found
