"""Searching the texts of all dags, line by line.

A pattern is somebody else's program: a budget of time bounds what it can cost, and only as many
lines as a screen can use are returned.
"""

import contextlib
import re
import time
from typing import Any

from pydantic import Field

from services.api import shapes_dags
from services.api.operations import Answer, Call, Operations, Query, ok
from services.api.problems import bad_request
from shared.spec.model import Dag as Model
from shared.spec.patterns import PatternFault, compile_pattern

__all__ = ["SEARCH"]

SEARCH = Operations()
_AROUND = 2
_MAX_CHARS = 200
_LINE_CHARS = {0: 5000, 1: 2000, 2: 500, 3: 200}
"""How much of a line is looked at, by how many unbounded repetitions the pattern has: their product is the cost."""
_MAX_MATCHES = 200
_BUDGET_S = 2.0
_PARTS = ("steps", "handlerOn")
"""Where mistakes leave a DAG's own fields readable."""
_NESTED = re.compile(r"[*+}]\)*[*+{]|\([^)]*[*+][^)]*\)[*+{]|\([^)]*\|[^)]*\)[*+{]")
"""Repeated repetitions and repeated alternatives: what makes a pattern take exponential time."""


class SearchQuery(Query):
    q: str | None = Field(default=None, max_length=_MAX_CHARS)


@SEARCH.get("/dags/search", id="searchDAGs", query=SearchQuery)
def search(call: Call, query: SearchQuery) -> Answer:
    """Find dags with lines that match a regular expression, in any case; a faulty one is searched for as it stands."""
    if query.q is None:
        if "q" in call.arguments:
            return ok({"results": [], "errors": []})
        raise bad_request("q: is missing", field="q")
    pattern, chars = _pattern(query.q)
    results: list[dict[str, Any]] = []
    errors: list[str] = []
    until = time.monotonic() + _BUDGET_S
    for dag in call.deps.reads.dags_with_specs():
        if time.monotonic() > until:
            errors.append("The search took too long: not every DAG was looked at")
            break
        text = dag.spec or ""
        # By line ends alone, as editors count: splitlines() also parts at form feeds and the like.
        matches = _matches(pattern, chars, text.removesuffix("\n").replace("\r\n", "\n").split("\n"))
        if not matches:
            continue
        loaded = call.deps.specs.parse(dag.spec_hash, text, file_name=dag.file_name)
        # A search for what is wrong in a step must find it; a DAG that cannot even be described is told of instead.
        if wrong := next((each for each in loaded.errors if not each.path.startswith(_PARTS)), None):
            errors.append(f"{dag.file_name}: {wrong}")
            continue
        model = loaded.dag or Model(name=dag.dag_name)
        results.append({"name": dag.file_name, "dag": shapes_dags.dag(model), "matches": matches})
    return ok({"results": results, "errors": errors})


def _pattern(text: str) -> tuple[re.Pattern[str], int]:
    """Return the pattern, and how many characters of a line it may be tried on."""
    repetitions = sum(text.count(mark) for mark in "*+{")
    if repetitions in _LINE_CHARS and not _NESTED.search(text):
        with contextlib.suppress(PatternFault):
            return compile_pattern(text, re.IGNORECASE), _LINE_CHARS[repetitions]
    return re.compile(re.escape(text), re.IGNORECASE), _LINE_CHARS[0]


def _matches(pattern: re.Pattern[str], chars: int, lines: list[str]) -> list[dict[str, Any]]:
    found = []
    for index, line in enumerate(lines):
        if pattern.search(line[:chars]):
            first = max(0, index - _AROUND)
            snippet = "\n".join(lines[first : index + _AROUND + 1])
            found.append({"line": snippet, "lineNumber": index + 1, "startLine": first + 1})
            if len(found) >= _MAX_MATCHES:
                break
    return found
