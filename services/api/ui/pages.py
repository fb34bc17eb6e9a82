"""The web pages: the built-in front end, or the bundle of another one.

The built-in front end (``web/``, see docs/web.md) consists of plain modules that browsers load unchanged. The bundle
of another front end (``DAGWAY_UI_DIR``) must be built as Dagu's is, and the built-in one follows the same rules: this
module makes an ``index.html`` with a global function ``getConfig()``, and serves the other files below a fixed path.
Any other GET outside ``/api/`` returns the ``index.html``.
"""

import base64
import hashlib
import html
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response
from werkzeug.routing import PathConverter

from services.api.settings import Settings
from services.api.ui.assets import send_asset
from services.api.ui.docs_site import docs_built, inline_script_digest, serve_docs
from services.api.ui.page_script import page_script

if TYPE_CHECKING:
    from services.api.deps import Deps

__all__ = ["PageConverter", "serve_bundle", "serve_own"]

_WEB = Path(__file__).parents[1] / "web"
_OWN_AGE_S = 31_536_000
_POLICY = "; ".join(  # noqa: FLY002 - one directive a line
    (
        "default-src 'none'",
        "script-src 'self' '{digest}'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Forbids other hosts and all inline scripts but ``getConfig()``: no spec, log or parameter can run as code."""

_BUNDLE_POLICY = "; ".join(  # noqa: FLY002 - one directive a line
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-eval' {digests}",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""The policy for another front end. Looser than ours where Dagu's needs it: its editor and its graphs write styles into
the page, its editor starts workers from blobs, and libraries in such bundles compile schemas with eval."""

_ASSET_AGE_S = 86_400
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="shortcut icon" href="{base}/assets/favicon.ico">
<script>{script}</script>
<script>{quiet}</script>
<script defer="defer" src="{base}/assets/bundle.js?v={version}"></script>
</head>
<body><div id="root"></div></body>
</html>
"""


_QUIET = "window.alert = ((say) => (text) => { if (text) say(text); })(window.alert.bind(window));"
"""Dagu's front end shows the problems of a saved spec in an alert, even if there are none."""


class PageConverter(PathConverter):
    """Matches any path except those of the API and of files: there an unknown path must be a 404."""

    regex = r"(?!(?:api|assets|web)(?:/|$))[^/].*?"


def serve_own(app: Flask, deps: "Deps") -> None:
    """Serve the built-in page, and its files below ``/web/<tag>/``. Browsers may cache the current tag only."""
    template = (_WEB / "index.html").read_text("utf-8")
    module = page_script(_WEB)
    icon = base64.b64encode((_WEB / "icon.svg").read_bytes()).decode()
    tag = _tag(_WEB)

    def page(**_path: str) -> Response:
        script = _script(_own_configuration(deps))
        values = {
            "title": html.escape(_own_title(deps)),
            "base": html.escape(f"{deps.base_path}/"),
            "web": html.escape(f"{deps.base_path}/web/{tag}"),
            "module": module if (_WEB / module).is_file() else "main.js",  # it may have been built anew
            "icon": f"data:image/svg+xml;base64,{icon}",
            "script": script,
        }
        text = template
        for key, value in values.items():
            text = text.replace(f"{{{{{key}}}}}", value)
        return _guarded(Response(text, mimetype="text/html"), script)

    def file(given: str, name: str) -> Response:
        response = send_asset(_WEB, name)
        # During a rollout the page may come from one gateway and a file from another.
        response.headers["Cache-Control"] = f"max-age={_OWN_AGE_S}, immutable" if given == tag else "no-store"
        return _guarded(response, "")

    serve_docs(app, deps.base_path)
    app.add_url_rule("/web/<given>/<path:name>", "ui file", file)
    app.add_url_rule("/<page:path>", "ui page", page)
    app.add_url_rule("/", "ui index", page)


def _guarded(response: Response, script: str) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY.format(digest=inline_script_digest(script))
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@cache
def _tag(folder: Path) -> str:
    """Return a tag that changes whenever a file in the folder changes."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.*")):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _own_title(deps: "Deps") -> str:
    """Return the configured title, or ``Dagway`` instead of the default ``Dagu``, which Dagu's front end expects."""
    title = deps.settings.navbar_title
    return "Dagway" if title == Settings().navbar_title else title


def _own_configuration(deps: "Deps") -> dict[str, Any]:
    """Return the configuration that Dagu's front end reads, and what only our page reads.

    ``auth`` also has the login methods that ``authMode`` lacks, ``codeEditor`` says whether the editor was built, and
    ``docs`` whether the documentation is at ``/docs/``.
    """
    settings = deps.settings
    if settings.auth_mode != "none":
        auth: str = settings.auth_mode
    elif settings.basic:
        auth = "basic"
    else:
        auth = "token" if settings.token else "none"
    return _configuration(deps) | {
        "title": _own_title(deps),
        "auth": auth,
        "codeEditor": (_WEB / "built" / "editor.js").is_file(),
        "docs": docs_built(),
    }


def serve_bundle(app: Flask, deps: "Deps", folder: Path) -> None:
    """Serve the page and files of a bundle. ``folder`` or its folder ``assets`` contains ``bundle.js``."""
    assets = folder / "assets" if (folder / "assets").is_dir() else folder

    def asset(name: str) -> Response:
        response = send_asset(assets, name)
        response.headers["Cache-Control"] = f"max-age={_ASSET_AGE_S}"
        return response

    def page(**_path: str) -> Response:
        script = _script(_configuration(deps))
        text = _PAGE.format(
            title=html.escape(deps.settings.navbar_title),
            base=html.escape(deps.base_path),
            version=html.escape(deps.version),
            script=script,
            quiet=_QUIET,
        )
        response = Response(text, mimetype="text/html")
        digests = f"'{inline_script_digest(script)}' '{inline_script_digest(_QUIET)}'"
        response.headers["Content-Security-Policy"] = _BUNDLE_POLICY.format(digests=digests)
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    app.add_url_rule("/assets/<path:name>", "ui asset", asset)
    app.add_url_rule("/<page:path>", "ui page", page)
    app.add_url_rule("/", "ui index", page)


def _configuration(deps: "Deps") -> dict[str, Any]:
    settings = deps.settings
    now = datetime.now(UTC).astimezone(deps.zone)
    offset_s = int((now.utcoffset() or now - now).total_seconds())
    data = str(settings.data_dir)
    return {
        "apiURL": f"{deps.base_path}/api/v2",
        "basePath": deps.base_path,
        "title": settings.navbar_title,
        "navbarColor": settings.navbar_color,
        "version": deps.version,
        "tz": _zone_name(getattr(deps.zone, "key", ""), offset_s),
        "tzOffsetInSec": offset_s,
        "maxDashboardPageLimit": "100",
        "remoteNodes": ",".join(node.name for node in settings.remote_nodes),
        "authMode": settings.auth_mode,
        "permissions": {"writeDags": settings.write_dags, "runDags": settings.run_dags},
        "paths": {
            "dagsDir": str(settings.dags_dir or "in the database"),
            "logDir": "in the database",
            "suspendFlagsDir": "in the database",
            "adminLogsDir": "standard error",
            "baseConfig": str(settings.base_config or ""),
            "dagRunsDir": "in the database",
            "queueDir": "in the database",
            "procDir": data,
            "serviceRegistryDir": "in the database",
            "configFileUsed": "environment",
            "usersDir": "in the database",
        },
    }


def _zone_name(key: str, offset_s: int) -> str:
    """Return the name of the time zone that the page shows next to times."""
    if key:
        return "UTC" if key == "Etc/UTC" else key  # many hosts call UTC so
    hours = offset_s // 3600
    return f"UTC{hours:+d}" if hours else "UTC"


def _script(configuration: dict[str, Any]) -> str:
    """Return the content of the page's script element, escaped so that no value can end the element."""
    text = json.dumps(configuration)
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f"function getConfig() {{ return {safe}; }}"
