"""Dagu 2's REST API, ``/api/v1``: the operations of ``/api/v2`` under another prefix.

Dagu 2 kept the operations of Dagu 1.30's ``/api/v2`` and calls tags labels. Requests are rewritten before they are
routed, so roles, scopes of keys, audit, metrics and remote nodes know one API. What Dagu 2 has and Dagway has not
is listed in ``docs/dagu-2.md``.
"""

import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Request, Response

from services.api.problems import bad_request

__all__ = ["ASKED_HERE", "name_labels", "read_request"]

_THEIRS, _OURS = "/api/v1", "/api/v2"
ASKED_HERE = "dagway.dagu2"
"""Key in the WSGI environment of a request to this API."""
_NOT_THE_SAME = ("/docs",)
"""Paths of ``/api/v2`` that mean something else in Dagu 2, where ``/docs`` is a tree of documents."""
_PAGED = re.compile(r"/dag-runs(?:/[^/]+)?")
"""Lists of runs, which Dagu 2 always returns page by page; ``/api/v2`` has pages only with ``cursor``."""
_WITHOUT_PAGES = frozenset({"cursor", "dagRunId", "fromDate", "toDate"})
"""Parameters with which ``cursor`` is not added: it cannot be combined with these filters."""
_LABELS = "labels"
_TAG_NAMES = frozenset({"tag", "tags", _LABELS})


def read_request(path: str, query: str) -> tuple[str, str] | None:
    """Return path and query as ``/api/v2`` has them, or ``None`` if the path is no operation of this API.

    Raises a 400 for more than one label: the lists are filtered by one.
    """
    if not path.startswith(f"{_THEIRS}/"):
        return None
    rest = path.removeprefix(_THEIRS)
    if any(rest == each or rest.startswith(f"{each}/") for each in _NOT_THE_SAME):
        return None
    if rest == f"/dags/{_LABELS}":
        rest = "/dags/tags"
    query = _with_tag(query)
    if _PAGED.fullmatch(rest) and _WITHOUT_PAGES.isdisjoint(name for name, _ in parse_qsl(query)):
        query = f"{query}&cursor=".lstrip("&")
    return _OURS + rest, query


def name_labels(request: Request, response: Response) -> None:
    """Add ``labels`` to each DAG in the response to a request of this API; ``tags`` stays, as in early releases."""
    if ASKED_HERE not in request.environ or response.is_streamed or response.mimetype != "application/json":
        return
    data = response.get_data()
    if b'"tags":' in data:
        response.set_data(json.dumps(_labelled(json.loads(data)), ensure_ascii=False, separators=(",", ":")))


def _with_tag(query: str) -> str:
    if not any(name in query for name in _TAG_NAMES):
        return query
    pairs = parse_qsl(query, keep_blank_values=True)
    wanted = [each for name, value in pairs if name in _TAG_NAMES for each in value.split(",") if each]
    if len(wanted) > 1:
        raise bad_request("labels: the list can be filtered by one label only", field=_LABELS)
    others = [(name, value) for name, value in pairs if name not in _TAG_NAMES]
    return urlencode([*others, *(("tag", each) for each in wanted)])


def _labelled(content: Any) -> Any:
    """Return the body of a response with ``labels``: of the list of labels itself, and of the DAGs in it."""
    if not isinstance(content, dict):
        return content
    found = {**content, _LABELS: content["tags"]} if isinstance(content.get("tags"), list) else content
    return found | {
        key: _labelled(value) if key == "dag" else [_labelled(each) for each in value]
        for key, value in found.items()
        if key == "dag" or (key in {"dags", "localDags", "results"} and isinstance(value, list))
    }
