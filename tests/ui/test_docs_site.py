"""The documentation at ``/docs/``: in a browser, without other hosts, under a strict policy."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, expect
from werkzeug.serving import make_server

from services.api.ui.docs_site import serve_docs
from tests.harness.browser import watched
from tests.harness.loopback import serving

ROOT = Path(__file__).parents[2]


def served(site: Path) -> Flask:
    app = Flask(__name__)
    app.url_map.strict_slashes = False
    serve_docs(app, "", site)
    return app


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("docs") / "site"
    argv = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(site)]
    subprocess.run(argv, check=True, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"})
    return site


@pytest.fixture(scope="module")
def url(built: Path) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, served(built), threaded=True)
    with serving(server):
        yield f"http://127.0.0.1:{server.port}"


def test_a_reader_searches_and_opens_a_page(chromium: Browser, url: str) -> None:
    with watched(chromium, f"{url}/docs/") as page:
        page.locator(".md-search__input").fill("retryPolicy")
        hit = page.locator(".md-search-result__link").first
        expect(hit).to_contain_text("Workflow reference")
        hit.click()
        expect(page.locator("article h1")).to_contain_text("Workflow reference")


@pytest.mark.parametrize(("asked", "leads_to"), [("/docs", "/docs/"), ("/docs/tutorial", "/docs/tutorial/")])
def test_a_page_without_its_slash_leads_to_it(built: Path, asked: str, leads_to: str) -> None:
    client = served(built).test_client()

    assert client.get(asked).headers["Location"] == leads_to
    with client.get(leads_to) as answer:
        assert answer.status_code == 200
        assert "script-src 'self' 'sha256-" in answer.headers["Content-Security-Policy"]


def test_every_alert_links_to_a_page_that_is_there(built: Path) -> None:
    rules = "".join((ROOT / f"deploy/prometheus/{name}.rules.yml").read_text() for name in ("alerts", "global"))
    alerts, links = re.findall(r"alert: (\w+)", rules), re.findall(r'runbook_url: "\{\{.*\}\}/(\S+)"', rules)
    client = served(built).test_client()

    assert links == [f"runbooks/{alert}/" for alert in alerts]
    for alert, link in zip(alerts, links, strict=True):
        answer = client.get(f"/docs/{link}", buffered=True)
        assert answer.status_code == 200, link
        assert f"<title>{alert} - Dagway</title>" in answer.text


def test_nothing_outside_the_site_is_served(built: Path) -> None:
    (built.parent / "secret.html").write_text("secret")
    client = served(built).test_client()

    assert client.get("/docs/../secret.html").status_code == 404
    assert client.get("/docs/%2e%2e/secret.html").status_code == 404
    assert client.get("/docs/nothing/").status_code == 404


def test_an_installation_without_the_site_says_where_the_api_is_described(tmp_path: Path) -> None:
    answer = served(tmp_path / "none").test_client().get("/docs/")

    assert answer.status_code == 404
    assert "../api/v2/docs" in answer.text
