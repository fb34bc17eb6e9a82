"""Addresses of Dagu's pages, which bookmarks and other programs hold: each leads to the page of ours for it."""

from collections.abc import Callable
from urllib.parse import quote

from flask import Flask, Response, request

__all__ = ["serve_links"]

_SECTIONS = {"dags": "dags", "dag-runs": "runs", "queues": "queues", "search": "search", "dashboard": "runs"}
_TABS = {"spec": "spec", "history": "runs"}


def serve_links(app: Flask, base_path: str) -> None:
    """Redirect ``/dags/<file>``, ``/dag-runs/<name>/<id>`` and the like; ours are behind the ``#``."""

    def to(*parts: str, tab: str = "") -> Response:
        place = "/".join(quote(part, safe="") for part in parts)
        return Response(status=302, headers={"Location": f"{base_path}/#/{place}{f'?tab={tab}' if tab else ''}"})

    def section() -> Response:
        return to(_SECTIONS[request.path.strip("/")])

    def dag(file_name: str, tab: str = "") -> Response:
        return to("dags", file_name, tab=_TABS.get(tab, ""))

    def run(name: str, dag_run_id: str) -> Response:
        sub_run = request.args.get("subDAGRunId")
        return to("runs", name, dag_run_id, *(("sub", sub_run) if sub_run else ()))

    pages: dict[str, Callable[..., Response]] = {
        "/dags/<segment:file_name>": dag,
        "/dags/<segment:file_name>/<segment:tab>": dag,
        "/dag-runs/<segment:name>/<segment:dag_run_id>": run,
        **{f"/{name}": section for name in _SECTIONS},
    }
    for rule, page in pages.items():
        app.add_url_rule(rule, f"link {page.__name__}", page, methods=["GET"], provide_automatic_options=False)
