"""The OpenAPI document, and the API reference: a self-contained HTML page made from the document."""

import base64
import hashlib
import html
import json
import re
from functools import lru_cache
from typing import Any

from services.api.openapi import document
from services.api.operations import ApiResponse, Call, Operations, json_bytes

__all__ = ["DOCS"]

DOCS = Operations()
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem;color:#222;background:#fff}
summary{cursor:pointer;padding:.35rem .5rem;border-radius:.3rem}summary:hover{background:#f2f4f7}
details details{margin-left:1rem}code,pre{font:13px ui-monospace,monospace}
pre{background:#f6f8fa;padding:.6rem;overflow:auto;border-radius:.3rem}
b.m{display:inline-block;width:4.5rem}.GET{color:#0a6}.POST{color:#06c}.PUT,.PATCH{color:#a60}.DELETE{color:#c22}
small{color:#667}table{border-collapse:collapse;margin:.4rem 0 .8rem 1rem}td{padding:.1rem .8rem .1rem 0}
@media(prefers-color-scheme:dark){body{background:#15181c;color:#dde}summary:hover,pre{background:#22272e}}
"""


_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_CODE = re.compile(r"``(.+?)``")
_COOKIE = "{session cookie}"
"""Stands for the name of the session cookie, which contains the port of the request's Host header."""


@DOCS.get("/openapi.json", id="getOpenAPI", role="public", media_type="application/json")
def openapi(call: Call) -> ApiResponse:
    """Return the OpenAPI 3.1 document of this API."""
    content = _rendered(*_facts(call))[0]
    return ApiResponse(200, content.replace(_COOKIE.encode(), call.session.name.encode()))


@DOCS.get("/docs", id="getReference", role="public", media_type="text/html")
def reference(call: Call) -> ApiResponse:
    """Return the reference of this API as an HTML page, made from the OpenAPI document."""
    page = _rendered(*_facts(call))[1]
    return ApiResponse(200, page, "text/html; charset=utf-8", {"Content-Security-Policy": _POLICY})


def _facts(call: Call) -> tuple[str, str, bool, bool]:
    """Return what the document depends on besides the code and the request."""
    settings = call.deps.settings
    return call.deps.version, f"{call.deps.base_path}/api/v2", settings.builtin, settings.has_sessions


# Making the document takes a tenth of a second of CPU time, and anybody may ask for it.
@lru_cache(maxsize=8)
def _rendered(version: str, base: str, builtin: bool, has_sessions: bool) -> tuple[bytes, bytes]:
    """Return the OpenAPI document as JSON, with ``_COOKIE`` in it if there are sessions, and the page."""
    from services.api.routes import OPERATIONS  # noqa: PLC0415 - OPERATIONS includes the operations of this module

    cookie = _COOKIE if has_sessions else ""
    made = document(OPERATIONS, version=version, base=base, builtin=builtin, session_cookie=cookie)
    return json_bytes(made), _page(made).encode()


def _page(content: dict[str, Any]) -> str:
    by_tag: dict[str, list[str]] = {}
    for path, methods in content["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append(_operation(path, method.upper(), operation))
    parts = [f"<h2>{html.escape(tag)}</h2>{''.join(found)}" for tag, found in sorted(by_tag.items())]
    schemas = [
        f'<details id="{html.escape(name)}"><summary>{html.escape(name)}</summary><pre>{_json(schema)}</pre></details>'
        for name, schema in content["components"]["schemas"].items()
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Dagway API</title>'
        f"<style>{_STYLE}</style></head><body><h1>Dagway API v2</h1>"
        f"<p>Version {html.escape(content['info']['version'])}. "
        '<a href="openapi.json">openapi.json</a> has the same for programs.</p>'
        f"<p>{html.escape(content['info']['description'])}</p>"
        f"{''.join(parts)}<h2>Schemas</h2>{''.join(schemas)}</body></html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{html.escape(each['name'])}</code></td><td>{each['in']}</td>"
        f"<td>{html.escape(str(each['schema'].get('type', '')))}</td>"
        f"<td>{_prose(each.get('description', ''))}</td></tr>"
        for each in operation["parameters"]
    )
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    answers = "".join(
        f"<tr><td>{status}</td><td>{_prose(each['description'])}</td><td>{_link(each)}</td></tr>"
        for status, each in operation["responses"].items()
    )
    return (
        f'<details><summary><b class="m {method}">{method}</b><code>{html.escape(path)}</code> '
        f"<small>{html.escape(operation['summary'])}</small></summary>"
        f"<p>{_prose(operation['description'])}<br><small>role: {operation['x-minimum-role']}</small></p>"
        f"<table>{parameters}</table>{f'<p>Body</p><pre>{_json(body)}</pre>' if body else ''}"
        f"<table>{answers}</table></details>"
    )


def _link(answer: dict[str, Any]) -> str:
    for content in answer.get("content", {}).values():
        name = str(content["schema"].get("$ref", "")).rpartition("/")[2]
        if name:
            return f'<a href="#{html.escape(name)}">{html.escape(name)}</a>'
    return ""


def _prose(text: str) -> str:
    """Return a description as HTML. Only code is marked in it, by double back quotes as in Markdown."""
    return _CODE.sub(r"<code>\1</code>", html.escape(text))


def _json(value: Any) -> str:
    return html.escape(json.dumps(value, indent=1, ensure_ascii=False))
