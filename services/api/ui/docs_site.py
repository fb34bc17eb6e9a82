"""Serves the documentation below ``/docs/``, if it was built (``make docs``): wheels and images have it.

Anybody may read it: it is the same for all installations.
"""

import base64
import hashlib
import re
from functools import lru_cache
from pathlib import Path

from flask import Flask, Response, redirect, request
from werkzeug.security import safe_join

from services.api.ui.assets import send_asset

__all__ = ["docs_built", "inline_script_digest", "serve_docs"]

_SITE = Path(__file__).parents[1] / "docs_site"
_AGE_S = 3600
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_POLICY = "; ".join(  # noqa: FLY002 - one directive a line
    (
        "default-src 'none'",
        "script-src 'self' {digests}",
        "worker-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_ABSENT = """<!doctype html>
<html lang="en">
<title>No documentation here</title>
<p>This installation was made without the documentation pages. The <a href="../api/v2/docs">API reference</a> is here.
"""


def docs_built(site: Path = _SITE) -> bool:
    """Whether this installation has the documentation."""
    return (site / "index.html").is_file()


def inline_script_digest(script: str) -> str:
    """Return the source of a Content-Security-Policy that allows this inline script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def serve_docs(app: Flask, base_path: str, site: Path = _SITE) -> None:
    """Serve the files of the documentation. A path that ends in a slash is a page."""

    def page(name: str = "") -> Response:
        if not docs_built(site):
            return Response(_ABSENT, 404, mimetype="text/html")
        file = f"{name}index.html" if request.path.endswith("/") else name
        found = safe_join(str(site), file)
        if found and Path(found).is_dir():
            # Links in a page are relative to its slash.
            return redirect(f"{base_path}/docs/{name}{'/' if name else ''}")  # type: ignore[return-value]
        response = send_asset(site, file)
        response.headers["Cache-Control"] = f"max-age={_AGE_S}"
        if found and file.endswith(".html"):
            digests = _digests(Path(found), Path(found).stat().st_mtime_ns)
            response.headers["Content-Security-Policy"] = _POLICY.format(digests=digests)
            response.headers["Referrer-Policy"] = "no-referrer"
        return response

    app.add_url_rule("/docs/", "docs index", page)
    app.add_url_rule("/docs/<path:name>", "docs page", page)


@lru_cache(maxsize=256)
def _digests(page: Path, _changed: int) -> str:
    """Return the sources that allow the inline scripts of a page."""
    scripts = dict.fromkeys(_INLINE.findall(page.read_text(encoding="utf-8")))
    return " ".join(f"'{inline_script_digest(script)}'" for script in scripts)
