"""Search the specs of all DAGs line by line.

The pattern comes from a client and may be hostile. RE2 needs time linear in the text for every pattern, and releases
the GIL while the search runs in a thread. The time of the whole search and the number of matches are limited.
"""

import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import re2
from pydantic import Field

from services.api.operations import ApiResponse, Call, Operations, Query, ok
from services.api.problems import bad_request
from services.api.representations import dag_json
from services.api.response_schemas.dags import SearchResponseSchema
from services.api.serving.greenlets import run_in_thread
from shared.language.model import Dag as Model
from shared.store.reads.rows import DagSpec

__all__ = ["SEARCH"]

SEARCH = Operations()
_AROUND = 2
_MAX_CHARS = 200
_LINE_CHARS = 5000
"""How much of each line is searched. The slowest pattern needs a third of a second for 5000 characters."""
_MAX_MATCHES = 200
_BUDGET_S = 2.0
"""Time limit of the search, and again of making the JSON of the DAGs that match."""
_PARTS = ("steps", "handlerOn")
"""If only these fields have errors, the other fields of the DAG can still be shown."""
_AT_ONCE = 50
"""How many specs are read at a time."""
_Found = tuple[DagSpec, str, list[dict[str, Any]]]
"""A DAG that matches, the text of its spec, and its matches."""
_PATTERN_BYTES = 256 * 1024
"""Memory of one compiled pattern; the library caches the last 128 of them."""


class SearchQuery(Query):
    q: str | None = Field(default=None, max_length=_MAX_CHARS, description="the expression; required")


@SEARCH.get("/dags/search", id="searchDAGs", response=SearchResponseSchema)
def search(call: Call, query: SearchQuery) -> ApiResponse:
    """Search the specs of all DAGs for a regular expression (RE2), ignoring case.

    If the expression is invalid, it is searched for as plain text and ``errors`` says so.
    """
    if query.q is None:
        if "q" in call.arguments:
            return ok({"results": [], "errors": []})
        raise bad_request("q: is required", field="q")
    errors: list[str] = []
    pattern = _pattern(query.q, errors)
    results: list[dict[str, Any]] = []
    found, whole = _search(call, pattern)
    until = time.monotonic() + _BUDGET_S
    for dag, text, matches in found:
        if time.monotonic() > until:
            whole = False
            break
        loaded = call.deps.specs.parse(dag.spec_hash, text, file_name=dag.file_name)
        # A DAG with invalid steps must still be found; a DAG whose other fields are invalid is listed in ``errors``.
        if wrong := next((each for each in loaded.errors if not each.path.startswith(_PARTS)), None):
            errors.append(f"{dag.file_name}: {wrong}")
            continue
        model = loaded.dag or Model(name=dag.dag_name)
        results.append({"name": dag.file_name, "dag": dag_json.dag(model), "matches": matches})
    if not whole:
        errors.append("The search took too long: not every DAG was searched. Use a simpler expression")
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
        errors.append(f"Searched for as plain text: not a valid regular expression ({why})")
    options.literal = True
    return re2.compile(text, options)


def _search(call: Call, pattern: Any) -> tuple[list[_Found], bool]:
    """Return the DAGs that match, and whether all were searched in time. Few texts are in memory at a time."""
    found: list[_Found] = []
    dags, left_s = call.deps.reads.dag_specs(), _BUDGET_S
    for start in range(0, len(dags), _AT_ONCE):
        some = dags[start : start + _AT_ONCE]
        texts = call.deps.reads.specs(dag.spec_hash for dag in some)
        more, left_s = run_in_thread(partial(_matching, pattern, some, texts, left_s))
        found += more
        if left_s <= 0:
            return found, False
    return found, True


def _matching(
    pattern: Any, dags: Iterable[DagSpec], texts: Mapping[str, str], left_s: float
) -> tuple[list[_Found], float]:
    """Return those of the DAGs that match, and how much of the time is left: 0 or less if not all were searched."""
    found: list[_Found] = []
    until = time.monotonic() + left_s
    for dag in dags:
        text = texts.get(dag.spec_hash, "")
        # Split at line ends only, as editors count lines: splitlines() also splits at form feeds and others.
        matches = _matches(pattern, until, text.removesuffix("\n").replace("\r\n", "\n").split("\n"))
        if time.monotonic() > until:
            return found, 0
        if matches:
            found.append((dag, text, matches))
    return found, until - time.monotonic()


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
